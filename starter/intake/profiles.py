"""Profiles: what becomes known of a customer, by identify or by the API."""

from campaigns.models.decision import Decision
from campaigns.models.signing import Signing
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.profiles import reschedules, write_profile
from campaigns.models.values import Json
from campaigns.starter import customer
from campaigns.starter.customer import Person
from campaigns.starter.outbox import Outbox, Unit
from campaigns.starter.segments.follow import Touch, follow
from campaigns.starter.segments.moved import moved


class Profiles:
    """Makes and changes customers."""

    def __init__(self, outbox: Outbox, definitions: Definitions, signing: Signing) -> None:
        self._outbox = outbox
        self._definitions = definitions
        self._signing = signing

    async def put(self, customer_id: str, attributes: Json) -> list[Decision]:
        """Make the customer, or change the given attributes; return what that decided."""
        async with self._outbox.transaction() as unit:
            person = await customer.lock_or_make(unit.connection, self._signing, customer_id, readmits=True)
            return await change_profile(unit, self._definitions, person, attributes, "api")


async def change_profile(
    unit: Unit, definitions: Definitions, person: Person, given: Json, source: str
) -> list[Decision]:
    """Change the given attributes; running entries plan again, and memberships follow."""
    change = await write_profile(unit.connection, person.id, person.attributes, given, person.now)
    if not change.changed and not person.is_new:
        return []
    person.attributes = change.attributes
    cause = f"{source}: {', '.join(sorted(change.changed))}"
    touch = Touch(cause, attributes=change.changed, is_new=person.is_new)
    unit.owe(*await reschedules(unit.connection, definitions, person.running, change.changed))
    return await moved(unit, definitions, person, await follow(unit.connection, person, touch))
