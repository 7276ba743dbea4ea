"""What is known of a message before, between and after its attempts."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from campaigns.activities.contract import NextDelay, SendResult, StepReport, StepTask, until_text
from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, OwnFault, Refused, Result, Unknown
from campaigns.models.decision import EndedBy
from campaigns.models.journey.definition import Definition
from campaigns.models.journey.steps import MessageBase
from campaigns.models.journey.wallclock import quiet_times_until, zone_of
from campaigns.models.store.queries.messages import MessageRow, Recipient
from campaigns.models.values import Json, parse_duration, utc_now

LEASE = timedelta(seconds=30)
"""After this an attempt that has not reported is dead: longer than the workflow's time-out for it."""
MAY_HAVE_BEEN_SENT = " (it may have been sent)"
CUT_OFF = "an attempt was cut off"
ADDRESS_LENGTH = 320
STEP_OUTCOME = {"sent": "completed", "unknown": "completed", "failed": "failed", "skipped": "skipped"}
"""What a settled message makes of its step."""


def begun(delay: NextDelay, now: datetime) -> StepReport:
    """The delay begins now."""
    until = now + timedelta(seconds=delay.seconds)
    return StepReport(delay.step, "waiting", delay.position, now, detail=until_text(until), repetition=delay.repetition)


def for_history(result: SendResult) -> SendResult:
    """The result without the provider's own words, which may hold an address: a code, or what we say of it."""
    if result.reason == "missing_value":
        return replace(result, detail=None)  # a name in `customer[event.name]` is a customer's word too
    ours = (result.detail or "").partition(":")[0]
    return replace(result, detail=ours.split()[0] if ours[:1].isdigit() else ours or None)


def waiting(task: StepTask, detail: str | None) -> StepReport:
    """The entry is at the step."""
    return task.report("waiting", detail=detail)


def known(message: MessageRow | None, step: MessageBase) -> SendResult | None:
    """What earlier attempts have settled; None where there may be another one now."""
    if message is None or message.status == "retry":
        return None
    if message.status in STEP_OUTCOME:
        return SendResult(message.status, "refused" if message.status == "failed" else None, message.error)
    if lease_left(message):
        return SendResult("retry", detail="an attempt is under way")
    # Transactional messages are sent again under the same identity rather than never.
    return SendResult("unknown", detail=CUT_OFF) if step.category == "marketing" else None


def state_against(recipient: Recipient) -> SendResult | None:
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


def expired(task: StepTask, step: MessageBase, now: datetime) -> bool:
    """Whether the message comes too late."""
    return step.expires_after is not None and now >= task.entered_at + parse_duration(step.expires_after)


def quiet(
    definition: Definition, task: StepTask, step: MessageBase, attributes: Json, now: datetime
) -> SendResult | None:
    """A hold until the campaign's quiet hours end where the customer is, or until the message expires."""
    hours = definition.quiet_hours
    if hours is None or step.category != "marketing":
        return None
    zone = zone_of(attributes, definition.timezone)
    until = quiet_times_until(now, hours.of(step.channel), zone.info)
    if until is None:
        return None
    if step.expires_after is not None:
        until = min(until, task.entered_at + parse_duration(step.expires_after))
    return SendResult("hold", "quiet_hours", zone.warning, until=until)


def lease_left(earlier: MessageRow | None) -> timedelta | None:
    """How long the attempt that is under way may still take; None where none can be."""
    if earlier is None or earlier.status != "sending":
        return None
    left = earlier.attempt_ends_at - utc_now()
    return left if left > timedelta(0) else None


def claim_row(task: StepTask, step: MessageBase, outgoing: Outgoing, now: datetime) -> dict[str, Any]:
    """The row of a message that is claimed now, for its first attempt."""
    return {
        "id": outgoing.message_id,
        "entry_id": task.entry.entry_id,
        "step_id": task.step,
        "repetition": task.repetition,
        "campaign_key": task.entry.campaign,
        "channel": step.channel,
        "category": step.category,
        "status": "sending",
        "attempt": 1,
        "attempt_ends_at": now + LEASE,
        "address": outgoing.to[:ADDRESS_LENGTH],
        "claimed_at": now,
        **dict.fromkeys(("provider_id", "error", "settled_at", "unsubscribed_at", "converted_at", "response")),
    }


def outcome_of(result: Result, step: MessageBase) -> SendResult:
    """What the provider's answer means for the step."""
    match result:
        case Accepted():
            return SendResult("sent")
        case Refused(reason):
            return SendResult("failed", "refused", reason)
        case NotSent(reason) | OwnFault(reason):
            return SendResult("retry", detail=reason)
        case Unknown(reason) if step.category == "transactional":
            # Rather twice than never, and under the same identity.
            return SendResult("retry", detail=f"{reason}{MAY_HAVE_BEEN_SENT}")
        case Unknown(reason):
            return SendResult("unknown", detail=reason)
