"""The delivery of one message of one entry: check, render, claim, send, record.

The claim is a row that is committed, with the identity that the provider will see, before the first byte goes out. So
whatever crashes, a later attempt finds either a message that was certainly not sent, and tries again, or one that may
have been, and never sends marketing twice.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import uuid4

from temporalio import activity
from temporalio.exceptions import ApplicationError

from campaigns.activities.content.link_tracking import track
from campaigns.activities.contract import SendResult, StepTask, until_text
from campaigns.activities.delivery.attempts import (
    ADDRESS_LENGTH,
    CUT_OFF,
    LEASE,
    MAY_HAVE_BEEN_SENT,
    STEP_OUTCOME,
    begun,
    claim_row,
    expired,
    for_history,
    known,
    lease_left,
    outcome_of,
    quiet,
    state_against,
    waiting,
)
from campaigns.activities.delivery.drafts import Draft, composed, draft
from campaigns.activities.progress import write_reports
from campaigns.activities.senders.base import (
    Accepted,
    Asks,
    NotSent,
    Outgoing,
    OwnFault,
    Refused,
    Result,
    Sender,
    Unknown,
)
from campaigns.models.addresses import Unsendable, address_of
from campaigns.models.decision import EndedBy
from campaigns.models.journey.definition import Definition
from campaigns.models.journey.steps import Email, MessageBase
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection, Database
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import campaigns, customers, entries, links, message_caps, messages, suppressions
from campaigns.models.store.queries.messages import MessageRow, Recipient
from campaigns.models.values import Json, parse_duration, utc_now

ATTEMPT_S = 20
"""How long a provider may take."""

LOCAL_SENDS = 10
"""So many messages of one channel may be on their way in local activities: the others' workflow tasks need room."""
OUTAGE_S = 10
"""So long after a provider did not answer, local activities leave its messages to the normal ones."""


ASK_S = 10
"""How long a provider may take to say what became of a message."""
KEPT_LINKS = 10_000
"""So many links a worker remembers to be stored already."""


@dataclass(frozen=True)
class _Ready:
    """A message that passed every check."""

    outgoing: Outgoing
    step: MessageBase
    customer_id: str
    begun_at: datetime
    links: dict[str, str] = field(default_factory=dict)
    """Where its tracked links lead."""
    doubled: bool = False
    """An earlier attempt may have arrived too."""
    is_first: bool = True
    """No attempt was made before."""


class DeliveryActivities:
    """Sends messages through the senders, by channel."""

    def __init__(
        self,
        database: Database,
        definitions: Definitions,
        senders: dict[str, Sender],
        signing: Signing,
        base_url: str,
        *,
        tracks: bool = True,
        rated: Mapping[str, str] | None = None,
    ) -> None:
        self._database = database
        self._definitions = definitions
        self._senders = senders
        self._signing = signing
        self._base_url = base_url
        self._tracks = tracks
        self._rated = rated or {}
        """The channels whose rate is limited, with the task queue on which Temporal keeps it over all workers."""
        self._kept_links: set[str] = set()
        self._outages: dict[str, float] = {}
        self._local_sends: Counter[str] = Counter()

    @activity.defn(name="send_message")
    async def send_message(self, task: StepTask) -> SendResult:
        """Sends the message of a step, once.

        As a local activity it tries once and may answer `retry`; as a normal one it raises then, so that Temporal
        retries it. `hold` and `ended` say that the message may not go now, or no more.
        """
        async with self._database.read() as connection:
            definition = await self._definitions.get(connection, task.entry.campaign, task.entry.version)
            step = _message_step(definition, task)
            recipient = await self._recipient(connection, task, step)
            prepared = await self._prepare(connection, task, definition, step, recipient)
        earlier = recipient.message if recipient else None
        found = await self._made_of(prepared, task.entry.entry_id) if isinstance(prepared, Draft) else prepared
        if isinstance(found, _Ready):
            result = await self._attempt(task, found)
        else:
            result = await self._write_down(task, earlier, found)
        result = for_history(result)
        if result.status == "retry" and not _is_local() and result.queue is None:
            raise ApplicationError(result.detail or "not sent", type="NotSent", next_retry_delay=lease_left(earlier))
        return result

    @activity.defn(name="give_up_message")
    async def give_up_message(self, task: StepTask) -> SendResult:
        """The retries are over: a message that was not sent by now has failed."""
        async with self._database.write() as connection:
            definition = await self._definitions.get(connection, task.entry.campaign, task.entry.version)
            recipient = await self._recipient(connection, task, _message_step(definition, task))
            earlier = recipient.message if recipient else None
            if earlier and earlier.status in STEP_OUTCOME:
                return SendResult(earlier.status, detail=earlier.error)
            status = "unknown" if earlier and earlier.status == "sending" else "failed"
            result = SendResult(status, "gave_up", earlier.error if earlier else None)
            now = utc_now()
            if earlier:
                await messages.settle(connection, earlier.id, earlier.attempt, status, now, error=result.detail)
            return for_history(await self._report(connection, task, result, now))

    async def _recipient(
        self, connection: Connection, task: StepTask, step: MessageBase, *, lock: bool = False
    ) -> Recipient | None:
        return await messages.recipient(
            connection, task.entry.entry_id, task.step, task.repetition, step.channel, step.topic or "", lock=lock
        )

    async def _prepare(
        self,
        connection: Connection,
        task: StepTask,
        definition: Definition,
        step: MessageBase,
        recipient: Recipient | None,
    ) -> Draft | SendResult:
        """The draft of the message, or the first of the reasons against it, in the order that the product promises."""
        if recipient is None:
            return SendResult("ended", EndedBy.ERASED)
        if settled := known(recipient.message, step):
            return await self._cut_off(connection, task, definition, step, recipient, settled)
        if stopped := state_against(recipient):
            return stopped
        if recipient.attributes is None or recipient.trigger is None:
            return SendResult("ended", EndedBy.ERASED)
        to = await self._may_go(connection, task, definition, step, recipient)
        if isinstance(to, SendResult):
            return to
        message_id = recipient.message.id if recipient.message else uuid4().hex
        return await draft(connection, task, definition, step, recipient, message_id, to)

    async def _cut_off(
        self,
        connection: Connection,
        task: StepTask,
        definition: Definition,
        step: MessageBase,
        recipient: Recipient,
        settled: SendResult,
    ) -> Draft | SendResult:
        """What is known of the message; of one that was cut off, what the provider is to be asked about."""
        earlier = recipient.message
        cut_off = earlier is not None and earlier.status == "sending" and settled.status == "unknown"
        to = address_of(step.channel, recipient.attributes or {})
        if earlier is None or not cut_off or not isinstance(to, str) or recipient.trigger is None:
            return settled
        return await draft(connection, task, definition, step, recipient, earlier.id, to, otherwise=settled)

    async def _made_of(self, wanted: Draft, entry_id: str) -> _Ready | SendResult:
        """The message as it goes out, or what it has come to."""
        if wanted.otherwise:
            return await self._settled(wanted, wanted.otherwise, entry_id)
        return await self._ready(wanted, entry_id)

    async def _settled(self, cut_off: Draft, otherwise: SendResult, entry_id: str) -> SendResult:
        """What became of a message whose attempt nobody has reported, as far as the provider can say."""
        outgoing = await composed(cut_off, entry_id, self._base_url, self._signing)
        if isinstance(outgoing, Unsendable) or cut_off.earlier is None:
            return otherwise
        found = await self._ask(outgoing, cut_off.step, cut_off.earlier.attempt_ends_at - LEASE)
        if found is None:
            return otherwise
        async with self._database.write() as connection:
            await messages.mark_sent(connection, outgoing.message_id, found.provider_id or "", utc_now())
        return SendResult("sent")

    async def _ready(self, wanted: Draft, entry_id: str) -> _Ready | SendResult:
        """The message as it goes out, its links tracked; or why there is none."""
        outgoing = await composed(wanted, entry_id, self._base_url, self._signing)
        if isinstance(outgoing, Unsendable):
            return SendResult(outgoing.outcome, outgoing.reason, outgoing.detail)
        step, recipient, before = wanted.step, wanted.recipient, wanted.earlier
        again = before is not None and (before.status == "sending" or MAY_HAVE_BEEN_SENT in (before.error or ""))
        doubled = again and step.channel != "webhook"
        customer_id, is_first = recipient.customer_id or "", before is None
        ready = _Ready(outgoing, step, customer_id, utc_now(), doubled=doubled, is_first=is_first)
        if not (self._tracks and isinstance(step, Email) and step.tracking and outgoing.html):
            return ready
        tracked = track(outgoing.html, outgoing.message_id, self._base_url, self._signing)
        return replace(ready, outgoing=replace(outgoing, html=tracked.html), links=tracked.links)

    async def _may_go(
        self, connection: Connection, task: StepTask, definition: Definition, step: MessageBase, recipient: Recipient
    ) -> str | SendResult:
        """The address, or what speaks against a message to it now."""
        now = utc_now()
        if expired(task, step, now):
            return SendResult("skipped", "expired")
        if recipient.unsubscribed and step.category == "marketing":
            return SendResult("skipped", "unsubscribed")
        to = await self._address(connection, step, recipient.attributes or {})
        if isinstance(to, Unsendable):
            return SendResult(to.outcome, to.reason, to.detail)
        if held := quiet(definition, task, step, recipient.attributes or {}, now):
            return held
        if step.channel not in self._senders:
            return SendResult("retry", detail=f"no sender for {step.channel} is set up")
        queue = self._rated.get(step.channel)
        if queue is not None and activity.info().task_queue != queue:
            return SendResult("retry", detail=f"{step.channel} has a limited rate", queue=queue)
        if _is_local() and self._is_slow(step.channel):
            # Its workflow task would wait with it, and with the task the messages of other providers.
            return SendResult("retry", detail="the provider is slow")
        return to

    async def _address(self, connection: Connection, step: MessageBase, attributes: Json) -> str | Unsendable:
        to = address_of(step.channel, attributes)
        if isinstance(to, Unsendable) or step.channel == "webhook":
            return to
        hashed = self._signing.address_hash(step.channel, to)
        against = await suppressions.against_address(connection, step.channel, hashed)
        if against.suppressed:
            return Unsendable("skipped", "suppressed")
        if step.category == "marketing" and against.opted_out & {"", step.topic}:
            return Unsendable("skipped", "unsubscribed")
        return to

    async def _attempt(self, task: StepTask, ready: _Ready) -> SendResult:
        claimed = await self._claim(task, ready)
        if isinstance(claimed, SendResult):
            # A hold is written in a transaction of its own, which locks campaign and entry in the order of a `stop`.
            written = claimed.status in ("hold", "skipped")
            return await self._write_down(task, None, claimed) if written else claimed
        result = await self._send(ready)
        if isinstance(result, Unknown):
            result = await self._ask(ready.outgoing, ready.step, ready.begun_at) or result
        if isinstance(result, OwnFault):
            await self._pause(task.entry.campaign, result.reason)
        recorded = await self._record(task, ready, claimed, result)
        if isinstance(result, OwnFault) and recorded.status == "retry":
            return await self._write_down(task, None, SendResult("hold", "paused"))
        return recorded

    async def _ask(self, outgoing: Outgoing, step: MessageBase, since: datetime) -> Accepted | None:
        """What the provider itself knows of a message of which we do not know whether it went out."""
        sender = self._senders.get(step.channel)
        if not isinstance(sender, Asks):
            return None
        try:
            async with asyncio.timeout(ASK_S):
                found = await sender.find(outgoing.to, outgoing.text or "", since)
        except OSError:  # a time-out is one too
            return None
        if not found:
            return None
        async with self._database.read() as connection:
            others = await messages.known_provider_ids(connection, found)
        return next((Accepted(sid) for sid in reversed(found) if sid not in others), None)

    async def _pause(self, campaign: str, reason: str) -> None:
        """Pauses the campaign for a fault of our own, and says why: each further message would fail alike."""
        async with self._database.write() as connection:
            row = await campaigns.get(connection, campaign, lock=True)
            if row is not None and row.status == "live":
                await campaigns.set_status(connection, row, "paused", utc_now(), because=reason)

    async def _send(self, ready: _Ready) -> Result:
        channel, local = ready.step.channel, _is_local()
        self._local_sends[channel] += local
        try:
            async with asyncio.timeout(ATTEMPT_S):
                result: Result = await self._senders[channel].send(ready.outgoing)
        except TimeoutError:
            result = Unknown(f"no answer within {ATTEMPT_S} s")
        finally:
            self._local_sends[channel] -= local
        if isinstance(result, Unknown) or (isinstance(result, NotSent) and result.outage):
            self._outages[channel] = time.monotonic() + OUTAGE_S
        return result

    def _is_slow(self, channel: str) -> bool:
        """Whether the channel's provider did not answer lately, or has many messages under way."""
        down = time.monotonic() < self._outages.get(channel, 0)
        return down or self._local_sends[channel] >= LOCAL_SENDS

    async def _claim(self, task: StepTask, ready: _Ready) -> int | SendResult:
        """The number of the attempt that may now begin; checks again what could have changed since."""
        now = utc_now()
        async with self._database.write() as connection:
            capped = await self._capped(connection, ready, now) if ready.is_first else None
            recipient = await self._recipient(connection, task, ready.step, lock=True)
            if recipient is None:
                return SendResult("ended", EndedBy.ERASED)
            if stopped := state_against(recipient):
                return stopped
            earlier = recipient.message
            if earlier is None and capped:
                return capped
            if earlier is None:
                attempt = 1
                claimed = await messages.claim(connection, claim_row(task, ready.step, ready.outgoing, now))
                await write_reports(connection, task.entry, [*task.entry.reports, waiting(task, "sending")])
            else:
                attempt = earlier.attempt + 1
                claimed = earlier.status == "retry" or (earlier.status == "sending" and not lease_left(earlier))
                if claimed:
                    address = ready.outgoing.to[:ADDRESS_LENGTH]
                    await messages.begin_attempt(connection, earlier.id, attempt, now + LEASE, address)
            if not claimed:
                # Another attempt came first: whatever it did, the next try finds out.
                return SendResult("retry", detail="an attempt is under way")
            await entries.mark_exposed(connection, task.entry.entry_id, now)
            await links.add(connection, {one: url for one, url in ready.links.items() if one not in self._kept_links})
        if len(self._kept_links) < KEPT_LINKS:
            self._kept_links.update(ready.links)
        return attempt

    async def _capped(self, connection: Connection, ready: _Ready, now: datetime) -> SendResult | None:
        """The cap on marketing that another message would break; a message that was claimed has its place already."""
        step = ready.step
        if step.category != "marketing" or step.channel == "webhook":
            return None
        wanted = [cap for cap in await message_caps.listed(connection) if cap.channel in (None, step.channel)]
        # The customer's row is locked, so that two workers can't both take the last place.
        if not wanted or await customers.lock(connection, ready.customer_id) is None:
            return None
        for cap in wanted:
            since = now - parse_duration(cap.within)
            if await message_caps.count_marketing(connection, ready.customer_id, cap.channel, since) >= cap.count:
                on = f" on {cap.channel}" if cap.channel else ""
                return SendResult("skipped", "frequency_cap", f"{cap.count} within {cap.within}{on}")
        return None

    async def _record(self, task: StepTask, ready: _Ready, attempt: int, result: Result) -> SendResult:
        now = utc_now()
        outcome = outcome_of(result, ready.step)
        if ready.doubled and outcome.status == "sent":
            outcome = replace(outcome, detail="an earlier attempt may have arrived too")
        provider_id, response = (result.provider_id, result.response) if isinstance(result, Accepted) else (None, None)
        message_id, entry_id = ready.outgoing.message_id, task.entry.entry_id
        async with self._database.write() as connection:
            settled = await messages.settle(
                connection, message_id, attempt, outcome.status, now, provider_id, outcome.detail
            )
            if not settled:
                if await messages.status(connection, message_id) != "sent":
                    return SendResult("retry", detail="another attempt took over")
                # The provider's callback was faster than its answer.
                outcome = SendResult("sent")
            if isinstance(result, Refused) and result.bad_address:
                channel = ready.step.channel
                hashed = self._signing.address_hash(channel, ready.outgoing.to)
                await suppressions.add(connection, channel, hashed, f"refused: {result.reason}"[:255], now)
            if response is not None:
                await messages.keep_response(connection, message_id, response)
            if outcome.status in ("retry", "failed"):
                # Nobody was exposed: the mark that the claim made is taken back.
                before = await messages.last_exposure(connection, entry_id, message_id)
                await entries.mark_exposed(connection, entry_id, before)
            if outcome.status == "retry":
                await write_reports(connection, task.entry, [waiting(task, outcome.detail)])
            else:
                outcome = await self._report(connection, task, outcome, now, with_reports=False)
        return outcome

    async def _write_down(self, task: StepTask, earlier: MessageRow | None, result: SendResult) -> SendResult:
        """Writes an outcome that came without an attempt."""
        now = utc_now()
        async with self._database.write() as connection:
            if result.status == "hold":
                return await self._hold(connection, task, result)
            if result.status == "retry":
                await write_reports(connection, task.entry, [*task.entry.reports, waiting(task, result.detail)])
                return result
            if earlier and earlier.status not in STEP_OUTCOME and result.status != "sent":
                # An attempt that was cut off may have gone out, whatever speaks against another one now.
                cut_off = earlier.status == "sending"
                status = "unknown" if cut_off else "failed"
                detail = CUT_OFF if cut_off else result.reason
                await messages.settle(connection, earlier.id, earlier.attempt, status, now, error=detail)
                if result.status != "ended":
                    result = SendResult(status, result.reason, detail)
            if result.status == "ended":
                await write_reports(connection, task.entry, task.entry.reports)
            else:
                result = await self._report(connection, task, result, now)
        return result

    async def _hold(self, connection: Connection, task: StepTask, result: SendResult) -> SendResult:
        # The campaign's row is locked against a `resume` that would not see the mark; if it came first, try again.
        if result.until is None and await campaigns.lock_status(connection, task.entry.campaign) != "paused":
            return SendResult("retry", detail="the campaign has just gone on")
        await entries.mark_held(connection, task.entry.entry_id, result.reason or "held")
        until = until_text(result.until) if result.until else None
        held = waiting(task, ", ".join(filter(None, (f"held: {result.reason}", until, result.detail))))
        await write_reports(connection, task.entry, [*task.entry.reports, held])
        return result

    async def _report(
        self, connection: Connection, task: StepTask, result: SendResult, now: datetime, *, with_reports: bool = True
    ) -> SendResult:
        """Writes the step's outcome, and what follows it where that is known; answers the result that says so."""
        outcome = STEP_OUTCOME[result.status]
        reason = result.reason if outcome in ("skipped", "failed") else None
        reports = [*(task.entry.reports if with_reports else [])]
        reports.append(task.report(outcome, now, reason, result.detail or result.status))
        if task.next_delay:
            reports.append(begun(task.next_delay, now))
            result = replace(result, begun=task.next_delay.step)
        await write_reports(connection, task.entry, reports)
        if task.is_last:
            result = replace(result, completed=await entries.complete(connection, task.entry.entry_id, now))
        return result


def _message_step(definition: Definition, task: StepTask) -> MessageBase:
    step = definition.steps_by_id[task.step]
    if not isinstance(step, MessageBase):
        raise TypeError(f"{task.step} is not a message")
    return step


def _is_local() -> bool:
    """Whether this is the one quick try; a simulation has no other."""
    return not activity.in_activity() or activity.info().is_local
