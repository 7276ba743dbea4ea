"""Where a message goes: the customer's address on a channel, checked."""

from collections.abc import Callable
from dataclasses import dataclass

import phonenumbers
from email_validator import validate_email

from campaigns.models.channels import CHANNELS
from campaigns.models.values import Json, no_control_characters

MAX_TOKEN = 4_096


@dataclass(frozen=True)
class Unsendable:
    """Why there is no message: an outcome of the step, with its reason."""

    outcome: str
    reason: str
    detail: str | None = None


def address_of(channel: str, attributes: Json) -> str | Unsendable:
    """Return the customer's address on the channel: a mail address (RFC 5321), a phone number in E.164, a push token.

    A webhook has none of the customer's: its URL is the step's.
    """
    attribute = CHANNELS[channel].address
    if attribute is None:
        return ""
    value = attributes.get(attribute)
    if value is None or value == "":
        return Unsendable("skipped", "no_address")
    if not isinstance(value, str):
        return Unsendable("failed", "invalid_address")
    try:
        return CHECKS[attribute](value)
    except ValueError:
        return Unsendable("failed", "invalid_address")


def checked_address(channel: str, value: str) -> str | Unsendable:
    """Return the address on a channel that reaches a person, as `address_of` does."""
    return address_of(channel, {CHANNELS[channel].address or "": value})


def _mail_address(value: str) -> str:
    return validate_email(value.strip(), check_deliverability=False, strict=True, test_environment=True).normalized


def _push_token(value: str) -> str:
    token = no_control_characters(value.strip())
    if not 0 < len(token) <= MAX_TOKEN:
        raise ValueError(f"must have 1 to {MAX_TOKEN} characters")
    return token


def _phone_number(value: str) -> str:
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        raise ValueError("is no phone number") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is no phone number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


CHECKS: dict[str, Callable[[str], str]] = {
    "email": _mail_address,
    "phone": _phone_number,
    "pushToken": _push_token,
}
"""By the customer's attribute: returns the address as it is sent to, raises ValueError where it is none."""
