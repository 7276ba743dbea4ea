"""Journeys written as Python: steps that are declared, a story that goes through them, settings beside it.

The steps are attributes of the class, so that all of them are known before anybody enters: for statistics, for the
events that an entry listens for, for drawing and checking. What they say is what a campaign in JSON says.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError
from temporalio import workflow

from campaigns.models.campaign import Campaign, parse_campaign, step_errors
from campaigns.models.outline import OutlineStep, outline_step
from campaigns.models.problems import FieldError, Invalid, field_errors
from campaigns.models.signing import Signing
from campaigns.models.steps import OTHERWISE, TIMEOUT, Category, Step, Weekday
from campaigns.models.values import Json, iso
from campaigns.workflows.contract import EntryInput, Passed
from campaigns.workflows.entry import EntryWorkflow

T = TypeVar("T", bound=BaseModel)
J = TypeVar("J", bound="Journey[Any]")
_STEP: TypeAdapter[Step] = TypeAdapter(Step)
MessageOutcome = Literal["sent", "failed", "unknown", "skipped"]


def iso_duration(duration: timedelta) -> str:
    """The duration in ISO 8601."""
    if not isinstance(duration, timedelta):
        raise TypeError(f"{duration!r} is no timedelta, such as hours(1)")
    sign = "-" if duration < timedelta(0) else ""
    whole = abs(duration)
    seconds = whole.total_seconds() - whole.days * 86_400
    time = f"T{seconds:.6f}".rstrip("0").rstrip(".") + "S" if seconds else ""
    return f"{sign}P" + (f"{whole.days}D" if whole.days or not time else "") + time


def _said(error: FieldError) -> str:
    return f"{error.field}: {error.detail}"


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
        said = {"value": _plain(value[0])} if value else {}
        return Condition({self.kind: self.path, "op": op, **said})

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
    said: Json = {"event": event, "count": {"op": "at_least", "value": at_least}}
    if where:
        said["where"] = where.json
    if within is not None:
        said["within"] = iso_duration(within)
    return Condition(said)


def message_is(step: str, status: str) -> Condition:
    """What became of an earlier message of the same entry: `sent`, `failed`, `opened`, …"""
    return Condition({"step": step, "status": status})


class Declared:
    """A step that is declared; its id comes from the attribute's name where none is given."""

    def __init__(self, kind: str, /, **fields: Any) -> None:
        self._fields = {"type": kind, **{name: value for name, value in fields.items() if value is not None}}
        self._place: str | None = None
        self.model: Step
        self.outline: OutlineStep

    def declare(self, place: str, name: str) -> None:
        """Becomes the step of that attribute. Raises TypeError that names the place."""
        if self._place not in (None, place):
            raise TypeError(f"{place}: is {self._place} already; each step is declared once")
        self._place = place
        raw = {"id": name.replace("_", "-"), **self._fields}
        try:
            self.model = _STEP.validate_python(raw)
        except ValidationError as error:
            raise TypeError("; ".join(f"{place}: {_said(one)}" for one in field_errors(error, raw))) from None
        self.outline = outline_step(self.model)

    @property
    def id(self) -> str:
        """The step's id."""
        return self.model.id


class MessageStep(Declared):
    """A message to the customer, or a request to another service."""


class DelayStep(Declared):
    """A pause."""


class WaitStep(Declared):
    """A wait for events."""


class BranchStep(Declared):
    """A choice by the customer as they are then."""


class SplitStep(Declared):
    """A choice by chance that is always the same for a customer."""


class UpdateStep(Declared):
    """Attributes that are written to the customer."""


class ExitStep(Declared):
    """An end."""


def email(
    subject: str | None = None,
    *,
    text: str | None = None,
    html: str | None = None,
    template: str | None = None,
    sender: str | None = None,
    reply_to: str | None = None,
    tracking: bool = True,
    category: Category = "marketing",
    topic: str | None = None,
    on_failure: Literal["continue", "exit"] = "continue",
    expires_after: timedelta | None = None,
    id: str | None = None,
) -> MessageStep:
    """A mail; texts are Liquid."""
    content = {
        "subject": subject,
        "text": text,
        "html": html,
        "template": template,
        "from": sender,
        "tracking": tracking,
    }
    content |= {"reply_to": reply_to, "tracking": tracking}
    return MessageStep("email", **content, **_common(category, on_failure, expires_after, id, topic))


def sms(
    body: str | None = None,
    *,
    template: str | None = None,
    category: Category = "marketing",
    topic: str | None = None,
    on_failure: Literal["continue", "exit"] = "continue",
    expires_after: timedelta | None = None,
    id: str | None = None,
) -> MessageStep:
    """A text message."""
    return MessageStep("sms", body=body, template=template, **_common(category, on_failure, expires_after, id, topic))


def whatsapp(
    body: str | None = None,
    *,
    template: str | None = None,
    category: Category = "marketing",
    topic: str | None = None,
    on_failure: Literal["continue", "exit"] = "continue",
    expires_after: timedelta | None = None,
    id: str | None = None,
) -> MessageStep:
    """A WhatsApp message."""
    return MessageStep(
        "whatsapp", body=body, template=template, **_common(category, on_failure, expires_after, id, topic)
    )


def push(
    title: str | None = None,
    body: str | None = None,
    *,
    link: str | None = None,
    template: str | None = None,
    category: Category = "marketing",
    topic: str | None = None,
    on_failure: Literal["continue", "exit"] = "continue",
    expires_after: timedelta | None = None,
    id: str | None = None,
) -> MessageStep:
    """A push notification."""
    content = {"title": title, "body": body, "link": link, "template": template}
    return MessageStep("push", **content, **_common(category, on_failure, expires_after, id, topic))


def webhook(
    url: str,
    *,
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST",
    headers: Mapping[str, str] | None = None,
    body: JsonValue = None,
    save_as: str | None = None,
    on_failure: Literal["continue", "exit"] = "continue",
    expires_after: timedelta | None = None,
    id: str | None = None,
) -> MessageStep:
    """A request to another service; `save_as` keeps its JSON answer for the texts of later steps."""
    content = {"url": url, "method": method, "headers": dict(headers or {}), "body": body, "save_as": save_as}
    return MessageStep("webhook", **content, **_common("transactional", on_failure, expires_after, id))


def _common(
    category: str, on_failure: str, expires_after: timedelta | None, id_: str | None, topic: str | None = None
) -> Json:
    expires = None if expires_after is None else iso_duration(expires_after)
    return {"category": category, "on_failure": on_failure, "expires_after": expires, "id": id_, "topic": topic}


def delay(duration: timedelta, *, id: str | None = None) -> DelayStep:
    """A pause of a fixed length."""
    return DelayStep("delay", **{"for": iso_duration(duration)}, id=id)


def delay_until(time: str, weekdays: Sequence[Weekday] | None = None, *, id: str | None = None) -> DelayStep:
    """A pause until the customer's clock shows `HH:MM`, on one of the weekdays."""
    until = {"time": time, **({"weekdays": list(weekdays)} if weekdays else {})}
    return DelayStep("delay", until=until, id=id)


def delay_until_date(
    attribute: str, *, offset: timedelta = timedelta(0), time: str | None = None, id: str | None = None
) -> DelayStep:
    """A pause until a date of the customer's, moved by days of the calendar."""
    until = {"attribute": attribute, "offset": iso_duration(offset), **({"time": time} if time else {})}
    return DelayStep("delay", until=until, id=id)


@dataclass(frozen=True)
class Awaited:
    """An event that a wait may be met by."""

    event: str
    where: Condition | None = None


def event(name: str, where: Condition | None = None) -> Awaited:
    """An event of the customer's, and what must hold of it."""
    return Awaited(name, where)


def wait(
    *, timeout: timedelta, since: Literal["entry", "step"] = "entry", id: str | None = None, **events: Awaited
) -> WaitStep:
    """Waits for the first of the events, each under the name that the wait then answers."""
    awaited = [
        {"name": name, "event": one.event, **({"where": one.where.json} if one.where else {})}
        for name, one in events.items()
    ]
    return WaitStep("wait", **{"for": awaited}, timeout=iso_duration(timeout), since=since, id=id)


def branch(*, id: str | None = None, **cases: Condition) -> BranchStep:
    """Takes the first case that holds, and answers its name, or `otherwise`."""
    branches = [{"name": name, "when": condition.json} for name, condition in cases.items()]
    return BranchStep("branch", branches=branches, id=id)


def split(*, id: str | None = None, **weights: int) -> SplitStep:
    """Sends each customer one way by these weights, always the same, and answers its name."""
    return SplitStep("split", variants=[{"name": name, "weight": weight} for name, weight in weights.items()], id=id)


def update(*, id: str | None = None, **attributes: JsonValue) -> UpdateStep:
    """Writes the attributes to the customer."""
    return UpdateStep("update", attributes=attributes, id=id)


def leave(reason: str = "exit", *, id: str | None = None) -> ExitStep:
    """Ends the entry."""
    return ExitStep("exit", reason=reason, id=id)


class _Names(dict[str, Any]):
    """A class body in which no step is overwritten by another of the same name."""

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(self.get(name), Declared):
            raise TypeError(f"{self.get('__qualname__')}.{name}: is declared twice")
        super().__setitem__(name, value)


class _JourneyType(type):
    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **_: Any) -> _Names:
        return _Names()


class SegmentEntered(BaseModel):
    """The trigger of a journey that a segment starts."""

    segment: str


class Journey(EntryWorkflow, Generic[T], metaclass=_JourneyType):
    """The base of a journey in code; `T` says the properties of the trigger.

    Declare the steps as attributes, go through them in `story` by the verbs below, one after the other, and state the
    campaign's settings with `@campaign`. A story is a Temporal workflow: it is replayed, so it must do the same each
    time. Take the time from `self.now`, guard a change of a story that is under way by `self.patched`, and leave
    everything that touches the world to steps.
    """

    steps: ClassVar[dict[str, Declared]] = {}
    trigger_type: ClassVar[type[BaseModel]]
    definition: ClassVar[Campaign]
    signing: ClassVar[Signing | None] = None

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        steps: dict[str, Declared] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if not isinstance(value, Declared):
                    continue
                value.declare(f"{base.__name__}.{name}", name)
                if steps.setdefault(value.id, value) is not value:
                    raise TypeError(f"{cls.__name__}.{name}: the id {value.id!r} is used twice")
        if errors := list(step_errors([step.model for step in steps.values()])):
            raise TypeError("; ".join(f"{cls.__name__}: {_said(error)}" for error in errors))
        cls.steps = steps

    async def story(self, trigger: T) -> None:
        """What happens to a customer, from the trigger to the end."""
        raise NotImplementedError(f"{type(self).__name__} has no story")

    async def send(self, step: MessageStep) -> MessageOutcome:
        """Sends the message, once, when it may go; what came of it."""
        return cast("MessageOutcome", await self.do(step.outline))

    async def delay(self, step: DelayStep) -> None:
        """Waits until the time has come."""
        await self.do(step.outline)

    async def wait_for(self, step: WaitStep) -> str | None:
        """The name of the first event that happens, or None at the time-out."""
        way = await self.do(step.outline)
        return None if way == TIMEOUT else way

    async def branch(self, step: BranchStep) -> str | None:
        """The name of the first case that holds, or None."""
        way = await self.do(step.outline)
        return None if way == OTHERWISE else way

    async def split(self, step: SplitStep) -> str:
        """The name of the customer's variant."""
        return str(await self.do(step.outline))

    async def update(self, step: UpdateStep) -> None:
        """Writes the attributes."""
        await self.do(step.outline)

    async def exit(self, step: ExitStep) -> None:
        """Ends the entry here."""
        await self.do(step.outline)

    @property
    def now(self) -> datetime:
        """When the last step was passed: the present, and the same however often the story is told again."""
        return self._passed[-1].at if self._passed else self._began_at or self.runtime.now()

    def patched(self, change: str) -> bool:
        """Whether a change of the story applies to this entry: not to one that went past it before the change."""
        mark = f"patched {change}"
        if self._past and self._past[0].step == mark:
            passed = self._past.popleft()
        elif self._past:
            # An earlier run came past this place before the change was made.
            passed = Passed(mark, None, self.now)
        else:
            passed = Passed(mark, "yes" if self.runtime.patched(change) else None, self.now)
        self._passed.append(passed)
        return passed.result is not None

    async def _tell(self) -> None:
        if self.signing is None or self._entry.trigger is None:
            raise RuntimeError("a journey in code needs the secret key, to read its trigger")
        await self.story(cast("T", self.trigger_type.model_validate(self.signing.unseal(self._entry.trigger))))

    @classmethod
    def accepts(cls, properties: Json) -> bool:
        """Whether a trigger with these properties is what the story expects."""
        try:
            cls.trigger_type.model_validate(properties)
        except ValidationError:
            return False
        return True


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
    said = {"type": "segment", "segments": list(keys), "include_existing": include_existing}
    return On(said, SegmentEntered)


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
class Goal:
    """What the campaign is for."""

    json: Json


def goal(event: str, where: Condition | None = None, *, within: timedelta | None = None, exit: bool = True) -> Goal:
    """An event that counts as a conversion, and ends the entry unless `exit` is False."""
    said: Json = {"event": event, "exit": exit}
    if where:
        said["where"] = where.json
    if within is not None:
        said["within"] = iso_duration(within)
    return Goal(said)


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
    goal: Goal | None = None,
    exit_on_leave: bool = False,
    holdout_percent: float = 0,
    quiet_hours: tuple[str, str] | None = None,
    timezone: str | None = None,
) -> "Callable[[type[Journey[T]]], type[Journey[T]]]":
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
            cls.definition = parse_campaign({name: value for name, value in raw.items() if value is not None})
        except Invalid as error:
            raise TypeError("; ".join(f"{cls.__name__}: {_said(one)}" for one in error.errors)) from None
        cls.trigger_type = trigger.properties
        return _as_workflow(cls)

    return decorate


def _as_workflow(cls: type[J]) -> type[J]:
    """The class as Temporal wants it: with `run` and `__init__` of its own."""

    def init(self: J, entry: EntryInput) -> None:
        EntryWorkflow.__init__(self, entry)

    async def run(self: J, entry: EntryInput) -> str:
        return await self.follow(self._tell)

    for function, name in ((init, "__init__"), (run, "run")):
        function.__module__ = cls.__module__
        function.__name__ = name
        function.__qualname__ = f"{cls.__name__}.{name}"
        function.__annotations__.pop("self", None)
    setattr(cls, "__init__", workflow.init(init))  # noqa: B010 - mypy allows no assignment
    setattr(cls, "run", workflow.run(run))  # noqa: B010
    # Not in the sandbox, as the declared journeys; the test kit replays each story instead.
    return workflow.defn(name=cls.__name__, sandboxed=False)(cls)


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
