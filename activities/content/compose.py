"""From a message step and a customer to a message that can go out, or the reason why none can."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from campaigns.activities.content.rendering import Part, RenderingError, render
from campaigns.activities.senders.base import Outgoing
from campaigns.models.addresses import Unsendable
from campaigns.models.journey.steps import Email, MessageBase, Push, TextMessage, Webhook
from campaigns.models.values import Json


async def compose(
    step: MessageBase,
    template: Json | None,
    variables: Mapping[str, Any],
    message_id: str,
    to: str,
    unsubscribe_url: str | None,
    *,
    strict: bool = True,
) -> Outgoing | Unsendable:
    """The message of the step, rendered; its content comes from the template where the step names one.

    A customer for whom a value is missing that would be written, and that has no default, gets none; unless it is not
    `strict`, where the place stays empty.
    """
    if step.template is not None and template is None:
        return Unsendable("failed", "no_template", f"there is no template {step.template}")
    locale = variables["customer"].get("locale")
    content = in_locale(template, locale) if template else None
    try:
        rendered = await render(parts_of(step, content), variables, makes_text=isinstance(step, Email))
    except RenderingError as error:
        return Unsendable("failed", "rendering", str(error)[:500])
    if strict and rendered.missing:
        return Unsendable("skipped", "missing_value", ", ".join(rendered.missing)[:500])
    texts = rendered.parts
    match step:
        case Email():
            return Outgoing(
                message_id,
                to,
                sender=step.from_,
                reply_to=step.reply_to,
                subject=texts.get("subject", ""),
                html=texts.get("html"),
                text=texts.get("text"),
                unsubscribe_url=unsubscribe_url,
            )
        case TextMessage():
            return Outgoing(message_id, to, text=texts.get("body", ""))
        case Push():
            title, body, link = texts.get("title", ""), texts.get("body", ""), texts.get("link")
            return Outgoing(message_id, to, title=title, text=body, link=link)
        case Webhook():
            return _request(step, texts, message_id)
    raise TypeError(f"{step.channel} is not sent by this version")


def parts_of(step: MessageBase, content: Json | None = None) -> dict[str, Part]:
    """The texts of a message step, by their places; those of the content where it comes from a template."""
    if isinstance(step, Webhook):
        texts = {"url": step.url, **{f"headers/{name}": value for name, value in step.headers.items()}}
        return {place: Part(text) for place, text in {**texts, **_texts_within("body", step.body)}.items()}
    own = {name: getattr(step, name) for name in step.content}
    return content_parts(own if content is None else content, step.content)


def content_parts(content: Json, names: Iterable[str]) -> dict[str, Part]:
    """Those of the named parts that the content has."""
    return {name: Part(content[name], name == "html") for name in names if content.get(name) is not None}


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


def _request(step: Webhook, texts: Mapping[str, str], message_id: str) -> Outgoing | Unsendable:
    """The request of a webhook step: JSON, unless the body is a text of its own."""
    url = texts["url"].strip()
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        return Unsendable("failed", "invalid_url")
    headers = {name: " ".join(texts[f"headers/{name}"].split()) for name in step.headers}
    text = None
    if isinstance(step.body, str):
        text = texts["body"]
    elif step.body is not None:
        text = orjson.dumps(_with_texts("body", step.body, texts)).decode()
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
    return Outgoing(message_id, url, method=step.method, headers=headers, text=text)


def _texts_within(place: str, value: Any) -> dict[str, str]:
    """Each text in JSON by its place, a JSON pointer (RFC 6901)."""
    match value:
        case str():
            return {place: value}
        case dict() | list():
            inner = [_texts_within(one_place, one) for one_place, one in _places(place, value)]
            return {where: text for found in inner for where, text in found.items()}
        case _:
            return {}


def _with_texts(place: str, value: Any, texts: Mapping[str, str]) -> Any:
    """JSON with the text of its place for each text in it."""
    match value:
        case str():
            return texts[place]
        case dict():
            inner = (_with_texts(one_place, one, texts) for one_place, one in _places(place, value))
            return dict(zip(value, inner, strict=True))
        case list():
            return [_with_texts(one_place, one, texts) for one_place, one in _places(place, value)]
        case _:
            return value


def _places(place: str, value: dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    named = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in named:
        escaped = str(name).replace("~", "~0").replace("/", "~1")
        yield f"{place}/{escaped}", one
