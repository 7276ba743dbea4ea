"""The steps of a journey, as users write them: blocks that are read from top to bottom, nest, and rejoin below."""

from collections.abc import Iterator
from email.utils import parseaddr
from typing import Annotated, Any, Literal, Union

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Discriminator, Field, JsonValue, Tag, model_validator

from campaigns.models.channels import CHANNELS, TEXTS, TextChannel
from campaigns.models.journey.conditions import Condition
from campaigns.models.values import (
    Duration,
    Id,
    Key,
    Name,
    Offset,
    PositiveDuration,
    Strict,
    TimeOfDay,
    no_control_characters,
)

Category = Literal["marketing", "transactional"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Text = Annotated[str, Field(min_length=1, max_length=500_000)]
Line = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(no_control_characters)]

OTHERWISE = "otherwise"
TIMEOUT = "timeout"


def mailbox(value: str) -> str:
    """An address, or `Name <address>`; raises ValueError where it is neither."""
    no_control_characters(value)
    _, address = parseaddr(value)
    try:
        validate_email(address, check_deliverability=False, strict=True, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"is not a mail address: {error}") from None
    return value


Mailbox = Annotated[str, Field(max_length=500), AfterValidator(mailbox)]


class StepBase(Strict):
    """What every step has: an id, unique in its campaign."""

    id: Id


class MessageBase(StepBase):
    """What every message step has."""

    type: str
    template: Key | None = None
    category: Category = "marketing"
    topic: Key | None = None
    """What it is about: who has unsubscribed from that gets none of it."""
    on_failure: Literal["continue", "exit"] = "continue"
    expires_after: PositiveDuration | None = None

    @property
    def channel(self) -> str:
        """The channel that it goes by."""
        return self.type

    @property
    def content(self) -> tuple[str, ...]:
        """The fields that `template` stands for."""
        return CHANNELS[self.type].content

    @model_validator(mode="after")
    def _has_content(self) -> "MessageBase":
        given = [name for name in self.content if getattr(self, name) is not None]
        if self.template is not None:
            if given:
                raise ValueError(f"{given[0]}: is given beside template; one of them only")
        else:
            self._complete()
        return self

    def _complete(self) -> None:
        if getattr(self, "body", None) is None:
            raise ValueError("body: is required where there is no template")


class Email(MessageBase):
    """A mail of HTML, text, or both."""

    type: Literal["email"]
    subject: Line | None = None
    html: Text | None = None
    text: Text | None = None
    from_: Mailbox | None = Field(default=None, alias="from")
    reply_to: Mailbox | None = None
    tracking: bool = True
    """Whether opens and clicks of the HTML are tracked."""

    def _complete(self) -> None:
        if self.subject is None:
            raise ValueError("subject: is required where there is no template")
        if self.html is None and self.text is None:
            raise ValueError("html: is required, or text, where there is no template")


class TextMessage(MessageBase):
    """A message of a channel that takes a text alone: by SMS, WhatsApp."""

    type: TextChannel
    body: Text | None = None


class Push(MessageBase):
    """A push notification."""

    type: Literal["push"]
    title: Line | None = None
    body: Text | None = None
    link: Line | None = None


class Webhook(MessageBase):
    """A request to another service."""

    type: Literal["webhook"]
    url: Line
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[Line, Line] = Field(default_factory=dict)
    body: JsonValue = None
    save_as: Key | None = None
    template: None = None
    category: Literal["transactional"] = "transactional"

    def _complete(self) -> None:
        return


class UntilTime(Strict):
    """The next time that the clock shows `time` in the customer's zone, on one of the weekdays."""

    time: TimeOfDay
    weekdays: list[Weekday] | None = Field(default=None, min_length=1)


class UntilAttribute(Strict):
    """A date of the customer's, moved by an offset of calendar days."""

    attribute: Name
    offset: Offset = "P0D"
    time: TimeOfDay | None = None


class Delay(StepBase):
    """A pause of a fixed length, or until a time."""

    type: Literal["delay"]
    for_: Duration | None = Field(default=None, alias="for")
    until: UntilTime | UntilAttribute | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Delay":
        if (self.for_ is None) == (self.until is None):
            raise ValueError("for: one of for and until is required")
        return self


class Awaited(Strict):
    """One of the events of a wait, and the block that follows it."""

    name: Name
    event: Name
    where: Condition | None = None
    steps: list["Step"] = Field(default_factory=list)


class Wait(StepBase):
    """Waits for the first of several events, or for the time-out."""

    type: Literal["wait"]
    for_: list[Awaited] = Field(alias="for", min_length=1, max_length=50)
    timeout: PositiveDuration
    on_timeout: list["Step"] = Field(default_factory=list)
    since: Literal["entry", "step"] = "entry"


class BranchCase(Strict):
    """One way through a branch."""

    name: Name
    when: Condition
    steps: list["Step"] = Field(default_factory=list)


class Branch(StepBase):
    """Takes the first case that holds, else `otherwise`."""

    type: Literal["branch"]
    branches: list[BranchCase] = Field(min_length=1, max_length=50)
    otherwise: list["Step"] = Field(default_factory=list)


class Variant(Strict):
    """One share of a split."""

    name: Name
    weight: int = Field(ge=0, le=1_000_000)
    steps: list["Step"] = Field(default_factory=list)


class Split(StepBase):
    """Sends each customer one way, by chance, and always the same."""

    type: Literal["split"]
    variants: list[Variant] = Field(min_length=1, max_length=50)


class Update(StepBase):
    """Writes attributes to the customer."""

    type: Literal["update"]
    attributes: dict[Name, JsonValue] = Field(min_length=1, max_length=100)


class Exit(StepBase):
    """Ends the entry here."""

    type: Literal["exit"]
    reason: Line = "exit"


STEP_TYPES: dict[str, type[StepBase]] = {
    "email": Email, **dict.fromkeys(TEXTS, TextMessage), "push": Push, "webhook": Webhook, "delay": Delay,
    "wait": Wait, "branch": Branch, "split": Split, "update": Update, "exit": Exit,
}  # fmt: skip


def _type(value: Any) -> str | None:
    """The tag of a step's model."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if not isinstance(kind, str):
        return None
    return "sms" if kind in TEXTS else kind


Message = Email | TextMessage | Push | Webhook
Step = Annotated[
    Union[  # noqa: UP007 - forward references of a recursive type
        Annotated[Email, Tag("email")],
        Annotated[TextMessage, Tag("sms")],
        Annotated[Push, Tag("push")],
        Annotated[Webhook, Tag("webhook")],
        Annotated[Delay, Tag("delay")],
        Annotated[Wait, Tag("wait")],
        Annotated[Branch, Tag("branch")],
        Annotated[Split, Tag("split")],
        Annotated[Update, Tag("update")],
        Annotated[Exit, Tag("exit")],
    ],
    Discriminator(
        _type,
        custom_error_type="step",
        custom_error_message=f"is not a step: its type must be one of {', '.join(STEP_TYPES)}",
    ),
]
for _model in (Awaited, Wait, BranchCase, Branch, Variant, Split):
    _model.model_rebuild()


def blocks(step: Step) -> Iterator[tuple[str, tuple[str | int, ...], list[Step]]]:
    """The blocks below a step: the name of each way, its place in the definition, its steps."""
    match step:
        case Wait():
            for index, awaited in enumerate(step.for_):
                yield awaited.name, ("for", index, "steps"), awaited.steps
            yield TIMEOUT, ("on_timeout",), step.on_timeout
        case Branch():
            for index, case in enumerate(step.branches):
                yield case.name, ("branches", index, "steps"), case.steps
            yield OTHERWISE, ("otherwise",), step.otherwise
        case Split():
            for index, variant in enumerate(step.variants):
                yield variant.name, ("variants", index, "steps"), variant.steps


def conditions(step: Step) -> Iterator[tuple[tuple[str | int, ...], Condition]]:
    """The conditions of a step itself, each with its place."""
    match step:
        case Wait():
            for index, awaited in enumerate(step.for_):
                if awaited.where is not None:
                    yield ("for", index, "where"), awaited.where
        case Branch():
            for index, case in enumerate(step.branches):
                yield ("branches", index, "when"), case.when


def walk(steps: list[Step], place: tuple[str | int, ...] = ("steps",)) -> Iterator[tuple[tuple[str | int, ...], Step]]:
    """Every step in the order of the definition, nested ones too, with its place."""
    for index, step in enumerate(steps):
        here = (*place, index)
        yield here, step
        for _, below, block in blocks(step):
            yield from walk(block, (*here, *below))


def with_ids(raw: object, prefix: str = "") -> object:
    """The steps as sent, with an id made from its place for each that has none; odd data is left as it is."""
    if not isinstance(raw, list):
        return raw
    return [_with_id(step, f"{prefix}{number}") for number, step in enumerate(raw, 1)]


def _with_id(raw: object, place: str) -> object:
    if not isinstance(raw, dict):
        return raw
    step = {"id": f"{raw.get('type', 'step')}-{place}", **raw}
    for name in ("on_timeout", "otherwise"):
        if name in step:
            step[name] = with_ids(step[name], f"{place}-{name.removeprefix('on_')}-")
    for name in ("for", "branches", "variants"):
        if isinstance(step.get(name), list):
            step[name] = [_with_block_ids(way, place) for way in step[name]]
    return step


def _with_block_ids(way: object, place: str) -> object:
    if not isinstance(way, dict) or "steps" not in way:
        return way
    return {**way, "steps": with_ids(way["steps"], f"{place}-{way.get('name', '')}-")}
