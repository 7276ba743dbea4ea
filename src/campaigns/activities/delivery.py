"""The delivery of one message of one entry: check, render, claim, send, record.

The claim is a row that is committed, with the identity that the provider will see, before the first byte goes out. So
whatever crashes, a later attempt finds either a message that was certainly not sent, and tries again, or one that may
have been, and never sends marketing twice.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from campaigns.models.database import Connection
from temporalio import activity
from temporalio.exceptions import ApplicationError

from campaigns.activities.content import Unsendable, address_of, compose
from campaigns.activities.contract import SendResult, StepReport, StepTask
from campaigns.activities.progress import write_reports
from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, Refused, Result, Sender, Unknown
from campaigns.models.database import Database
from campaigns.models.decision import EndedBy, Trigger
from campaigns.models.queries import campaigns, customers, entries, messages
from campaigns.models.queries.campaigns import Definitions
from campaigns.models.queries.messages import MessageRow, Recipient
from campaigns.models.signing import Signing, address_key
from campaigns.models.steps import MessageBase
from campaigns.models.values import iso, utc_now

ATTEMPT_S = 20
"""How long a provider may take."""
LEASE_S = 30
"""After this an attempt that has not reported is dead: longer than the workflow's time-out for it."""

_STEP_OUTCOME = {"sent": "completed", "unknown": "completed", "failed": "failed", "skipped": "skipped"}


@dataclass(frozen=True)
class _Ready:
    """A message that passed every check."""

    outgoing: Outgoing
    step: MessageBase
    campaign: str


class DeliveryActivities:
    """Sends messages through the senders, by channel."""

    def __init__(
        self, database: Database, definitions: Definitions, senders: dict[str, Sender], signing: Signing, base_url: str
    ) -> None:
        self._database = database
        self._definitions = definitions
        self._senders = senders
        self._signing = signing
        self._base_url = base_url

    @activity.defn(name="send_message")
    async def send_message(self, task: StepTask) -> SendResult:
        """Sends the message of a step, once.

        As a local activity it tries once and may answer `retry`; as a normal one it raises then, so that Temporal
        retries it. `hold` and `ended` say that the message may not go now, or no more.
        """
        async with self._database.read() as connection:
            earlier = await messages.get(connection, task.entry.entry_id, task.step, task.repetition)
            prepared = await self._prepare(connection, task, earlier)
        if isinstance(prepared, _Ready):
            prepared = await self._attempt(task, prepared)
        else:
            prepared = await self._write_down(task, earlier, prepared)
        if prepared.status == "retry" and not activity.info().is_local:
            raise ApplicationError(prepared.reason or "not sent", type="NotSent", next_retry_delay=_lease_left(earlier))
        return prepared

    @activity.defn(name="give_up_message")
    async def give_up_message(self, task: StepTask) -> SendResult:
        """The retries are over: a message that was not sent by now has failed."""
        async with self._database.write() as connection:
            earlier = await messages.get(connection, task.entry.entry_id, task.step, task.repetition)
            if earlier and earlier.status in _STEP_OUTCOME:
                return SendResult(earlier.status, earlier.error)
            result = SendResult("unknown" if earlier and earlier.status == "sending" else "failed", "gave_up")
            now = utc_now()
            if earlier:
                await messages.settle(
                    connection, earlier.id, earlier.attempt, result.status, now, error=earlier.error or "gave up"
                )
            await self._report(connection, task, result, now)
            return result

    async def _prepare(
        self, connection: Connection, task: StepTask, earlier: MessageRow | None
    ) -> _Ready | SendResult:
        """The message, or the first of the reasons against it, in the order that the product promises."""
        if earlier and earlier.status in _STEP_OUTCOME:
            return SendResult(earlier.status, earlier.error)
        recipient = await messages.recipient(connection, task.entry.entry_id)
        if recipient is None:
            return SendResult("ended", EndedBy.ERASED)
        definition = await self._definitions.get(connection, recipient.campaign, recipient.version)
        step = definition.steps_by_id[task.step]
        if not isinstance(step, MessageBase):
            raise TypeError(f"{task.step} is not a message")
        if earlier and earlier.status == "sending":
            if _lease_left(earlier):
                return SendResult("retry", "an attempt is under way")
            if step.category == "marketing":
                return SendResult("unknown", "an attempt was cut off")
        if stopped := _state_against(recipient):
            return stopped
        if recipient.attributes is None or recipient.customer_id is None or recipient.trigger is None:
            return SendResult("ended", EndedBy.ERASED)
        if step.channel not in self._senders:
            return SendResult("retry", f"no sender for {step.channel} is set up")
        if reason := await self._consent_against(connection, recipient, step):
            return SendResult("skipped", reason)
        to = address_of(step.channel, recipient.attributes)
        if isinstance(to, Unsendable):
            return SendResult(to.outcome, to.reason)
        hashed = self._signing.hash(step.channel, address_key(step.channel, to))
        if await customers.is_suppressed(connection, step.channel, hashed):
            return SendResult("skipped", "suppressed")
        template = await campaigns.template(connection, step.template) if step.template else None
        message_id = earlier.id if earlier else uuid4().hex
        outgoing = self._compose(task, recipient, step, template, message_id, to)
        if isinstance(outgoing, Unsendable):
            return SendResult(outgoing.outcome, outgoing.detail or outgoing.reason)
        return _Ready(outgoing, step, recipient.campaign)

    async def _consent_against(
        self, connection: Connection, recipient: Recipient, step: MessageBase
    ) -> str | None:
        if step.category == "transactional" or recipient.customer_id is None:
            return None
        if await customers.is_unsubscribed(connection, recipient.customer_id, step.channel):
            return "unsubscribed"
        return None

    def _compose(
        self,
        task: StepTask,
        recipient: Recipient,
        step: MessageBase,
        template: dict[str, Any] | None,
        message_id: str,
        to: str,
    ) -> Outgoing | Unsendable:
        trigger = Trigger.from_json(recipient.trigger or {})
        unsubscribe_url = None
        if step.category == "marketing":
            unsubscribe_url = f"{self._base_url}/u/{self._signing.unsubscribe_token(message_id)}"
        variables = {
            "customer": {**(recipient.attributes or {}), "id": recipient.customer_id},
            "event": trigger.liquid_event(),
            "event_name": trigger.name,
            "event_time": iso(trigger.at),
            "entry": {"id": task.entry.entry_id},
            "steps": {},
            "unsubscribe_url": unsubscribe_url or "",
        }
        return compose(step, template, variables, message_id, to, unsubscribe_url)

    async def _attempt(self, task: StepTask, ready: _Ready) -> SendResult:
        claimed = await self._claim(task, ready)
        if isinstance(claimed, SendResult):
            return claimed
        try:
            async with asyncio.timeout(ATTEMPT_S):
                result: Result = await self._senders[ready.step.channel].send(ready.outgoing)
        except TimeoutError:
            result = Unknown(f"no answer within {ATTEMPT_S} s")
        return await self._record(task, ready, claimed, result)

    async def _claim(self, task: StepTask, ready: _Ready) -> int | SendResult:
        """The number of the attempt that may now begin; checks again what could have changed since."""
        now = utc_now()
        ends_at = now + timedelta(seconds=LEASE_S)
        async with self._database.write() as connection:
            recipient = await messages.recipient(connection, task.entry.entry_id, lock=True)
            if recipient is None:
                return SendResult("ended", EndedBy.ERASED)
            if stopped := _state_against(recipient):
                return stopped if stopped.status != "hold" else await self._hold(connection, task, stopped, now)
            earlier = await messages.get(connection, task.entry.entry_id, task.step, task.repetition)
            if earlier and (earlier.status in _STEP_OUTCOME or _lease_left(earlier)):
                # Another attempt came first: whatever it did, the next try finds out.
                return SendResult("retry", "an attempt is under way")
            attempt = earlier.attempt + 1 if earlier else 1
            if earlier:
                await messages.begin_attempt(connection, earlier.id, attempt, ends_at, ready.outgoing.to)
            else:
                await messages.claim(connection, _claim_row(task, ready, now, ends_at))
                await write_reports(connection, task.entry, [*task.entry.reports, _waiting(task, "sending")])
            await messages.expose(connection, task.entry.entry_id, now)
            if recipient.held:
                await entries.hold(connection, task.entry.entry_id, None)
        return attempt

    async def _record(self, task: StepTask, ready: _Ready, attempt: int, result: Result) -> SendResult:
        now = utc_now()
        provider_id = None
        match result:
            case Accepted(provider_id):
                outcome = SendResult("sent")
            case Refused(reason):
                outcome = SendResult("failed", reason)
            case NotSent(reason):
                outcome = SendResult("retry", reason)
            case Unknown(reason):
                outcome = SendResult("unknown", reason)
        message_id = ready.outgoing.message_id
        async with self._database.write() as connection:
            settled = await messages.settle(
                connection, message_id, attempt, outcome.status, now, provider_id, outcome.reason
            )
            if not settled:
                return SendResult("retry", "another attempt took over")
            exposed = outcome.status in ("sent", "unknown")
            at = now if exposed else await messages.last_exposure(connection, task.entry.entry_id, message_id)
            await messages.expose(connection, task.entry.entry_id, at)
            if outcome.status == "retry":
                await write_reports(connection, task.entry, [_waiting(task, outcome.reason)])
            else:
                await self._report(connection, task, outcome, now, with_reports=False)
        return outcome

    async def _write_down(self, task: StepTask, earlier: MessageRow | None, result: SendResult) -> SendResult:
        """Writes an outcome that came without an attempt."""
        now = utc_now()
        async with self._database.write() as connection:
            if result.status == "hold":
                return await self._hold(connection, task, result, now)
            if result.status not in _STEP_OUTCOME:
                reports = list(task.entry.reports)
                if result.status == "retry":
                    reports.append(_waiting(task, result.reason))
                await write_reports(connection, task.entry, reports)
                return result
            if earlier and earlier.status not in _STEP_OUTCOME:
                await messages.settle(connection, earlier.id, earlier.attempt, result.status, now, error=result.reason)
            await self._report(connection, task, result, now)
        return result

    async def _hold(self, connection: Connection, task: StepTask, result: SendResult, now: datetime) -> SendResult:
        # The campaign's row is locked against a `resume` that would not see the mark; if it came first, try again.
        if await campaigns.status_locked(connection, task.entry.campaign) != "paused":
            return SendResult("retry", "the campaign has just gone on")
        await entries.hold(connection, task.entry.entry_id, result.reason)
        held = _waiting(task, f"held: {result.reason}")
        await write_reports(connection, task.entry, [*task.entry.reports, held])
        return result

    async def _report(
        self,
        connection: Connection,
        task: StepTask,
        result: SendResult,
        now: datetime,
        *,
        with_reports: bool = True,
    ) -> None:
        outcome = _STEP_OUTCOME[result.status]
        report = task.report(
            outcome,
            now,
            _short(result.reason) if outcome in ("skipped", "failed") else None,
            result.status if outcome == "completed" else result.reason,
        )
        await write_reports(connection, task.entry, [*(task.entry.reports if with_reports else []), report])


def _waiting(task: StepTask, detail: str | None) -> StepReport:
    return task.report("waiting", detail=detail)


def _short(reason: str | None) -> str | None:
    """The reason as it is counted: one word where it is one of ours, else `refused`."""
    if reason is None or reason.replace("_", "").isalpha():
        return reason
    return "refused"


def _state_against(recipient: Recipient) -> SendResult | None:
    """What the states of entry and campaign say against a message."""
    if recipient.entry_status != "running":
        return SendResult("ended", recipient.exit_request)
    if recipient.campaign_status in ("stopped", "archived"):
        return SendResult("ended", EndedBy.STOPPED)
    if recipient.exit_request:
        return SendResult("ended", recipient.exit_request)
    if recipient.campaign_status == "paused":
        return SendResult("hold", "paused")
    return None


def _lease_left(earlier: MessageRow | None) -> timedelta | None:
    """How long the attempt that is under way may still take; None where none can be."""
    if earlier is None or earlier.status != "sending":
        return None
    left = earlier.attempt_ends_at - utc_now()
    return left if left > timedelta(0) else None


def _claim_row(task: StepTask, ready: _Ready, now: datetime, ends_at: datetime) -> dict[str, Any]:
    return {
        "id": ready.outgoing.message_id,
        "entry_id": task.entry.entry_id,
        "step_id": task.step,
        "repetition": task.repetition,
        "campaign_key": ready.campaign,
        "channel": ready.step.channel,
        "category": ready.step.category,
        "status": "sending",
        "attempt": 1,
        "attempt_ends_at": ends_at,
        "address": ready.outgoing.to,
        "claimed_at": now,
    }
