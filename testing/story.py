"""One customer on one journey: the product's own admission, intake and activities; only the providers are stand-ins."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from temporalio.api.testservice.v1 import LockTimeSkippingRequest, UnlockTimeSkippingRequest
from temporalio.testing import WorkflowEnvironment

from campaigns.activities.senders.base import Sender
from campaigns.activities.senders.recorder import Recorder, Taken
from campaigns.models import dispatch
from campaigns.models.channels import CHANNELS
from campaigns.models.decision import Decision, Outcome
from campaigns.models.dispatch import DispatchRow
from campaigns.models.entry import EndedBy
from campaigns.models.journey.definition import CampaignStatus, Definition, SegmentTrigger
from campaigns.models.signing import Signing
from campaigns.models.store.database import Database
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import campaigns, entries, outbox, segments, steps
from campaigns.models.store.queries.templates import put as put_template
from campaigns.models.store.tables import Table
from campaigns.models.values import Json, time_moved_to, utc_now
from campaigns.starter.intake.events import Intake
from campaigns.starter.intake.profiles import Profiles
from campaigns.starter.intake.tracking import parse_call
from campaigns.starter.outbox import Outbox
from campaigns.starter.relay import Relay
from campaigns.starter.segments.by_hand import MembersByHand
from campaigns.workflows.client import EntryClient, workflow_id
from campaigns.workflows.registry import Journeys
from campaigns.workflows.replay import make_replayer

CUSTOMER = "ann"
SECRET = "a key for stories only, which is no secret"  # noqa: S105
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Sent:
    """A message that a provider took."""

    step: str
    at: datetime
    after: timedelta
    """Since the entry began, to the minute."""
    channel: str
    to: str
    subject: str
    """Of a mail; the title of a push notification."""
    text: str
    """The text of a mail, the body of any other message."""
    html: str


class Story:
    """What happens to one customer; made by `telling`."""

    def __init__(
        self, environment: WorkflowEnvironment, database: Database, definition: Definition, journeys: Journeys
    ) -> None:
        self._environment = environment
        self._database = database
        self.definition = definition
        signing = Signing(SECRET)
        definitions = Definitions(journeys)
        client = EntryClient(environment.client, "story")
        transactions = Outbox(database)
        self._relay = Relay(database, transactions, definitions, client, signing)
        self._intake = Intake(transactions, definitions, signing)
        self._profiles = Profiles(transactions, definitions, signing)
        self._members = MembersByHand(database, transactions, definitions)
        self._recorder = Recorder(response={})
        self.entry_id = ""
        self.began_at = datetime.min

    @property
    def senders(self) -> dict[str, Sender]:
        """The providers."""
        return dict.fromkeys(CHANNELS, self._recorder)

    async def enters(
        self,
        customer: Mapping[str, Any] | None = None,
        trigger: "Mapping[str, Any] | BaseModel | None" = None,
        *,
        at: datetime | None = None,
    ) -> None:
        """The customer, with these attributes, enters by a trigger with these properties, now or at a later time.

        Raises AssertionError where admission turns them away.
        """  # fmt: skip
        if at is not None:
            await self.until(at)
        await self.change(**(customer or {}))
        properties = trigger.model_dump(mode="json") if isinstance(trigger, BaseModel) else dict(trigger or {})
        stated = self.definition.trigger
        with time_moved_to(await self.now()):
            if isinstance(stated, SegmentTrigger):
                made = await self._members.enter(stated.segments[0], [CUSTOMER])
                decisions = [decision for _, decision in made]
            else:
                decisions = (await self._take(stated.event, properties))["decisions"]
        await self._begin(decisions)

    async def track(self, event: str, /, **properties: Any) -> None:
        """The customer does something."""
        with time_moved_to(await self.now()):
            await self._take(event, properties)
        await self._act()

    async def change(self, **attributes: Any) -> None:
        """Attributes of the customer change; None takes one away."""
        with time_moved_to(await self.now()):
            await self._profiles.put(CUSTOMER, attributes)
        await self._act()

    async def join(self, segment: str) -> None:
        """The customer becomes a member of the segment."""
        with time_moved_to(await self.now()):
            async with self._database.write() as connection:
                await segments.put(connection, segment, segment, True, utc_now())
            await self._members.enter(segment, [CUSTOMER])
        await self._act()

    async def leave(self, segment: str) -> None:
        """The customer leaves the segment."""
        with time_moved_to(await self.now()):
            await self._members.leave(segment, CUSTOMER)
        await self._act()

    async def pause(self) -> None:
        """The campaign is paused."""
        await self._set_status(CampaignStatus.PAUSED)

    async def resume(self) -> None:
        """The campaign goes on."""
        await self._set_status(CampaignStatus.LIVE)
        async with self._database.write() as connection:
            await outbox.add_resumes(connection, self.definition.key, await self.now())
        await self._act()

    async def skip_wait(self) -> None:
        """The present delay or wait ends."""
        await self._act(dispatch.skip_wait(self.entry_id))

    async def exit(self) -> None:
        """An operator takes the customer out."""
        await self._act(dispatch.exit(self.entry_id, EndedBy.OPERATOR))

    async def now(self) -> datetime:
        """The server's time."""
        return await self._environment.get_current_time()

    async def after(self, duration: timedelta) -> None:
        """So much time passes."""
        await self._environment.sleep(duration)
        await self._act()

    async def until(self, moment: datetime) -> None:
        """Time passes until then. Raises ValueError where that is past: time only goes forward."""
        now = await self.now()
        if moment < now:
            raise ValueError(f"{moment} is past: it is {now}")
        await self.after(moment - now)

    async def ends(self) -> str:
        """Lets time pass until the journey is over; how it ended: `completed`, `goal`, `exit_step`, …"""
        client = self._environment.client
        service = client.service_client.test_service
        # The SDK skips time only for handles that it started a workflow with.
        await service.unlock_time_skipping(UnlockTimeSkippingRequest())
        try:
            result: str = await client.get_workflow_handle(workflow_id(self.entry_id)).result()
        finally:
            await service.lock_time_skipping(LockTimeSkippingRequest())
        return result.partition(": ")[2]

    async def ended_after(self) -> timedelta | None:
        """How long the journey took, to the minute; None while it runs. The server's time may leap on at its end."""
        async with self._database.read() as connection:
            entry = await entries.get(connection, self.entry_id)
        if entry is None or entry.ended_at is None:
            return None
        took: timedelta = entry.ended_at - self.began_at
        return _to_the_minute(took)

    @property
    def messages(self) -> list[Sent]:
        """What the customer got, in order."""
        return [self._sent(taken) for taken in self._recorder.taken]

    def sent(self) -> list[tuple[str, timedelta]]:
        """The steps whose messages the customer got, and how long after the beginning, to the minute."""
        return [(message.step, message.after) for message in self.messages]

    async def outcomes(self) -> list[tuple[str, str, str | None]]:
        """The steps in order, what became of each, and why or which way."""
        async with self._database.read() as connection:
            rows = await steps.timeline(connection, self.entry_id)
        return [(row.step_id, row.outcome, row.reason) for row in rows]

    async def replay(self, journeys: Journeys) -> None:
        """Raises where the story would not do the same again: it takes the time or chance from elsewhere."""
        handle = self._environment.client.get_workflow_handle(workflow_id(self.entry_id))
        await make_replayer(journeys, Signing(SECRET)).replay_workflow(await handle.fetch_history())

    async def prepare(self, templates: Mapping[str, Json]) -> None:
        """The database of this story."""
        now = await self.now()
        async with self._database.write() as connection:
            await connection.run_sync(Table.metadata.create_all)
            for key, content in templates.items():
                await put_template(connection, key, content, now)
            trigger = self.definition.trigger
            for key in trigger.segments if isinstance(trigger, SegmentTrigger) else ():
                await segments.put(connection, key, key, True, now)
            await campaigns.create(connection, self.definition, now)
        await self._set_status(CampaignStatus.LIVE)

    async def _take(self, event: str, properties: Json) -> Json:
        raw = {"userId": CUSTOMER, "event": event, "properties": properties}
        return await self._intake.take(parse_call(raw, "track"))

    async def _begin(self, decisions: "list[Decision] | list[Json]") -> None:
        if not decisions:
            raise AssertionError("nothing listens for the trigger, or the customer is a member already")
        decision = decisions[0].to_json() if isinstance(decisions[0], Decision) else decisions[0]
        if decision["outcome"] != Outcome.ENTERED:
            raise AssertionError(f"the customer did not enter: {decision['outcome']}")
        self.entry_id = decision["entry_id"]
        self.began_at = datetime.fromisoformat(decision["decided_at"])
        await self._act()

    async def _act(self, *asked: DispatchRow) -> None:
        """Do what is asked, and what is owed: it is looked for in the database, where activities leave theirs too."""
        async with self._database.read() as connection:
            rows = [*asked, *await outbox.of_entry(connection, self.entry_id)]
        for row in rows:
            with time_moved_to(await self.now()):
                await self._relay.act(row)
        async with self._database.write() as connection:
            await outbox.delete_done(connection, [row.id for row in rows])

    async def _set_status(self, status: CampaignStatus) -> None:
        now = await self.now()
        async with self._database.write() as connection:
            row = await campaigns.get(connection, self.definition.key, lock=True)
            if row is None:
                raise AssertionError("the campaign is there")
            await campaigns.set_status(connection, row, status, now)

    def _sent(self, taken: Taken) -> Sent:
        outgoing, at = taken.outgoing, taken.at
        return Sent(
            step=outgoing.step,
            at=at,
            after=_to_the_minute(at - self.began_at),
            channel=self.definition.steps_by_id[outgoing.step].type,
            to=outgoing.to,
            subject=outgoing.subject or outgoing.title,
            text=outgoing.text or "",
            html=outgoing.html or "",
        )


def _to_the_minute(duration: timedelta) -> timedelta:
    """The nearest whole minute: a story works for moments, on the one side of a full minute or on the other."""
    return round(duration / MINUTE) * MINUTE
