"""From a message step and a customer to a message that can go out, or the reason why none can."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from campaigns.activities.rendering import RenderingError, render
from campaigns.activities.senders.base import Outgoing
from campaigns.models.steps import Email, MessageBase, Sms
from campaigns.models.values import Json

ADDRESS_ATTRIBUTE = {"email": "email", "sms": "phone"}


@dataclass(frozen=True)
class Unsendable:
    """Why there is no message: an outcome of the step, with its reason."""

    outcome: str
    reason: str
    detail: str | None = None


def address_of(channel: str, attributes: Json) -> str | Unsendable:
    """The customer's address on the channel: a mail address (RFC 5321), or a phone number in E.164."""
    value = attributes.get(ADDRESS_ATTRIBUTE[channel])
    if value is None or value == "":
        return Unsendable("skipped", "no_address")
    if not isinstance(value, str):
        return Unsendable("failed", "invalid_address")
    return _mail_address(value) if channel == "email" else _phone_number(value)


def _mail_address(value: str) -> str | Unsendable:
    try:
        return validate_email(value.strip(), check_deliverability=False, strict=True, test_environment=True).normalized
    except EmailNotValidError:
        return Unsendable("failed", "invalid_address")


def _phone_number(value: str) -> str | Unsendable:
    try:
        number = phonenumbers.parse(value, None)
    except phonenumbers.NumberParseException:
        return Unsendable("failed", "invalid_address")
    if not phonenumbers.is_possible_number(number):
        return Unsendable("failed", "invalid_address")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def compose(
    step: MessageBase,
    template: Json | None,
    variables: Mapping[str, Any],
    message_id: str,
    to: str,
    unsubscribe_url: str | None,
) -> Outgoing | Unsendable:
    """The message of the step, rendered; its content comes from the template where the step names one."""
    if step.template is not None and template is None:
        return Unsendable("failed", "no_template", f"there is no template {step.template}")
    content = template or {name: getattr(step, name) for name in step.content}
    try:
        match step:
            case Email():
                return Outgoing(
                    message_id,
                    to,
                    sender=step.from_,
                    reply_to=step.reply_to,
                    subject=render(content.get("subject") or "", variables),
                    html=_rendered(content.get("html"), variables, html=True),
                    text=_rendered(content.get("text"), variables),
                    unsubscribe_url=unsubscribe_url,
                )
            case Sms():
                return Outgoing(message_id, to, text=render(content.get("body") or "", variables))
    except RenderingError as error:
        return Unsendable("failed", "rendering", str(error)[:500])
    raise TypeError(f"{step.channel} is not sent by this version")


def _rendered(source: str | None, variables: Mapping[str, Any], *, html: bool = False) -> str | None:
    return None if source is None else render(source, variables, html=html)
