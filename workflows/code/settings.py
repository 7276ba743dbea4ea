"""The settings of a journey in code: what a campaign in JSON says beside its steps."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from pydantic import BaseModel

from campaigns.models.journey.definition import parse_definition
from campaigns.models.problems import Invalid
from campaigns.models.values import Json, iso
from campaigns.workflows.code.conditions import Condition, iso_duration
from campaigns.workflows.code.journey import Journey, as_workflow
from campaigns.workflows.code.steps import with_place

T = TypeVar("T", bound=BaseModel)


class SegmentEntered(BaseModel):
    """The trigger of a journey that a segment starts."""

    segment: str


@dataclass(frozen=True)
class On(Generic[T]):
    """What starts a journey."""

    json: Json
    properties: type[T]


def on_event(name: str, properties: type[T], where: Condition | None = None) -> On[T]:
    """An event of the customer's. One whose properties are not these does not match."""
    return On({"type": "event", "event": name, **({"where": where.json} if where else {})}, properties)


def on_segment(*keys: str, include_existing: bool = False) -> On[SegmentEntered]:
    """Entering one of the segments."""
    return On({"type": "segment", "segments": list(keys), "include_existing": include_existing}, SegmentEntered)


@dataclass(frozen=True)
class Frequency:
    """How often one customer may enter."""

    json: Json


def once() -> Frequency:
    """A customer enters once."""
    return Frequency({"type": "once"})


def every_time() -> Frequency:
    """A customer enters at every trigger."""
    return Frequency({"type": "every_time"})


def interval(every: timedelta, *, while_member: bool = True) -> Frequency:
    """A customer enters again when so much time has passed since the last entry."""
    return Frequency({"type": "interval", "every": iso_duration(every), "while_member": while_member})


@dataclass(frozen=True)
class GoalSettings:
    """What the campaign is for."""

    json: Json


def goal(
    event: str, where: Condition | None = None, *, within: timedelta | None = None, exit: bool = True
) -> GoalSettings:
    """An event that counts as a conversion, and ends the entry unless `exit` is False."""
    stated: Json = {"event": event, "exit": exit}
    if where:
        stated["where"] = where.json
    if within is not None:
        stated["within"] = iso_duration(within)
    return GoalSettings(stated)


def campaign(
    *,
    trigger: On[T],
    key: str | None = None,
    name: str | None = None,
    frequency: Frequency | None = None,
    frequency_cap: timedelta | None = None,
    priority: int | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    entry_key: str | None = None,
    goal: GoalSettings | None = None,
    exit_on_leave: bool = False,
    holdout_percent: float = 0,
    quiet_hours: tuple[str, str] | None = None,
    timezone: str | None = None,
) -> Callable[[type[Journey[T]]], type[Journey[T]]]:
    """Makes the class a campaign's journey, with these settings; the key comes from the class's name."""

    def decorate(cls: type[Journey[T]]) -> type[Journey[T]]:
        words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", cls.__name__)
        raw: Json = {
            "key": key or "-".join(words).lower(),
            "name": name or " ".join([words[0], *(word.lower() for word in words[1:])]),
            "description": (cls.__doc__ or "").strip(),
            "trigger": trigger.json,
            "frequency": frequency.json if frequency else None,
            "frequency_cap": iso_duration(frequency_cap) if frequency_cap else None,
            "priority": priority,
            "starts_at": iso(starts_at),
            "ends_at": iso(ends_at),
            "entry_key": entry_key,
            "goal": goal.json if goal else None,
            "exit_on_leave": exit_on_leave,
            "holdout_percent": holdout_percent,
            "quiet_hours": {"from": quiet_hours[0], "to": quiet_hours[1]} if quiet_hours else None,
            "timezone": timezone,
            "workflow": cls.__name__,
        }
        if not cls.steps:
            raise TypeError(f"{cls.__name__}: has no steps")
        try:
            cls.definition = parse_definition({name: value for name, value in raw.items() if value is not None})
        except Invalid as error:
            raise TypeError("; ".join(f"{cls.__name__}: {with_place(each)}" for each in error.errors)) from None
        cls.trigger_type = trigger.properties
        return as_workflow(cls)

    return decorate
