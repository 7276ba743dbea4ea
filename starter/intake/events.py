"""What comes in about customers: events, profiles, memberships. Each is decided in one transaction, then dispatched."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import uuid4

from campaigns.models.addresses import address_of
from campaigns.models.decision import Decision, EndedBy, Trigger
from campaigns.models.journey.conditions import Condition, Facts, PropertyIs, holds, walk
from campaigns.models.journey.definition import GOAL, Definition, SegmentTrigger
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection, Database
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import (
    campaigns,
    consents,
    customers,
    decisions,
    entries,
    erasures,
    events,
    facts,
    holdouts,
    messages,
    outbox,
    segments,
)
from campaigns.models.store.queries.campaigns import CampaignRow
from campaigns.models.store.queries.entries import RunningEntry
from campaigns.models.store.queries.outbox import SWEEP_AFTER, DispatchRow
from campaigns.models.store.queries.rescheduling import reschedule
from campaigns.models.values import Json, iso, parse_duration, utc_now
from campaigns.starter.admission.admit import Person, admit, exit_row
from campaigns.starter.intake.tracking import TrackingCall
from campaigns.starter.segments.follow import Change, Touch, change_row, follow


def _answer(message: TrackingCall, outcome: "_Outcome") -> Json:
    return {
        "success": True,
        "messageId": message.message_id,
        "decisions": [decision.to_json() for decision in outcome.decisions],
        "signalled": outcome.signalled,
    }


EVENT_NAMES = 10_000
"""So many names of events a starter keeps in mind; others are looked up each time."""


@dataclass(frozen=True)
class MessageOrigin:
    """The message that an event is of, and what it says of the message."""

    message_id: str
    campaign: str
    entry_id: str
    step: str
    marks: Sequence[str] = ()


@dataclass
class _Outcome:
    """What a transaction decided, and owes to Temporal."""

    decisions: list[Decision] = field(default_factory=list)
    signalled: list[str] = field(default_factory=list)
    owed: list[DispatchRow] = field(default_factory=list)


class Dispatches(Protocol):
    """Whoever acts on what was committed."""

    def dispatch(self, rows: Iterable[DispatchRow]) -> None:
        """Takes committed rows; does them soon."""
        ...


class Intake:
    """Takes in what happens to customers."""

    def __init__(self, database: Database, definitions: Definitions, signing: Signing, dispatcher: Dispatches) -> None:
        self._database = database
        self._definitions = definitions
        self._signing = signing
        self._dispatcher = dispatcher
        self._heard_of: set[str] = set()

    async def take(self, message: TrackingCall, origin: MessageOrigin | None = None) -> Json:
        """Takes in one message of the tracking API; the answer, which a double gets again. Durable when it returns.

        With an `origin` it is an event of a message of our own: it triggers no campaign by which it came about, and
        only the entry that sent the message waits for it.
        """
        async with self._database.write() as connection:
            if quiet := await self._take_quiet(connection, [message]):
                await _mark(connection, origin)
                return quiet[message.message_id]
            person = await self.person(connection, message.user_id, creates=message.type == "identify")
            received = person.now if person else utc_now()
            if not await events.add(connection, message.row(received)):
                return await events.answer(connection, message.message_id) or {}
            await _mark(connection, origin)
            await self._remember_names(connection, [message], received)
            outcome = _Outcome()
            if person and message.event_name is not None:
                outcome = await self._event(connection, person, message, received, origin)
            elif person:
                traits = message.traits if message.type == "identify" else {}
                outcome = await self._profile(connection, person, traits, message.type)
            answer = _answer(message, outcome)
            await events.set_answer(connection, message.message_id, answer)
        self._heard([message])
        self._dispatcher.dispatch(outcome.owed)
        return answer

    async def take_many(self, messages: Sequence[TrackingCall]) -> list[Json]:
        """Takes in messages; the answers in their order. Those that concern nobody are taken together."""
        async with self._database.write() as connection:
            quiet = await self._take_quiet(connection, messages)
        self._heard([message for message in messages if message.message_id in quiet])
        return [quiet.get(message.message_id) or await self.take(message) for message in messages]

    async def _take_quiet(self, connection: Connection, messages: Sequence[TrackingCall]) -> dict[str, Json]:
        """Keeps the messages that concern no campaign, segment or entry; their answers by message id.

        Of a customer whom one of the messages concerns none is taken, so that each customer's stay in their order.
        """
        names = {message.event_name for message in messages if message.event_name}
        ids = {message.user_id for message in messages if message.user_id}
        concern = await events.concerning(connection, names, ids)
        quiet_ids = concern.known - concern.running
        for message in messages:
            if message.user_id and (message.type == "identify" or message.event_name in concern.names):
                quiet_ids.discard(message.user_id)
        held = await customers.hold(connection, quiet_ids)
        quiet = [message for message in messages if message.user_id is None or message.user_id in held]
        if not quiet:
            return {}
        now = utc_now()
        await self._remember_names(connection, quiet, now)
        rows = [{**message.row(now), "answer": _answer(message, _Outcome())} for message in quiet]
        return await events.add_many(connection, rows)

    async def _remember_names(self, connection: Connection, messages: Sequence[TrackingCall], now: datetime) -> None:
        names = {message.event_name for message in messages} - self._heard_of
        await events.remember_names(connection, names, now)

    def _heard(self, messages: Sequence[TrackingCall]) -> None:
        """What is committed need not be written again."""
        if len(self._heard_of) < EVENT_NAMES:
            self._heard_of.update(message.event_name for message in messages if message.event_name)

    async def put_customer(self, customer_id: str, attributes: Json) -> list[Decision]:
        """Makes the customer, or changes the given attributes; null takes one away."""
        outcome = _Outcome()
        async with self._database.write() as connection:
            person = await self.person(connection, customer_id, creates=True)
            if person:
                outcome = await self._profile(connection, person, attributes, "api")
        self._dispatcher.dispatch(outcome.owed)
        return outcome.decisions

    async def enter_segment(self, key: str, customer_ids: Sequence[str]) -> list[tuple[str, Decision]]:
        """Makes the customers members; each who was not one triggers what listens. Nothing where one is unknown."""
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
            made.extend((customer_id, decision) for decision in await self._enter(key, customer_id))
        return made

    async def _enter(self, key: str, customer_id: str) -> list[Decision]:
        async with self._database.write() as connection:
            person = await self.person(connection, customer_id, creates=False)
            if person is None or person.erased:
                return []
            if not await segments.add_member(connection, key, customer_id, person.now):
                return []
            outcome = await self._moved_by_hand(connection, person, Change(key, entered=True))
        self._dispatcher.dispatch(outcome.owed)
        return outcome.decisions

    async def leave_segment(self, key: str, customer_id: str) -> bool:
        """Ends the membership; entries of campaigns that end with it are signalled. False where there was none."""
        async with self._database.write() as connection:
            person = await self.person(connection, customer_id, creates=False)
            if person is None or not await segments.remove_member(connection, key, customer_id):
                return False
            outcome = await self._moved_by_hand(connection, person, Change(key, entered=False))
        self._dispatcher.dispatch(outcome.owed)
        return True

    async def look_again(
        self, customer_id: str, touch: Touch, *, but_for: str | None = None, triggers: bool = True
    ) -> list[Decision]:
        """Lets the customer's memberships follow the rules that are touched, and what listens to them.

        `but_for` names the campaign that has touched them itself.
        """
        async with self._database.write() as connection:
            person = await self.person(connection, customer_id, creates=False, only_known=True)
            if person is None:
                return []
            changes = await follow(connection, person, touch)
            if not triggers:
                return []
            outcome = await self._moved(connection, person, changes, but_for=but_for)
        self._dispatcher.dispatch(outcome.owed)
        return outcome.decisions

    async def _moved_by_hand(self, connection: Connection, person: Person, change: Change) -> _Outcome:
        """Records the change, lets the segments that ask about this one follow, and acts on all of it."""
        await segments.add_changes(connection, [change_row(person, change, "by hand")])
        touch = Touch(f"segment {change.segment}", segments=frozenset([change.segment]))
        return await self._moved(connection, person, [change, *await follow(connection, person, touch)])

    async def _moved(
        self, connection: Connection, person: Person, changes: Sequence[Change], *, but_for: str | None = None
    ) -> _Outcome:
        """What follows from entering and leaving segments: exits first, then admission."""
        outcome = _Outcome()
        if any(not change.entered for change in changes):
            outcome.owed += await self._exits(connection, person)
        for change in changes:
            if change.entered:
                trigger = Trigger(f"{change.segment}:{uuid4().hex}", "segment", change.segment, person.now)
                rows = await campaigns.triggered_by(connection, change.segment)
                made, owed = await admit(connection, self._definitions, person, trigger, rows, but_for=but_for)
                outcome.decisions += made
                outcome.owed += owed
                if made:
                    # The next segment's admission sees what this one began and pre-empted.
                    person.running = await entries.running_of_customer(connection, person.id)
        return outcome

    async def _exits(self, connection: Connection, person: Person) -> list[DispatchRow]:
        owed = []
        left = await segments.of_customer(connection, person.id)
        for entry in person.running:
            definition = await self._definitions.get(connection, entry.campaign, entry.version)
            if _left_all(definition, left) and await entries.request_exit(connection, entry.id, EndedBy.LEFT_SEGMENT):
                owed.append(exit_row(entry.id, EndedBy.LEFT_SEGMENT))
        await outbox.add(connection, owed, person.now + SWEEP_AFTER)
        return owed

    async def erase(self, customer_id: str) -> bool:
        """Erases the customer's rows, running entries and executions in Temporal; counts stay. False if unknown."""
        async with self._database.write() as connection:
            attributes = await customers.lock(connection, customer_id)
            if attributes is None:
                return False
            now = utc_now()
            found = await entries.of_customer(connection, customer_id)
            for entry_id, status in found:
                if status == "running":
                    await entries.end(connection, entry_id, "exited", EndedBy.ERASED, now)
            await entries.make_anonymous(connection, [entry_id for entry_id, _ in found])
            await consents.keep_opt_outs(connection, await self._opt_outs(connection, customer_id, attributes))
            await decisions.make_anonymous(connection, customer_id)
            await erasures.erase_customer(connection, customer_id, self._signing.hash("customer", customer_id), now)
            owed = [DispatchRow(f"erase-{entry_id}", "erase", entry_id, {}) for entry_id, _ in found]
            await outbox.add(connection, owed, now + SWEEP_AFTER)
        self._dispatcher.dispatch(owed)
        return True

    async def _opt_outs(self, connection: Connection, customer_id: str, attributes: Json) -> list[Json]:
        """What the customer has unsubscribed from, by the hashes of their id and of their addresses."""
        rows = []
        for said in await consents.of_customer(connection, customer_id):
            if said.status != "unsubscribed":
                continue
            kept = {"channel": said.channel, "topic": said.topic, "source": said.source, "at": said.at}
            rows.append({**kept, "subject_hash": self._signing.hash("customer", customer_id)})
            address = address_of(said.channel, attributes)
            if isinstance(address, str):
                rows.append({**kept, "subject_hash": self._signing.address_hash(said.channel, address)})
        return rows

    async def person(
        self, connection: Connection, customer_id: str | None, *, creates: bool, only_known: bool = False
    ) -> Person | None:
        """The customer, locked. An event makes an unknown customer, but never one who was erased."""
        if customer_id is None:
            return None
        attributes = await customers.lock(connection, customer_id)
        is_new = attributes is None
        if attributes is None:
            if only_known:
                return None
            hashed = self._signing.hash("customer", customer_id)
            if creates:
                await erasures.readmit(connection, customer_id, hashed)
            elif await erasures.erased_among(connection, [hashed]):
                return Person(customer_id, {}, True, utc_now())
            attributes = await customers.lock_or_create(connection, customer_id, utc_now())
        running = await entries.running_of_customer(connection, customer_id)
        # The time of the decision is read under the lock, so that decisions about a customer have an order.
        return Person(customer_id, attributes, False, utc_now(), running, is_new)

    async def _profile(self, connection: Connection, person: Person, traits: Json, source: str) -> _Outcome:
        """Changes the attributes; running entries plan again, and memberships follow."""
        before = person.attributes
        merged = {name: value for name, value in {**person.attributes, **traits}.items() if value is not None}
        merged.pop("id", None)
        changed = {name for name in {*before, *merged} if before.get(name) != merged.get(name)}
        if changed:
            await customers.write_attributes(connection, person.id, merged, person.now)
            person.attributes = merged
        if not changed and not person.is_new:
            return _Outcome()
        owed = await reschedule(connection, self._definitions, person.running, changed, person.now)
        cause = f"{source}: {', '.join(sorted(changed))}"
        touch = Touch(cause, attributes=frozenset(changed), is_new=person.is_new)
        outcome = await self._moved(connection, person, await follow(connection, person, touch))
        outcome.owed += owed
        return outcome

    async def _event(
        self,
        connection: Connection,
        person: Person,
        message: TrackingCall,
        received: datetime,
        origin: MessageOrigin | None,
    ) -> _Outcome:
        """Signals and conversions first, for an entry's trigger is never one of its own events; then admission."""
        trigger = Trigger(message.message_id, "event", message.event_name or "", received, message.properties)
        outcome = _Outcome()
        for entry in person.running:
            if origin and entry.id != origin.entry_id:
                continue
            owed = await self._hears(connection, person, entry, trigger, origin)
            if owed:
                outcome.signalled.append(entry.id)
                outcome.owed.extend(owed)
        triggered, goals = await campaigns.listening_to(connection, trigger.name)
        await self._convert_others(connection, person, trigger, goals, origin)
        await outbox.add(connection, outcome.owed, person.now + SWEEP_AFTER)
        # Memberships follow first: like the customer's events, they include what has just happened.
        touch = Touch(f"event {trigger.name}", events=frozenset([trigger.name]), is_new=person.is_new)
        changes = await follow(connection, person, touch)
        own = origin.campaign if origin else None
        made, owed = await admit(connection, self._definitions, person, trigger, triggered, but_for=own)
        outcome.decisions += made
        outcome.owed += owed
        if changes:
            person.running = await entries.running_of_customer(connection, person.id)
            moved = await self._moved(connection, person, changes, but_for=own)
            outcome.decisions += moved.decisions
            outcome.owed += moved.owed
        if person.erased:
            await events.forget(connection, message.message_id)
        return outcome

    async def _hears(
        self,
        connection: Connection,
        person: Person,
        entry: RunningEntry,
        trigger: Trigger,
        origin: MessageOrigin | None,
    ) -> list[DispatchRow]:
        """What a running entry makes of the event: a conversion, an exit, or a signal with what it matches."""
        definition = await self._definitions.get(connection, entry.campaign, entry.version)
        listeners = [one for one in definition.listeners if one.event == trigger.name]
        if not listeners:
            return []
        asked = await self._facts(
            connection, person, entry.id, entry.trigger, trigger, [one.where for one in listeners]
        )
        matches = [one.key for one in listeners if holds(one.where, asked)]
        if GOAL in matches:
            matches.remove(GOAL)
            if definition.goal and _within(definition, entry.entered_at, person.now):
                await entries.mark_converted(connection, entry.id, person.now)
                if definition.goal.exit:
                    requested = await entries.request_exit(connection, entry.id, EndedBy.GOAL)
                    return [exit_row(entry.id, EndedBy.GOAL)] if requested else []
        if not matches or entry.exit_request:
            return []
        payload: Json = {"event_id": trigger.id, "name": trigger.name, "at": iso(trigger.at), "matches": matches}
        if origin:
            payload["message_steps"] = {
                one.key: origin.step for one in listeners if one.key in matches and not _asks_for_step(one.where)
            }
        return [DispatchRow(f"{uuid4().hex}", "event", entry.id, payload)]

    async def _facts(
        self,
        connection: Connection,
        person: Person,
        entry_id: str | None,
        entry_trigger: Json,
        trigger: Trigger,
        conditions: Iterable[Any],
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

    async def _convert_others(
        self,
        connection: Connection,
        person: Person,
        trigger: Trigger,
        rows: Sequence[CampaignRow],
        origin: MessageOrigin | None,
    ) -> None:
        """Conversions after an entry has ended, and of customers who were left out to compare with."""
        goals = {
            row.key: await self._definitions.get(connection, row.key, row.version)
            for row in rows
            if row.status != "draft"
        }
        if not goals:
            return
        for entry in await entries.ended_since(connection, person.id, goals):
            if origin and entry.id != origin.entry_id:
                continue
            definition = goals[entry.campaign_key]
            asked = await self._facts(
                connection, person, entry.id, entry.trigger or {}, trigger, [definition.goal and definition.goal.where]
            )
            if _reaches(definition, asked) and _within(definition, entry.entered_at, person.now):
                await entries.mark_converted(connection, entry.id, person.now)
        if origin:
            return
        for key, since in (await holdouts.unconverted(connection, person.id, goals)).items():
            where = goals[key].goal
            asked = await self._facts(connection, person, None, {}, trigger, [where and where.where])
            if _reaches(goals[key], asked) and _within(goals[key], since, person.now):
                await holdouts.mark_converted(connection, key, person.id, person.now)


def _reaches(definition: Definition, facts: Facts) -> bool:
    return definition.goal is not None and holds(definition.goal.where, facts)


def _within(definition: Definition, since: datetime, now: datetime) -> bool:
    window = definition.goal.within if definition.goal else None
    return window is None or now <= since + parse_duration(window)


def _left_all(definition: Definition, still: frozenset[str]) -> bool:
    """Whether the campaign ends with membership, and the customer is in none of its segments."""
    trigger = definition.trigger
    return definition.exit_on_leave and isinstance(trigger, SegmentTrigger) and not still.intersection(trigger.segments)


async def _mark(connection: Connection, origin: MessageOrigin | None) -> None:
    if origin:
        for what in origin.marks:
            await messages.mark_happened(connection, origin.message_id, what, utc_now())


def _asks_for_step(where: Condition | None) -> bool:
    """Whether the condition itself says of which message the event is to be."""
    return where is not None and any(isinstance(one, PropertyIs) and one.property == "step" for one in walk(where))
