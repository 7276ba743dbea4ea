"""Journeys written as Python: steps that are declared, and a story that goes through them.

The steps are attributes of the class, so that all of them are known before anybody enters: for statistics, for the
events that an entry listens for, for drawing and checking. What they say is what a campaign in JSON says.
"""

from datetime import datetime
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from pydantic import BaseModel, ValidationError
from temporalio import workflow

from campaigns.models.journey.definition import Definition, step_errors
from campaigns.models.journey.steps import OTHERWISE, TIMEOUT
from campaigns.models.signing import Signing
from campaigns.models.values import Json
from campaigns.workflows.code.steps import (
    BranchStep,
    Declared,
    DelayStep,
    ExitStep,
    MessageStep,
    SplitStep,
    UpdateStep,
    WaitStep,
    with_place,
)
from campaigns.workflows.contract import EntryInput
from campaigns.workflows.entry import EntryWorkflow

T = TypeVar("T", bound=BaseModel)
J = TypeVar("J", bound="Journey[Any]")
MessageOutcome = Literal["sent", "failed", "unknown", "skipped"]


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


class Journey(EntryWorkflow, Generic[T], metaclass=_JourneyType):
    """The base of a journey in code; `T` says the properties of the trigger.

    Declare the steps as attributes, go through them in `story` by the verbs below, one after the other, and state the
    campaign's settings with `@campaign`. A story is a Temporal workflow: it is replayed, so it must do the same each
    time. Take the time from `self.now`, guard a change of a story that is under way by `self.patched`, and leave
    everything that touches the world to steps.
    """

    steps: ClassVar[dict[str, Declared]] = {}
    trigger_type: ClassVar[type[BaseModel]]
    definition: ClassVar[Definition]
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
            raise TypeError("; ".join(f"{cls.__name__}: {with_place(error)}" for error in errors))
        cls.steps = steps

    async def story(self, trigger: T) -> None:
        """What happens to a customer, from the trigger to the end."""
        raise NotImplementedError(f"{type(self).__name__} has no story")

    async def send(self, step: MessageStep) -> MessageOutcome:
        """Send the message, once, when it may go; return what came of it."""
        return cast("MessageOutcome", await self.do(step.outline))

    async def delay(self, step: DelayStep) -> None:
        """Wait until the time has come."""
        await self.do(step.outline)

    async def wait_for(self, step: WaitStep) -> str | None:
        """Wait for the first of the events; return its name, or None at the time-out."""
        way = await self.do(step.outline)
        return None if way == TIMEOUT else way

    async def branch(self, step: BranchStep) -> str | None:
        """Return the name of the first case that holds for the customer now, or None."""
        way = await self.do(step.outline)
        return None if way == OTHERWISE else way

    async def split(self, step: SplitStep) -> str:
        """Return the name of the customer's variant, which is always the same."""
        return str(await self.do(step.outline))

    async def update(self, step: UpdateStep) -> None:
        """Write the attributes to the customer."""
        await self.do(step.outline)

    async def exit(self, step: ExitStep) -> None:
        """End the entry here."""
        await self.do(step.outline)

    @property
    def now(self) -> datetime:
        """When the last step was passed: the present, and the same however often the story is told again."""
        return self._trail.last_at or self._began_at or self.runtime.now()

    def patched(self, change: str) -> bool:
        """Whether a change of the story applies to this entry: not to one that went past it before the change."""
        return self._trail.patched(change, self.now, lambda: self.runtime.patched(change))

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

    @classmethod
    def completed(cls, properties: Json) -> Json:
        """The properties that a trigger came with, and the defaults of those that it left out."""
        made = cls.trigger_type.model_validate(properties)
        defaults = made.model_dump(mode="json", by_alias=True, exclude=made.model_fields_set)
        return {**{name: value for name, value in defaults.items() if value is not None}, **properties}


def as_workflow(cls: type[J]) -> type[J]:
    """Return the class as Temporal wants it: with `run` and `__init__` of its own, under its name."""

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
