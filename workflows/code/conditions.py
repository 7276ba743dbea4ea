"""The conditions of journeys in code: the grammar that all of the product shares, as Python, and durations."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from campaigns.models.values import Json, iso


def iso_duration(duration: timedelta) -> str:
    """The duration in ISO 8601."""
    if not isinstance(duration, timedelta):
        raise TypeError(f"{duration!r} is no timedelta, such as hours(1)")
    sign = "-" if duration < timedelta(0) else ""
    whole = abs(duration)
    seconds = whole.total_seconds() - whole.days * 86_400
    time = f"T{seconds:.6f}".rstrip("0").rstrip(".") + "S" if seconds else ""
    return f"{sign}P" + (f"{whole.days}D" if whole.days or not time else "") + time


def hours(number: float) -> timedelta:
    """So many hours."""
    return timedelta(hours=number)


def minutes(number: float) -> timedelta:
    """So many minutes."""
    return timedelta(minutes=number)


def seconds(number: float) -> timedelta:
    """So many seconds."""
    return timedelta(seconds=number)


def days(number: float) -> timedelta:
    """So many days of 24 hours."""
    return timedelta(days=number)


@dataclass(frozen=True)
class Condition:
    """A condition in the grammar that all of the product shares."""

    json: Json

    def __and__(self, other: "Condition") -> "Condition":
        return Condition({"all": [self.json, other.json]})

    def __or__(self, other: "Condition") -> "Condition":
        return Condition({"any": [self.json, other.json]})

    def __invert__(self) -> "Condition":
        return Condition({"not": self.json})


@dataclass(frozen=True)
class Value:
    """An attribute of the customer or a property of the event at hand, to be compared."""

    kind: Literal["attribute", "property"]
    path: str

    def _is(self, op: str, *value: Any) -> Condition:
        compared = {"value": _plain(value[0])} if value else {}
        return Condition({self.kind: self.path, "op": op, **compared})

    def equals(self, value: Any) -> Condition:
        """The same value."""
        return self._is("equals", value)

    def not_equals(self, value: Any) -> Condition:
        """Another value, or none."""
        return self._is("not_equals", value)

    def greater_than(self, value: Any) -> Condition:
        """More than the value."""
        return self._is("greater_than", value)

    def at_least(self, value: Any) -> Condition:
        """The value or more."""
        return self._is("at_least", value)

    def less_than(self, value: Any) -> Condition:
        """Less than the value."""
        return self._is("less_than", value)

    def at_most(self, value: Any) -> Condition:
        """The value or less."""
        return self._is("at_most", value)

    def contains(self, value: Any) -> Condition:
        """A text with this part, or a list with this element."""
        return self._is("contains", value)

    def starts_with(self, value: str) -> Condition:
        """A text that begins so."""
        return self._is("starts_with", value)

    def one_of(self, *values: Any) -> Condition:
        """One of the values."""
        return Condition({self.kind: self.path, "op": "in", "value": [_plain(value) for value in values]})

    def exists(self) -> Condition:
        """There is a value."""
        return self._is("exists")

    def not_exists(self) -> Condition:
        """There is no value."""
        return self._is("not_exists")

    def before(self, moment: "datetime | Value | str") -> Condition:
        """A date or time before this one."""
        return self._is("before", moment)

    def after(self, moment: "datetime | Value | str") -> Condition:
        """A date or time after this one."""
        return self._is("after", moment)


@dataclass(frozen=True)
class TriggerValue:
    """A property of the trigger, as the value of a comparison."""

    path: str


def _plain(value: Any) -> Any:
    if isinstance(value, TriggerValue):
        return {"trigger": value.path}
    if isinstance(value, Value):
        if value.kind == "property":
            raise TypeError(f"{value.path}: only attributes and properties of the trigger can be compared with")
        return {"attribute": value.path}
    return iso(value) if isinstance(value, datetime) else value


def attribute(path: str) -> Value:
    """An attribute of the customer, by its path with dots."""
    return Value("attribute", path)


def prop(path: str) -> Value:
    """A property of the event at hand, by its path with dots."""
    return Value("property", path)


def of_trigger(path: str) -> "TriggerValue":
    """A property of the trigger, which others are compared with."""
    return TriggerValue(path)


def in_segment(key: str) -> Condition:
    """The customer is a member of the segment."""
    return Condition({"segment": key})


def did(event: str, where: Condition | None = None, *, at_least: int = 1, within: timedelta | None = None) -> Condition:
    """The customer did something, so many times, within the time before now."""
    condition: Json = {"event": event, "count": {"op": "at_least", "value": at_least}}
    if where:
        condition["where"] = where.json
    if within is not None:
        condition["within"] = iso_duration(within)
    return Condition(condition)


def message_is(step: str, status: str) -> Condition:
    """What became of an earlier message of the same entry: `sent`, `failed`, `opened`, …"""
    return Condition({"step": step, "status": status})
