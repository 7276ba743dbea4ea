"""What a customer would get: the journey's own verbs and activities, in a world of its own, at a time of its own.

Nothing is sent, and nothing of it stays: the world is a database in a temporary directory.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from campaigns.activities.delivery.activity import DeliveryActivities
from campaigns.activities.progress import ProgressActivities
from campaigns.activities.senders.base import Outgoing, Sender
from campaigns.activities.senders.recorder import Recorder
from campaigns.models.addresses import address_of
from campaigns.models.channels import CHANNELS
from campaigns.models.decision import Trigger
from campaigns.models.dispatch import DispatchKind, DispatchRow
from campaigns.models.entry import EntryStatus
from campaigns.models.journey.definition import (
    CampaignStatus,
    EventTrigger,
    mentioned_segments,
)
from campaigns.models.journey.outline import outline
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.segment_rules import known_rule, mentions
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection, Database, open_database
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import (
    campaigns,
    consents,
    customers,
    entries,
    events,
    messages,
    outbox,
    segments,
    steps,
    suppressions,
    templates,
)
from campaigns.models.store.tables import Table
from campaigns.models.values import Json, iso, time_moved_to
from campaigns.starter.authoring.scenario import Happening, Scenario
from campaigns.starter.intake.events import Intake
from campaigns.starter.intake.tracking import TrackingCall
from campaigns.starter.outbox import Outbox, signal_argument
from campaigns.starter.segments.follow import Touch
from campaigns.starter.segments.moved import look_again
from campaigns.workflows.contract import EntryInput
from campaigns.workflows.declared import DeclaredJourney
from campaigns.workflows.entry import EntryWorkflow
from campaigns.workflows.registry import Journeys
from campaigns.workflows.simulated import SimulatedRuntime, TooLong

ENTRY = "simulated"
MAX_ACTIVITIES = 2_000


async def simulate(scenario: Scenario, journeys: Journeys) -> Json:
    """The path and the messages. Raises Invalid where the journey comes to no end.

    In a thread of its own, for a simulation computes without a pause.
    """
    return await asyncio.to_thread(lambda: asyncio.run(_simulate(scenario, journeys)))


async def _simulate(scenario: Scenario, journeys: Journeys) -> Json:
    with TemporaryDirectory(prefix="campaigns-simulation-") as directory:
        database = open_database(f"sqlite:///{Path(directory) / 'world.db'}")
        try:
            return await _World(scenario, journeys, database).play()
        finally:
            await database.close()


class _World:
    """One customer, one campaign, one entry."""

    def __init__(self, scenario: Scenario, journeys: Journeys, database: Database) -> None:
        self._scenario = scenario
        self._journeys = journeys
        self._database = database
        self._recorder = Recorder()
        self._signing = Signing(uuid4().hex)
        definitions = Definitions(journeys)
        self._outbox = Outbox(database)
        self._definitions = definitions
        self._intake = Intake(self._outbox, definitions, self._signing)
        senders: dict[str, Sender] = dict.fromkeys(CHANNELS, self._recorder)
        delivery = DeliveryActivities(
            database, definitions, senders, self._signing, "https://simulated.invalid", tracks=False
        )
        activities: list[object] = [delivery, ProgressActivities(database, definitions)]
        self._runtime = SimulatedRuntime(scenario.at, activities, self._deliver, MAX_ACTIVITIES)
        self._journey = self._make_journey()

    async def play(self) -> Json:
        """Runs the entry to its end."""
        with time_moved_to(self._scenario.at):
            await self._seed()
        running = asyncio.ensure_future(self._journey.run(self._input))  # type: ignore[attr-defined] # every journey has it
        ahead = sorted((one for one in self._scenario.events if one.at >= self._scenario.at), key=lambda one: one.at)
        try:
            await self._advance(running, ahead)
            await running
        except TooLong:
            detail = f"comes to no end within {MAX_ACTIVITIES} steps"
            raise Invalid([FieldError("workflow", detail)]) from None
        return await self._told()

    async def _advance(self, running: "asyncio.Future[str]", ahead: list[Happening]) -> None:
        while True:
            await self._runtime.settle()
            if running.done():
                return
            timer = self._runtime.next_deadline()
            if ahead and (timer is None or ahead[0].at <= timer):
                await self._happen(ahead.pop(0))
            elif timer is not None:
                self._runtime.move_to(timer)
            else:
                raise AssertionError("an entry that waits has a timer")

    async def _happen(self, one: Happening) -> None:
        self._runtime.move_to(one.at)
        call = TrackingCall(
            type="track", userId=self._scenario.customer_id, messageId=uuid4().hex, event=one.event,
            properties=one.properties,
        )  # fmt: skip
        with time_moved_to(one.at):
            await self._intake.take(call)
            await self._deliver()

    async def _deliver(self) -> None:
        """Signals what is owed to the entry: it is looked for in the database, where activities leave theirs too."""
        async with self._database.write() as connection:
            rows = await outbox.of_entry(connection, ENTRY)
            await outbox.delete_done(connection, [row.id for row in rows])
        for row in rows:
            await self._act(row)

    async def _act(self, row: DispatchRow) -> None:
        match row.kind:
            case DispatchKind.EVENT:
                self._journey.on_event(signal_argument(row))
            case DispatchKind.EXIT:
                self._journey.on_exit(signal_argument(row))
            case DispatchKind.RESCHEDULE:
                self._journey.on_reschedule()
            case DispatchKind.FOLLOW:
                touch = Touch("journey", attributes=frozenset(row.payload["attributes"]))
                campaign = self._scenario.definition.key
                await look_again(self._outbox, self._definitions, self._scenario.customer_id, touch, but_for=campaign)

    @property
    def _trigger(self) -> Trigger:
        scenario, stated = self._scenario, self._scenario.definition.trigger
        if isinstance(stated, EventTrigger):
            properties = self._journeys.completed(scenario.definition.workflow or "", scenario.trigger)
            return Trigger("simulated", "event", stated.event, scenario.at, properties)
        return Trigger("simulated", "segment", str(scenario.trigger.get("segment", stated.segments[0])), scenario.at)

    def _make_journey(self) -> EntryWorkflow:
        definition, customer_id = self._scenario.definition, self._scenario.customer_id
        code = self._journeys.get(definition.workflow)
        if code is None:
            self._input = EntryInput(ENTRY, definition.key, 1, customer_id, outline(definition))
            journey: EntryWorkflow = DeclaredJourney(self._input)
        else:
            trigger = self._signing.seal(self._trigger.liquid_event())
            self._input = EntryInput(ENTRY, definition.key, 1, customer_id, trigger=trigger, workflow=code.__name__)
            journey = code(self._input)
            journey.signing = self._signing  # type: ignore[misc] # of this world alone
        journey.runtime = self._runtime
        return journey

    async def _seed(self) -> None:
        scenario = self._scenario
        async with self._database.write() as connection:
            await connection.run_sync(Table.metadata.create_all)
            await customers.lock_or_create(connection, scenario.customer_id, scenario.at)
            await customers.write_attributes(connection, scenario.customer_id, scenario.attributes, scenario.at)
            for said in scenario.consents:
                await consents.put(
                    connection, scenario.customer_id, said.channel, said.topic, said.status, said.source, said.at
                )
            await self._seed_against(connection)
            named = {key for _, key in mentioned_segments(scenario.definition)}
            for key in {*scenario.segments, *named, *scenario.rules}:
                await segments.put(connection, key, key, True, scenario.at)
            for key, rule in scenario.rules.items():
                await segments.set_rule(connection, key, rule, mentions(known_rule(rule)).by_kind(), triggers=False)
            for key in scenario.segments:
                await segments.add_member(connection, key, scenario.customer_id, scenario.at)
            for key, content in scenario.templates.items():
                await templates.put(connection, key, content, scenario.at)
            await self._seed_events(connection)
            await self._seed_entry(connection)

    async def _seed_against(self, connection: Connection) -> None:
        at = self._scenario.at
        for channel, against in self._scenario.against.items():
            hashed = self._signing.address_hash(channel, str(address_of(channel, self._scenario.attributes)))
            if against.suppressed:
                await suppressions.add(connection, channel, hashed, "known", at)
            kept = {"subject_hash": hashed, "channel": channel, "source": "known", "at": at}
            await consents.keep_opt_outs(connection, [{**kept, "topic": topic} for topic in against.opted_out])

    async def _seed_events(self, connection: Connection) -> None:
        past = [one for one in self._scenario.events if one.at < self._scenario.at]
        trigger = self._trigger
        if trigger.type == "event":
            past.append(Happening(trigger.name, trigger.properties, trigger.at))
        rows = [
            TrackingCall(
                type="track", userId=self._scenario.customer_id, messageId=uuid4().hex, event=one.event,
                properties=one.properties, timestamp=one.at,
            ).row(one.at)
            for one in past
        ]  # fmt: skip
        await events.add_many(connection, [{**row, "answer": None} for row in rows])

    async def _seed_entry(self, connection: Connection) -> None:
        definition = self._scenario.definition
        await campaigns.create(connection, definition, self._scenario.at)
        row = await campaigns.get(connection, definition.key)
        if row is not None:
            await campaigns.set_status(connection, row, CampaignStatus.LIVE, self._scenario.at)
        await entries.add(
            connection,
            {
                "id": ENTRY,
                "campaign_key": definition.key,
                "version": 1,
                "customer_id": self._scenario.customer_id,
                "trigger": self._trigger.to_json(),
                "status": EntryStatus.RUNNING,
                "entered_at": self._scenario.at,
            },
        )

    async def _told(self) -> Json:
        """As the API answers."""
        async with self._database.read() as connection:
            entry = await entries.get(connection, ENTRY)
            passed = await steps.timeline(connection, ENTRY)
            sent = await messages.of_entry(connection, ENTRY)
        if entry is None:
            raise AssertionError("the entry is there")
        by_place = {(one.step_id, one.repetition): one for one in sent}
        types = {step.id: step.type for step in self._scenario.definition.all_steps}
        taken = {one.outgoing.message_id: one.outgoing for one in self._recorder.taken}
        lines = []
        for one in passed:
            message = by_place.get((one.step_id, one.repetition))
            line: Json = {
                "id": one.step_id,
                "type": types.get(one.step_id, "unknown"),
                "entered_at": iso(one.entered_at),
                "at": iso(one.ended_at or one.entered_at),
                "outcome": message.status if message else one.outcome,
            }
            if one.reason:
                line["reason"] = one.reason
            if message and message.id in taken:
                line["message"] = _shown(message.channel, taken[message.id])
            lines.append(line)
        return {"steps": lines, "ended": {"at": iso(entry.ended_at), "how": entry.ended_by, "status": entry.status}}


def _shown(channel: str, outgoing: Outgoing) -> Json:
    """The message in the words of its step."""
    if CHANNELS[channel].address is None:
        fields = {"url": outgoing.to, "method": outgoing.method, "headers": outgoing.headers, "body": outgoing.text}
    else:
        parts = {name: "text" if name == "body" else name for name in CHANNELS[channel].content}
        fields = {"to": outgoing.to, **{name: getattr(outgoing, part) for name, part in parts.items()}}
    return {"channel": channel, **{name: value for name, value in fields.items() if value is not None}}
