"""The facts around a decision, and what follows from it: all in the caller's transaction, under the customer's lock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from campaigns.models import dispatch
from campaigns.models.decision import Decision, Outcome, Trigger
from campaigns.models.entry import EndedBy, EntryStatus
from campaigns.models.journey.conditions import Facts, holds, value_at
from campaigns.models.journey.definition import Definition, EventTrigger, Interval, SegmentTrigger
from campaigns.models.store.database import Connection
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import decisions, due_entries, entries, facts, holdouts, segments
from campaigns.models.store.queries.campaigns import CampaignRow
from campaigns.models.store.queries.entries import PastEntries
from campaigns.models.values import Json, parse_duration
from campaigns.starter.admission.decide import Candidate, Rival, Verdict, decide, is_held_out
from campaigns.starter.customer import Person
from campaigns.starter.outbox import Unit


@dataclass(frozen=True)
class _Listening:
    """A campaign that the trigger concerns; a draft is not even parsed."""

    row: CampaignRow
    definition: Definition | None
    entry_key: str | None


async def admit(
    unit: Unit,
    definitions: Definitions,
    person: Person,
    trigger: Trigger,
    rows: Sequence[CampaignRow],
    *,
    only: str | None = None,
    but_for: str | None = None,
    is_new: bool = True,
) -> list[Decision]:
    """Decide about one trigger: write decisions and entries, and owe what follows from them.

    `rows` are the campaigns that listen for it. `only` names the campaign that it is for, where it is no other's;
    `but_for` the one that has made it itself, and which it does not trigger. One that is not new may have entered the
    customer before.
    """
    connection = unit.connection
    listening = [await _listening(connection, definitions, row, trigger) for row in rows if row.status != "archived"]
    rivals = _rivals(listening, person)
    listening = [listener for listener in listening if only in (None, listener.row.key) and listener.row.key != but_for]
    if not listening:
        return []
    used = set() if is_new else await decisions.entered_by(connection, person.id, trigger.id)
    candidates = await _candidates(connection, definitions, person, trigger, listening, used)
    verdicts = decide(candidates, rivals, person.now)
    await _preempt(unit, verdicts.preempted, person.now)
    made = []
    for listener, verdict in zip(listening, verdicts.verdicts, strict=True):
        entry_id = None
        if verdict.outcome is Outcome.ENTERED:
            entry_id = uuid4().hex
            await entries.add(
                connection, _entry_row(entry_id, listener, person, _completed(definitions, listener, trigger))
            )
            unit.owe(dispatch.start(entry_id))
            every = listener.definition.re_enters_every if listener.definition else None
            if every:
                await due_entries.put(connection, listener.row.key, person.id, person.now + every)
        made.append(_decision(verdict, entry_id, person.now))
    await decisions.add(connection, [_decision_row(decision, person, trigger) for decision in made])
    held_out = [decision.campaign for decision in made if decision.outcome is Outcome.HOLDOUT and not person.erased]
    await holdouts.add(connection, held_out, person.id, person.now)
    return made


async def _listening(
    connection: Connection, definitions: Definitions, row: CampaignRow, trigger: Trigger
) -> _Listening:
    if row.is_draft:
        return _Listening(row, None, None)
    definition = await definitions.get(connection, row.key, row.version)
    return _Listening(row, definition, _entry_key(definition, trigger))


def _entry_key(definition: Definition, trigger: Trigger) -> str | None:
    if definition.entry_key is None:
        return None
    value = value_at({"properties": trigger.properties}, definition.entry_key)
    return None if value is None else str(value)[:255]


async def _candidates(
    connection: Connection,
    definitions: Definitions,
    person: Person,
    trigger: Trigger,
    listening: Sequence[_Listening],
    used: set[str],
) -> list[Candidate]:
    live = [listener.definition for listener in listening if listener.definition and listener.row.is_live]
    conditions = [campaign.trigger.where for campaign in live if isinstance(campaign.trigger, EventTrigger)]
    # The customer's events include the one at hand.
    known = await facts.load(
        connection,
        conditions,
        person.now,
        person.id,
        person.attributes,
        properties=trigger.properties,
        trigger=trigger.properties,
    )
    past = await entries.past_of_customer(connection, person.id, [campaign.key for campaign in live]) if live else []
    active = True
    if trigger.type == "segment":
        active = not await segments.inactive(connection, [trigger.name])
    accepted = {campaign.key for campaign in live if definitions.accepts(campaign, trigger.liquid_event())}
    return [
        _candidate(listener, person, known, used, past, active, listener.row.key in accepted) for listener in listening
    ]


def _candidate(
    listener: _Listening,
    person: Person,
    known: Facts,
    used: set[str],
    past: Sequence[PastEntries],
    active: bool,
    accepted: bool,
) -> Candidate:
    row, definition = listener.row, listener.definition
    if definition is None or not row.is_live:
        return Candidate(row.key, row.status, row.created_at)
    own_past = [before for before in past if before.campaign == row.key]
    running = [entry for entry in person.running if entry.campaign == row.key]
    frequency = definition.frequency
    return Candidate(
        campaign=row.key,
        status=row.status,
        created_at=row.created_at,
        starts_at=definition.starts_at or row.created_at,
        ends_at=definition.ends_at,
        segment_active=active,
        matches=accepted and (isinstance(definition.trigger, SegmentTrigger) or holds(definition.trigger.where, known)),
        held_out=is_held_out(row.key, person.id, definition.holdout_percent),
        erased=person.erased,
        duplicate=row.key in used,
        running_entry=next((entry.id for entry in running if entry.entry_key == listener.entry_key), None),
        frequency=frequency.type,
        every=parse_duration(frequency.every) if isinstance(frequency, Interval) else timedelta(0),
        last_entered_at=max(
            (before.entered_at for before in own_past if before.entry_key == listener.entry_key and before.entered_at),
            default=None,
        ),
        cap=parse_duration(definition.frequency_cap) if definition.frequency_cap else timedelta(0),
        last_exposed_at=max((before.exposed_at for before in own_past if before.exposed_at), default=None),
        running_unexposed=next((entry.id for entry in running if entry.exposed_at is None), None),
        priority=definition.priority,
    )


def _rivals(listening: Sequence[_Listening], person: Person) -> list[Rival]:
    """Running entries of the campaigns that share the trigger; a campaign that is paused competes with what runs."""
    priorities = {
        listener.row.key: listener.definition.priority
        for listener in listening
        if listener.definition is not None and listener.definition.priority is not None
    }
    return [
        Rival(entry.id, entry.campaign, priority, entry.exposed_at is not None)
        for entry in person.running
        if (priority := priorities.get(entry.campaign)) is not None
    ]


async def _preempt(unit: Unit, entry_ids: list[str], now: datetime) -> None:
    for entry_id in entry_ids:
        await entries.request_exit(unit.connection, entry_id, EndedBy.PREEMPTED)
        await entries.end(unit.connection, entry_id, EntryStatus.EXITED, EndedBy.PREEMPTED, now)
        unit.owe(dispatch.exit(entry_id, EndedBy.PREEMPTED))


def _completed(definitions: Definitions, listener: _Listening, trigger: Trigger) -> Trigger:
    if listener.definition is None or trigger.type != "event":
        return trigger
    return replace(trigger, properties=definitions.completed(listener.definition, trigger.properties))


def _entry_row(entry_id: str, listener: _Listening, person: Person, trigger: Trigger) -> Json:
    return {
        "id": entry_id,
        "campaign_key": listener.row.key,
        "version": listener.row.version,
        "customer_id": person.id,
        "entry_key": listener.entry_key,
        "trigger": trigger.to_json(),
        "status": EntryStatus.RUNNING,
        "entered_at": person.now,
    }


def _decision(verdict: Verdict, entry_id: str | None, now: datetime) -> Decision:
    return Decision(verdict.campaign, verdict.outcome, now, entry_id, verdict.winner, verdict.retry_at, verdict.facts)


def _decision_row(decision: Decision, person: Person, trigger: Trigger) -> Json:
    return {
        "campaign_key": decision.campaign,
        # One who was erased leaves no row, not even here.
        "customer_id": None if person.erased else person.id,
        "trigger_id": trigger.id,
        "trigger_name": trigger.name,
        "outcome": decision.outcome.value,
        "entry_id": decision.entry_id,
        "winner": decision.winner,
        "retry_at": decision.retry_at,
        "facts": decision.facts or None,
        "decided_at": decision.decided_at,
    }
