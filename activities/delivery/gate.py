"""Whether a message may go: asked before it is rendered, and again in the transaction that claims it.

The order of the checks is the product's promise (docs/delivery.md): the first that fails says why.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from campaigns.activities.contract import SendResult
from campaigns.activities.delivery.channel import Channels
from campaigns.activities.delivery.passage import Passage
from campaigns.models.addresses import Unsendable, address_of
from campaigns.models.entry import EndedBy, EntryStatus, MessageStatus
from campaigns.models.journey.definition import CampaignStatus
from campaigns.models.journey.wallclock import quiet_times_until, zone_of
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import customers, message_caps, suppressions
from campaigns.models.store.queries.messages import MessageRow, Recipient
from campaigns.models.values import Json, parse_duration, utc_now

STEP_OUTCOME = {"sent": "completed", "unknown": "completed", "failed": "failed", "skipped": "skipped"}
"""What a settled message makes of its step."""
MAY_HAVE_BEEN_SENT = " (it may have been sent)"
CUT_OFF = "an attempt was cut off"
UNDER_WAY = SendResult("retry", detail="an attempt is under way")


@dataclass(frozen=True)
class Clearance:
    """The address that a message may go to, or what speaks against it.

    Both where an attempt was cut off: the provider may be asked about the address, and else this is what it is.
    """

    to: str | None = None
    against: SendResult | None = None


class Gate:
    """Checks all that decides about one message."""

    def __init__(self, signing: Signing, channels: Channels) -> None:
        self._signing = signing
        self._channels = channels

    async def check(self, connection: Connection, passage: Passage, recipient: Recipient | None) -> Clearance:
        """Return the address, or the first of the reasons against it."""
        if recipient is None:
            return Clearance(against=SendResult("ended", EndedBy.ERASED))
        if settled := _settled(passage, recipient.message):
            to = address_of(passage.step.channel, recipient.attributes or {})
            cut_off = settled.detail == CUT_OFF and recipient.trigger is not None and isinstance(to, str)
            return Clearance(to if cut_off and isinstance(to, str) else None, settled)
        if against := state_against(recipient):
            return Clearance(against=against)
        attributes, now = recipient.attributes or {}, utc_now()
        if against := _expired(passage, now) or consent_against(passage, recipient):
            return Clearance(against=against)
        to = await self._address(connection, passage, attributes)
        if isinstance(to, Unsendable):
            return Clearance(against=SendResult(to.outcome, to.reason, to.detail))
        if against := _quiet(passage, attributes, now) or self._channels.against(passage.step.channel):
            return Clearance(against=against)
        return Clearance(to)

    async def _address(self, connection: Connection, passage: Passage, attributes: Json) -> str | Unsendable:
        channel = passage.step.channel
        to = address_of(channel, attributes)
        if isinstance(to, Unsendable) or not passage.reaches_person:
            return to
        against = await suppressions.against_address(connection, channel, self._signing.address_hash(channel, to))
        if against.suppressed:
            return Unsendable("skipped", "suppressed")
        if passage.is_marketing and against.opted_out & {"", passage.step.topic}:
            return Unsendable("skipped", "unsubscribed")
        return to


def check_again(passage: Passage, recipient: Recipient | None) -> SendResult | None:
    """Return what has come to speak against the message since it was checked, by the row that is locked now."""
    if recipient is None:
        return SendResult("ended", EndedBy.ERASED)
    return state_against(recipient) or consent_against(passage, recipient)


def state_against(recipient: Recipient) -> SendResult | None:
    """Return what the states of entry and campaign say against a message."""
    if recipient.entry_status != EntryStatus.RUNNING:
        return SendResult("ended", recipient.exit_request)
    if recipient.campaign_status in (CampaignStatus.STOPPED, CampaignStatus.ARCHIVED):
        return SendResult("ended", EndedBy.STOPPED)
    if recipient.exit_request:
        return SendResult("ended", recipient.exit_request)
    if recipient.attributes is None or recipient.trigger is None:
        return SendResult("ended", EndedBy.ERASED)
    return SendResult("hold", "paused") if recipient.campaign_status == CampaignStatus.PAUSED else None


def consent_against(passage: Passage, recipient: Recipient) -> SendResult | None:
    """Return what the customer, or the address that the recipient was looked up with, says against a message."""
    if recipient.unsubscribed and passage.is_marketing:
        return SendResult("skipped", "unsubscribed")
    return SendResult("skipped", "suppressed") if recipient.suppressed else None


async def cap_against(
    connection: Connection, passage: Passage, customer_id: str | None, now: datetime
) -> SendResult | None:
    """Return the cap on marketing that another message would break.

    The customer's row is locked, so that two workers can't both take the last place. A message that was claimed has
    its place already.
    """
    channel = passage.step.channel
    if not passage.is_marketing or not passage.reaches_person:
        return None
    caps = [cap for cap in await message_caps.listed(connection) if cap.channel in (None, channel)]
    if not caps or customer_id is None or await customers.lock(connection, customer_id) is None:
        return None
    for cap in caps:
        since = now - parse_duration(cap.within)
        if await message_caps.count_marketing(connection, customer_id, cap.channel, since) >= cap.count:
            on = f" on {cap.channel}" if cap.channel else ""
            return SendResult("skipped", "frequency_cap", f"{cap.count} within {cap.within}{on}")
    return None


def lease_left(message: MessageRow | None) -> timedelta | None:
    """Return how long the attempt that is under way may still take; None where none can be."""
    if message is None or message.status != MessageStatus.SENDING:
        return None
    left = message.attempt_ends_at - utc_now()
    return left if left > timedelta(0) else None


def may_have_arrived(passage: Passage, message: MessageRow | None) -> bool:
    """Whether an earlier attempt may have arrived: it was cut off, or the provider left it open.

    The receiver of a webhook knows doubles by their id, so an answer that did not come leaves no doubt that lasts.
    """
    if message is None:
        return False
    return message.status == MessageStatus.SENDING or is_open(passage, message.error)


def is_open(passage: Passage, detail: str | None) -> bool:
    """Whether the provider left open whether it has the message."""
    return passage.reaches_person and MAY_HAVE_BEEN_SENT in (detail or "")


def _settled(passage: Passage, message: MessageRow | None) -> SendResult | None:
    """What earlier attempts have settled; None where there may be another one now."""
    if message is None or message.status == MessageStatus.RETRY:
        return None
    if message.status in STEP_OUTCOME:
        return SendResult(message.status, "refused" if message.status == MessageStatus.FAILED else None, message.error)
    if lease_left(message):
        return UNDER_WAY
    # Transactional messages are sent again under the same identity rather than never.
    return SendResult("unknown", detail=CUT_OFF) if passage.is_marketing else None


def _expired(passage: Passage, now: datetime) -> SendResult | None:
    expires_after = passage.step.expires_after
    if expires_after is None or now < passage.task.entered_at + parse_duration(expires_after):
        return None
    return SendResult("skipped", "expired")


def _quiet(passage: Passage, attributes: Json, now: datetime) -> SendResult | None:
    """A hold until the campaign's quiet hours end where the customer is, or until the message expires."""
    hours = passage.definition.quiet_hours
    if hours is None or not passage.is_marketing:
        return None
    zone = zone_of(attributes, passage.definition.timezone)
    until = quiet_times_until(now, hours.of(passage.step.channel), zone.info)
    if until is None:
        return None
    if passage.step.expires_after is not None:
        until = min(until, passage.task.entered_at + parse_duration(passage.step.expires_after))
    return SendResult("hold", "quiet_hours", zone.warning, until=until)
