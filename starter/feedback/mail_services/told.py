"""What every mail service tells, whatever its words are."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from campaigns.models.problems import FieldError, Invalid

Happening = Literal["delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"]
Fetch = Callable[[str], Awaitable[bytes]]
"""Gets what stands at a URL of the service's own. Raise OSError."""
ID_HEADER = "x-campaigns-message"


class NotSigned(Exception):
    """The request is not the service's."""


@dataclass(frozen=True)
class MailTold:
    """One thing that happened to one mail."""

    ids: tuple[str, ...]
    """What may be the message's: our id, a Message-ID, the id that the service gave it."""
    what: Happening
    hard: bool = False
    """Of a bounce: the address will never do."""
    reason: str = ""
    machine: bool = False
    """Of an opening or a click: the service says that no person did it."""
    url: str | None = None
    """Of a click: where it led."""


def load_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object. Raise Invalid."""
    value = load(body)
    if not isinstance(value, dict):
        raise Invalid([FieldError("body", "must be an object")])
    return value


def load(body: bytes) -> Any:
    """Return the JSON. Raise Invalid."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid([FieldError("body", f"is not JSON: {error}")]) from None


def part(value: object, *path: str) -> Any:
    """Return what stands at the path of objects, or None: services leave out what they do not know."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(value: object, *path: str) -> str:
    """Return the text at the path, or an empty one."""
    found = part(value, *path)
    return found if isinstance(found, str) else ""


def ids(*candidates: object) -> tuple[str, ...]:
    """Return those of the candidates that may be ids, each once, in their order."""
    found = (candidate.strip("<> ") for candidate in candidates if isinstance(candidate, str))
    return tuple(dict.fromkeys(candidate for candidate in found if 0 < len(candidate) <= 998))


def header(headers: object, name: str) -> str | None:
    """Return a header of the mail from a list of `{"name", "value"}`."""
    listed: Iterable[Any] = headers if isinstance(headers, list) else ()
    return next((text(one, "value") for one in listed if text(one, "name").lower() == name), None)


def sent_header(headers: Mapping[str, str], name: str) -> str:
    """Return a header of the request. Raise NotSigned where there is none."""
    value = headers.get(name)
    if not value:
        raise NotSigned(f"{name} is missing")
    return value
