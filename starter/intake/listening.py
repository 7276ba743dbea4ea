"""Who hears an event: running entries that wait for it, and goals, of entries that have ended too."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from campaigns.models import dispatch
from campaigns.models.decision import Trigger
from campaigns.models.entry import EndedBy
from campaigns.models.journey.conditions import Condition, Facts, PropertyIs, holds, walk
from campaigns.models.journey.definition import GOAL, Definition
from campaigns.models.store.database import Connection
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import entries, facts, holdouts
from campaigns.models.store.queries.campaigns import CampaignRow
from campaigns.models.store.queries.entries import RunningEntry
from campaigns.models.values import Json, parse_duration
from campaigns.starter.customer import Person
from campaigns.starter.outbox import Unit


@dataclass(frozen=True)
class MessageOrigin:
    """The message that an event is of, and what it says of the message."""

    message_id: str
    campaign: str
    entry_id: str
    step: str
    marks: Sequence[str] = ()


async def hear(
    unit: Unit, definitions: Definitions, person: Person, trigger: Trigger, origin: MessageOrigin | None
) -> list[str]:
    """Let the customer's running entries hear the event; return the ids of those that are signalled.

    An event of a message is heard by the entry that sent it alone.
    """
    signalled = []
    for entry in person.running:
        if origin and entry.id != origin.entry_id:
            continue
        if await _hears(unit, definitions, person, entry, trigger, origin):
            signalled.append(entry.id)
    return signalled


async def _hears(
    unit: Unit,
    definitions: Definitions,
    person: Person,
    entry: RunningEntry,
    trigger: Trigger,
    origin: MessageOrigin | None,
) -> bool:
    """Whether the entry is owed anything: its exit by a goal, or a signal with what the event matches."""
    definition = await definitions.get(unit.connection, entry.campaign, entry.version)
    listeners = [listener for listener in definition.listeners if listener.event == trigger.name]
    if not listeners:
        return False
    conditions = [listener.where for listener in listeners]
    known = await _facts(unit.connection, person, entry.id, entry.trigger, trigger, conditions)
    matches = [listener.key for listener in listeners if holds(listener.where, known)]
    if GOAL in matches:
        matches.remove(GOAL)
        if definition.goal and _within(definition, entry.entered_at, person.now):
            await entries.mark_converted(unit.connection, entry.id, person.now)
            if definition.goal.exit:
                requested = await entries.request_exit(unit.connection, entry.id, EndedBy.GOAL)
                if requested:
                    unit.owe(dispatch.exit(entry.id, EndedBy.GOAL))
                return requested
    if not matches or entry.exit_request:
        return False
    message_steps = None
    if origin:
        message_steps = {
            listener.key: origin.step
            for listener in listeners
            if listener.key in matches and not _asks_for_step(listener.where)
        }
    unit.owe(dispatch.event(entry.id, trigger.id, trigger.name, trigger.at, matches, message_steps))
    return True


async def convert_others(
    connection: Connection,
    definitions: Definitions,
    person: Person,
    trigger: Trigger,
    rows: Sequence[CampaignRow],
    origin: MessageOrigin | None,
) -> None:
    """Count conversions after an entry has ended, and of customers who were left out to compare with.

    `rows` are the campaigns of which the event is the goal.
    """
    goals = {row.key: await definitions.get(connection, row.key, row.version) for row in rows if not row.is_draft}
    if not goals:
        return
    for entry in await entries.ended_since(connection, person.id, goals):
        if origin and entry.id != origin.entry_id:
            continue
        definition = goals[entry.campaign_key]
        if await _reaches(connection, person, entry.id, entry.trigger or {}, trigger, definition, entry.entered_at):
            await entries.mark_converted(connection, entry.id, person.now)
    if origin:
        return
    for key, since in (await holdouts.unconverted(connection, person.id, goals)).items():
        if await _reaches(connection, person, None, {}, trigger, goals[key], since):
            await holdouts.mark_converted(connection, key, person.id, person.now)


async def _reaches(
    connection: Connection,
    person: Person,
    entry_id: str | None,
    entry_trigger: Json,
    trigger: Trigger,
    definition: Definition,
    since: datetime,
) -> bool:
    """Whether the event reaches the campaign's goal, within its time since then."""
    if definition.goal is None:
        return False
    known = await _facts(connection, person, entry_id, entry_trigger, trigger, [definition.goal.where])
    return holds(definition.goal.where, known) and _within(definition, since, person.now)


def _within(definition: Definition, since: datetime, now: datetime) -> bool:
    window = definition.goal.within if definition.goal else None
    return window is None or now <= since + parse_duration(window)


async def _facts(
    connection: Connection,
    person: Person,
    entry_id: str | None,
    entry_trigger: Json,
    trigger: Trigger,
    conditions: Iterable[Condition | None],
) -> Facts:
    return await facts.load(
        connection,
        conditions,
        person.now,
        person.id,
        person.attributes,
        properties=trigger.properties,
        trigger=entry_trigger.get("properties", {}),
        entry_id=entry_id,
    )


def _asks_for_step(where: Condition | None) -> bool:
    """Whether the condition itself says of which message the event is to be."""
    return where is not None and any(isinstance(part, PropertyIs) and part.property == "step" for part in walk(where))
