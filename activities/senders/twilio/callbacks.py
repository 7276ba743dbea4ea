"""What Twilio tells: status callbacks of messages, and texts that customers send.

https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from twilio.request_validator import RequestValidator

from campaigns.activities.senders.twilio.errors import Meaning, meaning_of
from campaigns.models.channels import texted_from

# https://help.twilio.com/articles/223134027: words that end a subscription, and those that begin it again.
STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL", "REVOKE", "OPTOUT"})
START = frozenset({"START", "UNSTOP", "YES"})


@dataclass(frozen=True)
class StatusCallback:
    """What became of a message; it may come twice, late, and out of order."""

    provider_id: str
    happened: tuple[Literal["delivered", "opened", "failed"], ...]
    error: str | None
    meaning: Meaning


@dataclass(frozen=True)
class SubscriptionChange:
    """Whoever has the number wants no more, or wants texts again."""

    channel: str
    number: str
    subscribes: bool
    word: str


def is_signed(form: Mapping[str, str], url: str, signature: str, token: str) -> bool:
    """Whether Twilio has signed the request (https://www.twilio.com/docs/usage/security) to exactly that URL."""
    return bool(RequestValidator(token).validate(url, form, signature))


def read_status(form: Mapping[str, str]) -> StatusCallback:
    """Return what the status callback says."""
    status, error = form.get("MessageStatus", form.get("SmsStatus", "")), form.get("ErrorCode") or None
    happened: tuple[Literal["delivered", "opened", "failed"], ...] = ()
    if status in ("delivered", "read"):
        happened = ("delivered", "opened") if status == "read" else ("delivered",)
    elif status in ("failed", "undelivered"):
        happened = ("failed",)
    meaning = meaning_of(error) if happened == ("failed",) else Meaning.REFUSED
    return StatusCallback(form.get("MessageSid", form.get("SmsSid", "")), happened, error, meaning)


def read_subscription(form: Mapping[str, str]) -> SubscriptionChange | None:
    """Return what a text says of its sender's subscription; None where it says nothing of it.

    With Advanced Opt-Out Twilio itself says what a word of whatever language means, by `OptOutType`.
    """
    word = form.get("Body", "").strip().strip(".!").upper()
    kind = form.get("OptOutType", "").upper()
    if not kind:
        kind = "STOP" if word in STOP else "START" if word in START else ""
    if kind not in ("STOP", "START"):
        return None
    channel, number = texted_from(form.get("From", ""), "twilio")
    return SubscriptionChange(channel, number, kind == "START", word[:50])
