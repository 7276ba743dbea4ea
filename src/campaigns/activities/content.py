"""From a message step and a customer to a message that can go out, or the reason why none can."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
import phonenumbers
from email_validator import EmailNotValidError, validate_email

from campaigns.activities.rendering import RenderingError, render, text_of
from campaigns.activities.senders.base import Outgoing
from campaigns.models.steps import Email, MessageBase, Push, Sms, Webhook, WhatsApp
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
    """The customer's address on the channel: a mail address (RFC 5321), a phone number in E.164, a push token.

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
    locale = variables["customer"].get("locale")
    content = in_locale(template, locale) if template else {name: getattr(step, name) for name in step.content}
    try:
        match step:
            case Email():
                html = _rendered(content.get("html"), variables, html=True)
                text = _rendered(content.get("text"), variables)
                return Outgoing(
                    message_id,
                    to,
                    sender=step.from_,
                    reply_to=step.reply_to,
                    subject=render(content.get("subject") or "", variables),
                    html=html,
                    text=text_of(html) if text is None and html is not None else text,
                    unsubscribe_url=unsubscribe_url,
                )
            case Sms() | WhatsApp():
                return Outgoing(message_id, to, text=render(content.get("body") or "", variables))
            case Push():
                return Outgoing(
                    message_id,
                    to,
                    title=render(content.get("title") or "", variables),
                    text=render(content.get("body") or "", variables),
                    link=_rendered(content.get("link"), variables),
                )
            case Webhook():
                return _request(step, variables, message_id)
    except RenderingError as error:
        return Unsendable("failed", "rendering", str(error)[:500])
    raise TypeError(f"{step.channel} is not sent by this version")


def in_locale(content: Json, locale: object) -> Json:
    """The template's content for a customer of this locale: that of `pt-BR`, else of `pt`, else the template's own.

    Locales are matched by lookup (RFC 4647, 3.4), whatever their case, and with `_` for `-`.
    """
    own = {name: value for name, value in content.items() if name != "locales"}
    variants = {known.replace("_", "-").lower(): part for known, part in content.get("locales", {}).items()}
    wanted = locale.replace("_", "-").lower() if isinstance(locale, str) else ""
    while wanted:
        if wanted in variants:
            return {**own, **variants[wanted]}
        wanted = wanted.rpartition("-")[0]
    return own


def render_part(name: str, content: Json, variables: Mapping[str, Any]) -> str:
    """One part of a template's content, rendered. Raises RenderingError."""
    return render(content[name], variables, html=name == "html")


def _request(step: Webhook, variables: Mapping[str, Any], message_id: str) -> Outgoing | Unsendable:
    """The request of a webhook step: JSON, unless the body is a text of its own."""
    url = render(step.url, variables).strip()
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        return Unsendable("failed", "invalid_url")
    headers = {name: " ".join(render(value, variables).split()) for name, value in step.headers.items()}
    text = None
    if isinstance(step.body, str):
        text = render(step.body, variables)
    elif step.body is not None:
        text = orjson.dumps(_rendered_within(step.body, variables)).decode()
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
    return Outgoing(message_id, url, method=step.method, headers=headers, text=text)


def _rendered_within(value: Any, variables: Mapping[str, Any]) -> Any:
    """JSON with each text in it rendered."""
    match value:
        case str():
            return render(value, variables)
        case dict():
            return {name: _rendered_within(one, variables) for name, one in value.items()}
        case list():
            return [_rendered_within(one, variables) for one in value]
        case _:
            return value


def _rendered(source: str | None, variables: Mapping[str, Any], *, html: bool = False) -> str | None:
    return None if source is None else render(source, variables, html=html)
