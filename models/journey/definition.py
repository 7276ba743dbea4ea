"""A campaign's definition: its settings and its journey, validated whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from campaigns.models.channels import PersonalChannel
from campaigns.models.journey.conditions import Condition, StepIs, first_part
from campaigns.models.journey.conditions import walk as walk_condition
from campaigns.models.journey.steps import (
    OTHERWISE,
    TIMEOUT,
    Delay,
    Message,
    MessageBase,
    Split,
    Step,
    UntilAttribute,
    Wait,
    Webhook,
    Weekday,
    blocks,
    conditions,
    walk,
    with_ids,
)
from campaigns.models.problems import FieldError, Invalid, field_errors, place_text
from campaigns.models.values import (
    Duration,
    Instant,
    Json,
    Key,
    Name,
    PositiveDuration,
    Strict,
    TimeOfDay,
    Zone,
    parse_duration,
)

MAX_STEPS = 500
MAX_DEPTH = 20

GOAL = "goal"
"""The key of the goal among the things that an entry listens for; a step's is `<step id>/<name>`."""


class CampaignStatus(StrEnum):
    """Where a campaign is in its life."""

    DRAFT = "draft"
    LIVE = "live"
    PAUSED = "paused"
    STOPPED = "stopped"
    ARCHIVED = "archived"


class EventTrigger(Strict):
    """An event occurs for the customer."""

    type: Literal["event"]
    event: Name
    where: Condition | None = None


class SegmentTrigger(Strict):
    """The customer enters one of the segments."""

    type: Literal["segment"]
    segments: list[Key] = Field(min_length=1, max_length=50)
    include_existing: bool = False


class Once(Strict):
    """A customer enters once."""

    type: Literal["once"] = "once"


class EveryTime(Strict):
    """A customer enters at every trigger."""

    type: Literal["every_time"]


class Interval(Strict):
    """A customer enters again when `every` has passed since the last entry."""

    type: Literal["interval"]
    every: PositiveDuration
    while_member: bool = True


class Goal(Strict):
    """What the campaign is for; counted as a conversion within the time since the entry's start."""

    event: Name
    where: Condition | None = None
    within: PositiveDuration | None = None
    exit: bool = True


class QuietTimes(Strict):
    """When no marketing message goes out, by the customer's clock: between two times of day, and on some weekdays."""

    from_: TimeOfDay | None = Field(default=None, alias="from")
    to: TimeOfDay | None = None
    weekdays: Annotated[list[Weekday], Field(min_length=1, max_length=7)] | None = None
    """The days on which messages may go; none are excluded where that is None."""

    @model_serializer(mode="wrap")
    def _as_given(self, serialize: SerializerFunctionWrapHandler) -> Json:
        """What was left out stays out."""
        return {name: value for name, value in serialize(self).items() if value not in (None, {})}

    @model_validator(mode="after")
    def _some_hours(self) -> "QuietTimes":
        if (self.from_ is None) != (self.to is None):
            raise ValueError("from: is required beside to" if self.from_ is None else "to: is required beside from")
        if self.from_ is not None and self.from_ == self.to:
            raise ValueError("to: must differ from from, or nothing could ever be sent")
        return self


class QuietHours(QuietTimes):
    """Quiet times of all channels, and of those that have their own; they may run over midnight."""

    channels: dict[PersonalChannel, QuietTimes] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> "QuietHours":
        if self.from_ is None and self.weekdays is None and not self.channels:
            raise ValueError("from: is required, or weekdays, or channels")
        return self

    def of(self, channel: str) -> QuietTimes:
        """The quiet times of the channel."""
        return self.channels.get(channel, self)


@dataclass(frozen=True)
class Listener:
    """One thing that an entry listens for: a wait's event or the goal."""

    key: str
    event: str
    where: Condition | None


class Definition(Strict):
    """A campaign as users define it; docs/campaigns.md lists the fields and their defaults."""

    key: Key
    name: Name
    description: Annotated[str, Field(max_length=10_000)] = ""
    trigger: Annotated[EventTrigger | SegmentTrigger, Field(discriminator="type")]
    frequency: Annotated[Once | EveryTime | Interval, Field(discriminator="type")] = Once()
    frequency_cap: Duration | None = None
    priority: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    entry_key: Annotated[str, Field(pattern=r"^properties\..{1,200}$")] | None = None
    goal: Goal | None = None
    exit_on_leave: bool = False
    holdout_percent: Annotated[float, Field(ge=0, le=100)] = 0
    quiet_hours: QuietHours | None = None
    timezone: Zone | None = None
    steps: Annotated[list[Step], Field(min_length=1)] | None = None
    workflow: Name | None = None

    @cached_property
    def all_steps(self) -> list[Step]:
        """Every step, nested ones too, in the order of the definition."""
        return [step for _, step in walk(self.steps or [])]

    @cached_property
    def steps_by_id(self) -> dict[str, Step]:
        """Every step by its id."""
        return {step.id: step for step in self.all_steps}

    @cached_property
    def listeners(self) -> list[Listener]:
        """What an entry of this campaign listens for, in the order of the definition."""
        found = [
            Listener(listener_key(step.id, awaited.name), awaited.event, awaited.where)
            for step in self.all_steps
            if isinstance(step, Wait)
            for awaited in step.for_
        ]
        if self.goal:
            found.append(Listener(GOAL, self.goal.event, self.goal.where))
        return found

    @cached_property
    def times_depend_on(self) -> frozenset[str]:
        """The customer's attributes (of a path its first part too) on which the entry's times hang."""
        names: set[str] = set()
        if self.quiet_hours:
            names.add("timezone")
        for step in self.all_steps:
            if isinstance(step, Delay) and step.until is not None:
                names.add("timezone")
                if isinstance(step.until, UntilAttribute):
                    names |= {step.until.attribute, first_part(step.until.attribute)}
        return frozenset(names)

    @cached_property
    def saved_answers(self) -> dict[str, str]:
        """The webhook steps whose answers are kept, by the name that later steps know them under."""
        return {step.save_as: step.id for step in self.all_steps if isinstance(step, Webhook) and step.save_as}

    @property
    def trigger_names(self) -> list[str]:
        """The event, or the segments, that trigger the campaign."""
        return [self.trigger.event] if isinstance(self.trigger, EventTrigger) else list(self.trigger.segments)

    @property
    def re_enters_every(self) -> timedelta | None:
        """After how long a member of its segments enters again by itself; None where nobody does."""
        frequency = self.frequency
        if isinstance(self.trigger, SegmentTrigger) and isinstance(frequency, Interval) and frequency.while_member:
            return parse_duration(frequency.every)
        return None

    def to_json(self) -> dict[str, Any]:
        """The definition as users write it, fields that were left to their defaults included."""
        return self.model_dump(mode="json", by_alias=True)

    def with_steps_of_code(self, steps: list[Step]) -> "Definition":
        """The definition of a journey in code, with the steps that the code declares now.

        Those that it declared once, and entries came through, stay behind them.
        """
        declared = {step.id for step in steps}
        before = [step for step in self.steps or [] if step.id not in declared]
        return self.model_copy(update={"steps": [*steps, *before]})


def listener_key(step: str, name: str) -> str:
    """What a signal says it matched for one event of a wait."""
    return f"{step}/{name}"


def parse_definition(raw: object) -> Definition:
    """A definition from JSON data. Raises Invalid with every error and its place."""
    if isinstance(raw, dict) and "steps" in raw:
        if _depth(raw["steps"]) > MAX_DEPTH * 3:
            raise Invalid([FieldError("steps", f"nests deeper than {MAX_DEPTH} blocks")])
        raw = {**raw, "steps": with_ids(raw["steps"])}
    try:
        campaign = Definition.model_validate(raw)
    except ValidationError as error:
        raise Invalid(field_errors(error, raw)) from None
    if errors := list(_whole_errors(campaign)):
        raise Invalid(errors)
    return campaign


def _depth(value: object) -> int:
    """How deep lists and objects nest, counted without recursion: this is asked of data that nobody has checked."""
    deepest, rest = 0, [(value, 1)]
    while rest:
        here, depth = rest.pop()
        deepest = max(deepest, depth)
        if depth > MAX_DEPTH * 10:
            return depth
        children = here.values() if isinstance(here, dict) else here if isinstance(here, list) else ()
        rest.extend((child, depth + 1) for child in children)
    return deepest


def _whole_errors(campaign: Definition) -> Iterator[FieldError]:
    """What only the whole definition shows."""
    if (campaign.steps is None) == (campaign.workflow is None):
        yield FieldError("steps", "one of steps and workflow is required")
    if campaign.starts_at and campaign.ends_at and campaign.ends_at <= campaign.starts_at:
        yield FieldError("ends_at", "must be after starts_at")
    if campaign.exit_on_leave and not isinstance(campaign.trigger, SegmentTrigger):
        yield FieldError("exit_on_leave", "needs a segment trigger")
    if campaign.entry_key and not isinstance(campaign.trigger, EventTrigger):
        yield FieldError("entry_key", "needs an event trigger: a segment has no properties")
    yield from step_errors(campaign.steps or [])


def step_errors(steps: list[Step]) -> Iterator[FieldError]:
    """What only all steps together show."""
    seen: dict[str, Step] = {}
    placed = list(walk(steps))
    if len(placed) > MAX_STEPS:
        yield FieldError("steps", f"has more than {MAX_STEPS} steps")
    for place, step in placed:
        if step.id in seen:
            yield FieldError(place_text((*place, "id")), f"{step.id!r} is used twice; ids are unique in a campaign")
        seen[step.id] = step
        yield from _way_errors(place, step)
        for below, condition in conditions(step):
            yield from _step_references((*place, *below), condition, seen)
        if isinstance(step, Split) and not sum(variant.weight for variant in step.variants):
            yield FieldError(place_text((*place, "variants")), "at least one weight must be above zero")


def _way_errors(place: tuple[str | int, ...], step: Step) -> Iterator[FieldError]:
    """Names of ways count in statistics, so each must be its own."""
    names: set[str] = set()
    for name, below, _ in blocks(step):
        implicit = len(below) == 1
        if not implicit and name in (OTHERWISE, TIMEOUT):
            yield FieldError(place_text((*place, *below[:-1], "name")), f"{name!r} is reserved")
        if name in names:
            yield FieldError(place_text((*place, *below[:-1], "name")), f"{name!r} is used twice in this step")
        names.add(name)


def _step_references(place: tuple[str | int, ...], condition: Condition, seen: dict[str, Step]) -> Iterator[FieldError]:
    for part in walk_condition(condition):
        if isinstance(part, StepIs) and not isinstance(seen.get(part.step), MessageBase):
            yield FieldError(place_text(place), f"step: {part.step!r} is not a message step above this one")


def mentioned_segments(campaign: Definition) -> Iterator[tuple[str, str]]:
    """Every segment that the definition names, with its place."""
    if isinstance(campaign.trigger, SegmentTrigger):
        for index, key in enumerate(campaign.trigger.segments):
            yield place_text(("trigger", "segments", index)), key
    for place, condition in placed_conditions(campaign):
        for part in walk_condition(condition):
            if (segment := getattr(part, "segment", None)) is not None:
                yield place_text(place), segment


def placed_conditions(campaign: Definition) -> Iterator[tuple[tuple[str | int, ...], Condition]]:
    """Every condition of the definition, with its place."""
    if isinstance(campaign.trigger, EventTrigger) and campaign.trigger.where is not None:
        yield ("trigger", "where"), campaign.trigger.where
    if campaign.goal and campaign.goal.where is not None:
        yield ("goal", "where"), campaign.goal.where
    for place, step in walk(campaign.steps or []):
        for below, condition in conditions(step):
            yield (*place, *below), condition


def mentioned_templates(campaign: Definition) -> Iterator[tuple[str, Message, str]]:
    """Every template that a message step names, with its place and the step."""
    for place, step in walk(campaign.steps or []):
        if isinstance(step, MessageBase) and step.template is not None:
            yield place_text((*place, "template")), step, step.template
