"""The small value types that every definition and request is made of."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, ClassVar
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

MAX_DURATION = timedelta(days=3660)

_DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<weeks>\d{1,6})W|(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,9}(?:\.\d{1,6})?)S)?)?)"
)


class Strict(BaseModel):
    """A model of what users send: unknown fields are refused, so that a typing error is never ignored."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, strict=True)


def parse_duration(text: str) -> timedelta:
    """An ISO 8601 duration of weeks, days, hours, minutes and seconds; a day is 86,400 s.

    Raises ValueError for anything else; years and months have no fixed length and are refused.
    """
    match = _DURATION.fullmatch(text)
    if match is None or text.lstrip("-") == "P":
        raise ValueError("is not an ISO 8601 duration such as PT30M or P7D (years and months have no fixed length)")
    parts = {name: float(value) for name, value in match.groupdict().items() if value and name != "sign"}
    duration = timedelta(**parts)
    if duration > MAX_DURATION:
        raise ValueError("is longer than ten years")
    return -duration if match["sign"] else duration


def _duration(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 duration in a string, such as PT30M or P7D")
    if parse_duration(value) < timedelta(0):
        raise ValueError("must not be negative")
    return value


def _positive_duration(value: object) -> str:
    text = _duration(value)
    if not parse_duration(text):
        raise ValueError("must be longer than zero")
    return text


def _offset(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 duration in a string, such as -P3D")
    parse_duration(value)
    return value


def no_control_characters(value: str) -> str:
    """The value itself; raises ValueError where it holds a control character (C0, DEL, C1)."""
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in value):
        raise ValueError("must not contain control characters")
    return value


@lru_cache(maxsize=1)
def time_zones() -> frozenset[str]:
    """The names of all IANA time zones known here."""
    return frozenset(available_timezones())


def _zone(value: str) -> str:
    if value not in time_zones():
        raise ValueError("is not an IANA time zone such as Europe/Athens")
    return value


def _instant(value: object) -> object:
    if not isinstance(value, str | datetime):
        raise ValueError("must be an ISO 8601 time with an offset, in a string")
    return value


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


Duration = Annotated[str, BeforeValidator(_duration)]
PositiveDuration = Annotated[str, BeforeValidator(_positive_duration)]
Offset = Annotated[str, BeforeValidator(_offset)]
Id = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(no_control_characters)]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(no_control_characters)]
Zone = Annotated[str, AfterValidator(_zone)]
Instant = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_instant), AfterValidator(_to_utc)]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Json = dict[str, Any]


_moved_to: ContextVar[datetime | None] = ContextVar("moved_to", default=None)


def utc_now() -> datetime:
    """The present, in UTC."""
    return _moved_to.get() or datetime.now(UTC)


@contextmanager
def time_moved_to(moment: datetime) -> Iterator[None]:
    """Within the block it is this moment, for this task alone: tests and simulations skip time."""
    token = _moved_to.set(moment)
    try:
        yield
    finally:
        _moved_to.reset(token)


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with a Z, or None."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
