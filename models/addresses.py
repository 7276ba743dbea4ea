"""Where a message goes: the customer's address on a channel, checked."""

from dataclasses import dataclass

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from campaigns.models.values import Json, no_control_characters

ADDRESS_ATTRIBUTE = {"email": "email", "sms": "phone", "whatsapp": "phone", "push": "pushToken"}
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
    if channel == "webhook":
        return ""
    value = attributes.get(ADDRESS_ATTRIBUTE[channel])
    if value is None or value == "":
        return Unsendable("skipped", "no_address")
    if not isinstance(value, str):
        return Unsendable("failed", "invalid_address")
    match channel:
        case "email":
            return _mail_address(value)
        case "push":
            return _push_token(value)
        case _:
            return _phone_number(value)


def _mail_address(value: str) -> str | Unsendable:
    try:
        return validate_email(value.strip(), check_deliverability=False, strict=True, test_environment=True).normalized
    except EmailNotValidError:
        return Unsendable("failed", "invalid_address")


def _push_token(value: str) -> str | Unsendable:
    try:
        token = no_control_characters(value.strip())
    except ValueError:
        return Unsendable("failed", "invalid_address")
    return token if 0 < len(token) <= MAX_TOKEN else Unsendable("failed", "invalid_address")


def _phone_number(value: str) -> str | Unsendable:
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        return Unsendable("failed", "invalid_address")
    if not phonenumbers.is_possible_number(number):
        return Unsendable("failed", "invalid_address")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
