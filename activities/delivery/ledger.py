"""The record of messages: the one place that writes what became of a message and of its step.

The claim is a row that is committed before the first byte goes out. So whatever crashes, a later attempt finds either a
message that was certainly not sent, and tries again, or one that may have been, and never sends marketing twice.

Rows are locked in one order, customer, campaign, entry, message, step, as admission and the campaign's moves do.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from campaigns.activities.contract import NextDelay, SendResult, StepReport, until_text
from campaigns.activities.delivery.drafts import RenderedMessage
from campaigns.activities.delivery.gate import (
    CUT_OFF,
    MAY_HAVE_BEEN_SENT,
    STEP_OUTCOME,
    UNDER_WAY,
    cap_against,
    check_again,
    is_open,
    lease_left,
    may_have_arrived,
)
from campaigns.activities.delivery.passage import Passage
from campaigns.activities.progress import write_reports
from campaigns.activities.senders.base import Accepted, NotSent, OwnFault, Refused, Result, Unknown
from campaigns.models.entry import MessageStatus
from campaigns.models.journey.definition import CampaignStatus
from campaigns.models.journey.steps import MessageBase, Webhook
from campaigns.models.signing import Signing
from campaigns.models.storable import storable, unfit
from campaigns.models.store.database import Connection, Database
from campaigns.models.store.queries import campaigns, entries, links, messages, suppressions
from campaigns.models.store.queries.messages import MessageRow, Recipient
from campaigns.models.values import utc_now

LEASE = timedelta(seconds=30)
"""After this an attempt that has not reported is dead: longer than the workflow's time-out for it."""
ADDRESS_LENGTH = 320
REASON_LENGTH = 500
KEPT_LINKS = 10_000
"""So many links a worker remembers to be stored already."""
RECORD_PAUSES_S = (0.1, 0.5, 2.0)
"""Between tries to record what a provider has said: it is known here and nowhere else."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Claim:
    """An attempt that may begin, and which alone may record what came of it."""

    passage: Passage
    to: str
    attempt: int
    doubted: bool
    """An earlier attempt may have arrived."""


class Ledger:
    """Claims messages, and records what came of them."""

    def __init__(self, database: Database, signing: Signing) -> None:
        self._database = database
        self._signing = signing
        self._kept_links: set[str] = set()

    async def look_up(
        self, connection: Connection, passage: Passage, to: str = "", *, lock: bool = False
    ) -> Recipient | None:
        """Return the passage's entry, customer and message, and what is said against the address where it is known."""
        step = passage.step
        hashed = self._signing.address_hash(step.channel, to) if to and passage.reaches_person else ""
        return await messages.recipient(
            connection, passage.entry_id, step.id, passage.task.repetition, step.channel, step.topic or "", hashed,
            lock=lock,
        )  # fmt: skip

    async def claim(self, passage: Passage, rendered: RenderedMessage, known: Recipient) -> Claim | SendResult:
        """Return the attempt that may now begin; or what has come to speak against it, written down."""
        async with self._database.write() as connection:
            now = utc_now()
            # The customer before the entry.
            capped = None
            if known.message is None:
                capped = await cap_against(connection, passage, known.customer_id, now)
            recipient = await self.look_up(connection, passage, rendered.outgoing.to, lock=True)
            message = recipient.message if recipient else None
            # What another attempt does or has done comes first: nothing may settle its message but itself.
            against = _taken(passage, message) or check_again(passage, recipient) or (None if message else capped)
            attempt = None if against else await _begin(connection, passage, rendered, message, now)
            if attempt is not None:
                await entries.mark_exposed(connection, passage.entry_id, now)
                new = {link: url for link, url in rendered.links.items() if link not in self._kept_links}
                await links.add(connection, new)
        if attempt is None:
            # In a transaction of its own, which locks campaign and entry in their order.
            return await self.write_down(passage, message, against or UNDER_WAY)
        if len(self._kept_links) < KEPT_LINKS:
            self._kept_links.update(rendered.links)
        doubted = passage.reaches_person and may_have_arrived(passage, message)
        return Claim(passage, rendered.outgoing.to, attempt, doubted)

    async def record(self, claim: Claim, result: Result) -> SendResult:
        """Record the provider's answer; again where the database fails meanwhile."""
        for pause_s in (*RECORD_PAUSES_S, None):
            try:
                async with self._database.write() as connection:
                    return await self._record(connection, claim, result)
            except (DBAPIError, OSError) as error:
                if pause_s is None:
                    raise
                log.warning("an answer could not be recorded, and is again", error=type(error).__name__)
                await asyncio.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    async def _record(self, connection: Connection, claim: Claim, result: Result) -> SendResult:
        passage, now = claim.passage, utc_now()
        outcome = outcome_of(result, passage.step)
        if claim.doubted:
            outcome = _after_doubt(outcome)
        if passage.task.is_last or outcome.status in ("retry", "failed"):
            await entries.lock(connection, passage.entry_id)
        provider_id = storable(result.provider_id or "", 255) or None if isinstance(result, Accepted) else None
        settled = await messages.settle(
            connection,
            passage.message_id,
            claim.attempt,
            MessageStatus(outcome.status),
            now,
            provider_id,
            outcome.detail,
        )
        if not settled:
            if await messages.status(connection, passage.message_id) != MessageStatus.SENT:
                return SendResult("retry", detail="another attempt took over")
            # The provider's callback was faster than its answer.
            outcome = SendResult("sent")
        if isinstance(result, Refused) and result.bad_address:
            await self._suppress(connection, passage, claim.to, result.reason, now)
        if isinstance(result, Accepted):
            await _keep_response(connection, passage, result.response)
        if outcome.status in ("retry", "failed") and not is_open(passage, outcome.detail):
            # Nobody was exposed: the mark that the claim made is taken back.
            before = await messages.last_exposure(connection, passage.entry_id, passage.message_id)
            await entries.mark_exposed(connection, passage.entry_id, before)
        if outcome.status == "retry":
            await write_reports(connection, passage.task.entry, [_waiting(passage, outcome.detail)])
            return outcome
        return await _report(connection, passage, outcome, now, with_reports=False)

    async def _suppress(self, connection: Connection, passage: Passage, to: str, reason: str, now: datetime) -> None:
        channel = passage.step.channel
        hashed = self._signing.address_hash(channel, to)
        await suppressions.add(connection, channel, hashed, storable(f"refused: {reason}", 255), now)

    async def write_down(self, passage: Passage, message: MessageRow | None, result: SendResult) -> SendResult:
        """Write an outcome that came without an attempt; `message` is what earlier attempts left."""
        now = utc_now()
        async with self._database.write() as connection:
            match result.status:
                case "hold":
                    return await _hold(connection, passage, result)
                case "retry":
                    await write_reports(
                        connection, passage.task.entry, [*passage.task.entry.reports, _waiting(passage, result.detail)]
                    )
                    return result
            if message and message.status not in STEP_OUTCOME and result.status != "sent":
                # An attempt that was cut off may have gone out, whatever speaks against another one now.
                doubt = may_have_arrived(passage, message)
                status, detail = (MessageStatus.UNKNOWN, CUT_OFF) if doubt else (MessageStatus.FAILED, result.reason)
                await entries.lock(connection, passage.entry_id)
                await messages.settle(connection, message.id, message.attempt, status, now, error=detail)
                if result.status != "ended":
                    result = SendResult(status, result.reason, detail)
            if result.status == "ended":
                await write_reports(connection, passage.task.entry, passage.task.entry.reports)
                return result
            return await _report(connection, passage, result, now)

    async def mark_sent(self, passage: Passage, provider_id: str) -> SendResult:
        """The provider itself knows the message, whose attempt nobody has reported."""
        async with self._database.write() as connection:
            await entries.lock(connection, passage.entry_id)
            await messages.mark_sent(connection, passage.message_id, storable(provider_id, 255), utc_now())
        return SendResult("sent")

    async def first_unknown(self, provider_ids: list[str]) -> str | None:
        """Return the newest of the provider's ids that no message of ours bears."""
        if not provider_ids:
            return None
        async with self._database.read() as connection:
            others = await messages.known_provider_ids(connection, provider_ids)
        return next((provider_id for provider_id in reversed(provider_ids) if provider_id not in others), None)

    async def give_up(self, passage: Passage) -> SendResult:
        """The retries are over: a message that was not sent by now has failed, or nobody knows."""
        async with self._database.write() as connection:
            recipient = await self.look_up(connection, passage, lock=True)
            message = recipient.message if recipient else None
            if message and message.status in STEP_OUTCOME:
                return SendResult(message.status, detail=message.error)
            now = utc_now()
            status = MessageStatus.UNKNOWN if may_have_arrived(passage, message) else MessageStatus.FAILED
            result = SendResult(status, "gave_up", message.error if message else None)
            if message:
                await messages.settle(connection, message.id, message.attempt, status, now, error=result.detail)
            return await _report(connection, passage, result, now)

    async def pause(self, campaign: str, reason: str) -> None:
        """Pause the campaign for a fault of our own, and say why: each further message would fail alike."""
        async with self._database.write() as connection:
            await campaigns.pause_for_fault(connection, campaign, storable(reason, REASON_LENGTH), utc_now())


def outcome_of(result: Result, step: MessageBase) -> SendResult:
    """Return what the provider's answer means for the step."""
    match result:
        case Accepted():
            return SendResult("sent")
        case Refused(reason):
            return SendResult("failed", "refused", storable(reason, REASON_LENGTH))
        case NotSent(reason) | OwnFault(reason):
            return SendResult("retry", detail=storable(reason, REASON_LENGTH))
        case Unknown(reason) if step.category == "transactional":
            # Rather twice than never, and under the same identity.
            return SendResult("retry", detail=f"{storable(reason, REASON_LENGTH)}{MAY_HAVE_BEEN_SENT}")
        case Unknown(reason):
            return SendResult("unknown", detail=storable(reason, REASON_LENGTH))


def for_history(result: SendResult) -> SendResult:
    """Return the result without the provider's own words, which may hold an address: a code, or what we say of it."""
    if result.reason == "missing_value":
        return replace(result, detail=None)  # a name in `customer[event.name]` is a customer's word too
    ours = (result.detail or "").partition(":")[0]
    return replace(result, detail=ours.split()[0] if ours[:1].isdigit() else ours or None)


def _after_doubt(outcome: SendResult) -> SendResult:
    """The outcome of an attempt behind one that may have arrived: that doubt is settled by nothing that came later."""
    match outcome.status:
        case "sent":
            return replace(outcome, detail="an earlier attempt may have arrived too")
        case "retry" if MAY_HAVE_BEEN_SENT not in (outcome.detail or ""):
            return replace(outcome, detail=f"{outcome.detail}{MAY_HAVE_BEEN_SENT}")
        case "failed":
            return SendResult("unknown", outcome.reason, f"{outcome.detail}{MAY_HAVE_BEEN_SENT}")
        case _:
            return outcome


def _claim_row(passage: Passage, rendered: RenderedMessage, now: datetime) -> dict[str, Any]:
    """The row of a message that is claimed now, for its first attempt."""
    return {
        "id": passage.message_id,
        "entry_id": passage.entry_id,
        "step_id": passage.task.step,
        "repetition": passage.task.repetition,
        "campaign_key": passage.task.entry.campaign,
        "channel": passage.step.channel,
        "category": passage.step.category,
        "status": MessageStatus.SENDING,
        "attempt": 1,
        "attempt_ends_at": now + LEASE,
        "address": rendered.outgoing.to[:ADDRESS_LENGTH],
        "claimed_at": now,
        **dict.fromkeys(("provider_id", "error", "settled_at", "unsubscribed_at", "converted_at", "response")),
    }


def _taken(passage: Passage, message: MessageRow | None) -> SendResult | None:
    """Where another attempt is under way, has settled the message, or may have sent it: the next try finds out."""
    if message is None or message.status == MessageStatus.RETRY:
        return None
    cut_off = message.status == MessageStatus.SENDING and not lease_left(message)
    return None if cut_off and not passage.is_marketing else UNDER_WAY


async def _begin(
    connection: Connection, passage: Passage, rendered: RenderedMessage, message: MessageRow | None, now: datetime
) -> int | None:
    """Begin the next attempt, and return its number; None where another one is under way."""
    entry = passage.task.entry
    if message is None:
        if not await messages.claim(connection, _claim_row(passage, rendered, now)):
            return None
        await write_reports(connection, entry, [*entry.reports, _waiting(passage, "sending")])
        return 1
    attempt, address = message.attempt + 1, rendered.outgoing.to[:ADDRESS_LENGTH]
    await messages.begin_attempt(connection, message.id, attempt, now + LEASE, address)
    return attempt


async def _keep_response(connection: Connection, passage: Passage, response: Any) -> None:
    asked = isinstance(passage.step, Webhook) and passage.step.save_as is not None
    if asked and response is not None and unfit(response) is None:
        await messages.keep_response(connection, passage.message_id, response)


async def _hold(connection: Connection, passage: Passage, result: SendResult) -> SendResult:
    # The campaign's row is locked against a `resume` that would not see the mark; if it came first, try again.
    if (
        result.until is None
        and await campaigns.lock_status(connection, passage.task.entry.campaign) != CampaignStatus.PAUSED
    ):
        return SendResult("retry", detail="the campaign has just gone on")
    await entries.mark_held(connection, passage.entry_id, result.reason or "held")
    until = until_text(result.until) if result.until else None
    held = _waiting(passage, ", ".join(filter(None, (f"held: {result.reason}", until, result.detail))))
    await write_reports(connection, passage.task.entry, [*passage.task.entry.reports, held])
    return result


async def _report(
    connection: Connection, passage: Passage, result: SendResult, now: datetime, *, with_reports: bool = True
) -> SendResult:
    """Write the step's outcome, and what follows it where that is known; answer the result that says so."""
    task = passage.task
    outcome = STEP_OUTCOME[result.status]
    reason = result.reason if outcome in ("skipped", "failed") else None
    reports = [*(task.entry.reports if with_reports else [])]
    reports.append(task.report(outcome, now, reason, result.detail or result.status))
    if task.next_delay:
        reports.append(_begun(task.next_delay, now))
    await write_reports(connection, task.entry, reports)
    completed = task.is_last and await entries.complete(connection, passage.entry_id, now)
    return replace(result, begun=task.next_delay.step if task.next_delay else None, completed=completed)


def _begun(delay: NextDelay, now: datetime) -> StepReport:
    """The delay begins now."""
    until = now + timedelta(seconds=delay.seconds)
    return StepReport(delay.step, "waiting", delay.position, now, detail=until_text(until), repetition=delay.repetition)


def _waiting(passage: Passage, detail: str | None) -> StepReport:
    """The entry is at the step."""
    return passage.task.report("waiting", detail=detail)
