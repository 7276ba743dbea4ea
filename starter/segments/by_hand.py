"""Membership that is set by hand, in segments without a rule."""

from collections.abc import Sequence

from campaigns.models.decision import Decision
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.store.database import Database
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import customers, segments
from campaigns.starter import customer
from campaigns.starter.customer import Person
from campaigns.starter.outbox import Outbox, Unit
from campaigns.starter.segments.follow import Change, Touch, change_row, follow
from campaigns.starter.segments.moved import moved


class MembersByHand:
    """Enters customers into segments, and takes them out, each in a transaction of their own."""

    def __init__(self, database: Database, outbox: Outbox, definitions: Definitions) -> None:
        self._database = database
        self._outbox = outbox
        self._definitions = definitions

    async def enter(self, key: str, customer_ids: Sequence[str]) -> list[tuple[str, Decision]]:
        """Make the customers members; return what was decided about each who was not one, by customer.

        Raise Invalid where one is unknown: then nobody has entered.
        """
        async with self._database.read() as connection:
            unknown = await customers.missing(connection, customer_ids)
        if unknown:
            raise Invalid(
                FieldError(f"customer_ids[{index}]", f"there is no customer {customer_id!r}")
                for index, customer_id in enumerate(customer_ids)
                if customer_id in unknown
            )
        made: list[tuple[str, Decision]] = []
        for customer_id in dict.fromkeys(customer_ids):
            made += [(customer_id, decision) for decision in await self._enter(key, customer_id)]
        return made

    async def _enter(self, key: str, customer_id: str) -> list[Decision]:
        async with self._outbox.transaction() as unit:
            person = await customer.lock(unit.connection, customer_id)
            # Whoever was erased meanwhile is none.
            if person is None or not await segments.add_member(unit.connection, key, customer_id, person.now):
                return []
            return await self._moved(unit, person, Change(key, entered=True))

    async def leave(self, key: str, customer_id: str) -> bool:
        """End the membership, and with it the entries of campaigns that end so; return False where there was none."""
        async with self._outbox.transaction() as unit:
            person = await customer.lock(unit.connection, customer_id)
            if person is None or not await segments.remove_member(unit.connection, key, customer_id):
                return False
            await self._moved(unit, person, Change(key, entered=False))
            return True

    async def _moved(self, unit: Unit, person: Person, change: Change) -> list[Decision]:
        """Record the change, let the segments that ask about this one follow, and act on all of it."""
        await segments.add_changes(unit.connection, [change_row(person, change, "by hand")])
        touch = Touch(f"segment {change.segment}", segments=frozenset([change.segment]))
        changes = [change, *await follow(unit.connection, person, touch)]
        return await moved(unit, self._definitions, person, changes)
