"""The steps of journeys in code: what they say is what a step in JSON says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pydantic import JsonValue, TypeAdapter, ValidationError

from campaigns.models.journey.outline import OutlineStep, outline_step
from campaigns.models.journey.steps import Category, Step, Weekday
from campaigns.models.problems import FieldError, field_errors
from campaigns.models.values import Json
from campaigns.workflows.code.conditions import Condition, iso_duration

_STEP: TypeAdapter[Step] = TypeAdapter(Step)


def with_place(error: FieldError) -> str:
    """The error with its place."""
    return f"{error.field}: {error.detail}"


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
            raise TypeError("; ".join(f"{place}: {with_place(each)}" for each in field_errors(error, raw))) from None
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
class AwaitedEvent:
    """An event that a wait may be met by."""

    event: str
    where: Condition | None = None


def event(name: str, where: Condition | None = None) -> AwaitedEvent:
    """An event of the customer's, and what must hold of it."""
    return AwaitedEvent(name, where)


def wait(
    *, timeout: timedelta, since: Literal["entry", "step"] = "entry", id: str | None = None, **events: AwaitedEvent
) -> WaitStep:
    """Waits for the first of the events, each under the name that the wait then answers."""
    awaited = [
        {"name": name, "event": each.event, **({"where": each.where.json} if each.where else {})}
        for name, each in events.items()
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
