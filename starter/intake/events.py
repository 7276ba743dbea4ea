"""Calls of the tracking API are taken in: each is decided in one transaction, with all that it owes to Temporal."""

from collections.abc import Sequence
from datetime import datetime

from campaigns.models.decision import Decision, Trigger
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import campaigns, customers, entries, events, messages
from campaigns.models.values import Json, utc_now
from campaigns.starter import customer
from campaigns.starter.admission.admit import admit
from campaigns.starter.customer import Person
from campaigns.starter.intake.listening import MessageOrigin, convert_others, hear
from campaigns.starter.intake.profiles import change_profile
from campaigns.starter.intake.tracking import TrackingCall
from campaigns.starter.outbox import Outbox, Unit
from campaigns.starter.segments.follow import Touch, follow
from campaigns.starter.segments.moved import moved

KNOWN_NAMES = 10_000
"""So many names of events a starter keeps in mind; others are looked up each time."""


class Intake:
    """Takes in what happens to customers."""

    def __init__(self, outbox: Outbox, definitions: Definitions, signing: Signing) -> None:
        self._outbox = outbox
        self._definitions = definitions
        self._signing = signing
        self._known_names: set[str] = set()

    async def take(self, call: TrackingCall, origin: MessageOrigin | None = None) -> Json:
        """Take in one call; return its answer, which a double gets again. Durable when it returns.

        With an `origin` it is an event of a message of our own: it triggers no campaign by which it came about, and
        only the entry that sent the message waits for it.
        """
        async with self._outbox.transaction() as unit:
            if quiet := await self._take_quiet(unit.connection, [call]):
                await _mark(unit.connection, origin)
                return quiet[call.message_id]
            answer = await self._decide(unit, call, origin)
        self._remember([call])
        return answer

    async def take_many(self, calls: Sequence[TrackingCall]) -> list[Json]:
        """Take in calls; return the answers in their order. Those that concern nobody are taken together."""
        async with self._outbox.transaction() as unit:
            quiet = await self._take_quiet(unit.connection, calls)
        self._remember([call for call in calls if call.message_id in quiet])
        return [quiet.get(call.message_id) or await self.take(call) for call in calls]

    async def _take_quiet(self, connection: Connection, calls: Sequence[TrackingCall]) -> dict[str, Json]:
        """Keep the calls that concern no campaign, segment or entry; return their answers by message id.

        Of a customer whom one of the calls concerns none is taken, so that each customer's stay in their order.
        """
        names = {call.event_name for call in calls if call.event_name}
        ids = {call.user_id for call in calls if call.user_id}
        concern = await events.concerning(connection, names, ids)
        quiet_ids = concern.known - concern.running
        for call in calls:
            if call.user_id and (call.type == "identify" or call.event_name in concern.names):
                quiet_ids.discard(call.user_id)
        held = await customers.hold(connection, quiet_ids)
        quiet = [call for call in calls if call.user_id is None or call.user_id in held]
        if not quiet:
            return {}
        now = utc_now()
        await self._keep_names(connection, quiet, now)
        return await events.add_many(connection, [{**call.row(now), "answer": _answer(call, [], [])} for call in quiet])

    async def _decide(self, unit: Unit, call: TrackingCall, origin: MessageOrigin | None) -> Json:
        if call.user_id is None:
            raise AssertionError("a call of nobody's was taken as one that concerns nobody")
        person = await customer.lock_or_make(
            unit.connection, self._signing, call.user_id, readmits=call.type == "identify"
        )
        if not await events.add(unit.connection, call.row(person.now)):
            return await events.answer(unit.connection, call.message_id) or {}
        await _mark(unit.connection, origin)
        await self._keep_names(unit.connection, [call], person.now)
        signalled: list[str] = []
        if call.event_name is None:
            traits = call.traits if call.type == "identify" else {}
            decisions = await change_profile(unit, self._definitions, person, traits, call.type)
        else:
            trigger = Trigger(call.message_id, "event", call.event_name, person.now, call.properties)
            signalled, decisions = await self._happen(unit, person, trigger, origin)
        if person.erased:
            await events.forget(unit.connection, call.message_id)
        answer = _answer(call, decisions, signalled)
        await events.set_answer(unit.connection, call.message_id, answer)
        return answer

    async def _happen(
        self, unit: Unit, person: Person, trigger: Trigger, origin: MessageOrigin | None
    ) -> tuple[list[str], list[Decision]]:
        """Act on an event; return the entries that are signalled, and what admission decided.

        Signals and conversions come first, for an entry's trigger is never one of its own events; then admission.
        """
        connection, definitions = unit.connection, self._definitions
        signalled = await hear(unit, definitions, person, trigger, origin)
        triggered, goals = await campaigns.listening_to(connection, trigger.name)
        await convert_others(connection, definitions, person, trigger, goals, origin)
        # Memberships follow first: like the customer's events, they include what has just happened.
        touch = Touch(f"event {trigger.name}", events=frozenset([trigger.name]), is_new=person.is_new)
        changes = await follow(connection, person, touch)
        own = origin.campaign if origin else None
        decisions = await admit(unit, definitions, person, trigger, triggered, but_for=own)
        if changes:
            person.running = await entries.running_of_customer(connection, person.id)
            decisions += await moved(unit, definitions, person, changes, but_for=own)
        return signalled, decisions

    async def _keep_names(self, connection: Connection, calls: Sequence[TrackingCall], now: datetime) -> None:
        await events.remember_names(connection, {call.event_name for call in calls} - self._known_names, now)

    def _remember(self, calls: Sequence[TrackingCall]) -> None:
        """Keep in mind which names are committed: they need not be written again."""
        if len(self._known_names) < KNOWN_NAMES:
            self._known_names.update(call.event_name for call in calls if call.event_name)


def _answer(call: TrackingCall, decisions: Sequence[Decision], signalled: Sequence[str]) -> Json:
    return {
        "success": True,
        "messageId": call.message_id,
        "decisions": [decision.to_json() for decision in decisions],
        "signalled": list(signalled),
    }


async def _mark(connection: Connection, origin: MessageOrigin | None) -> None:
    if origin:
        for mark in origin.marks:
            await messages.mark_happened(connection, origin.message_id, mark, utc_now())
