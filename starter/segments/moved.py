"""What follows when a customer enters or leaves segments: exits first, then admission."""

from collections.abc import Sequence
from uuid import uuid4

from campaigns.models import dispatch
from campaigns.models.decision import Decision, Trigger
from campaigns.models.entry import EndedBy
from campaigns.models.journey.definition import Definition, SegmentTrigger
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import campaigns, entries, segments
from campaigns.starter import customer
from campaigns.starter.admission.admit import admit
from campaigns.starter.customer import Person
from campaigns.starter.outbox import Outbox, Unit
from campaigns.starter.segments.follow import Change, Touch, follow


async def look_again(
    outbox: Outbox,
    definitions: Definitions,
    customer_id: str,
    touch: Touch,
    *,
    but_for: str | None = None,
    triggers: bool = True,
) -> None:
    """Let the customer's memberships follow the rules that are touched, and what listens to them.

    `but_for` names the campaign that has touched them itself, and which that does not trigger.
    """
    async with outbox.transaction() as unit:
        person = await customer.lock(unit.connection, customer_id)
        if person is None:
            return
        changes = await follow(unit.connection, person, touch)
        if triggers:
            await moved(unit, definitions, person, changes, but_for=but_for)


async def moved(
    unit: Unit, definitions: Definitions, person: Person, changes: Sequence[Change], *, but_for: str | None = None
) -> list[Decision]:
    """Act on changes of membership that are written already; return what admission decided."""
    if any(not change.entered for change in changes):
        await _exit_who_left(unit, definitions, person)
    decisions: list[Decision] = []
    for change in changes:
        if not change.entered:
            continue
        trigger = Trigger(f"{change.segment}:{uuid4().hex}", "segment", change.segment, person.now)
        listening = await campaigns.triggered_by(unit.connection, change.segment)
        made = await admit(unit, definitions, person, trigger, listening, but_for=but_for)
        decisions += made
        if made:
            # The next segment's admission sees what this one began and pre-empted.
            person.running = await entries.running_of_customer(unit.connection, person.id)
    return decisions


async def _exit_who_left(unit: Unit, definitions: Definitions, person: Person) -> None:
    still = await segments.of_customer(unit.connection, person.id)
    for entry in person.running:
        definition = await definitions.get(unit.connection, entry.campaign, entry.version)
        if not _left_all(definition, still):
            continue
        if await entries.request_exit(unit.connection, entry.id, EndedBy.LEFT_SEGMENT):
            unit.owe(dispatch.exit(entry.id, EndedBy.LEFT_SEGMENT))


def _left_all(definition: Definition, still: frozenset[str]) -> bool:
    """Whether the campaign ends with membership, and the customer is in none of its segments."""
    trigger = definition.trigger
    return definition.exit_on_leave and isinstance(trigger, SegmentTrigger) and not still.intersection(trigger.segments)
