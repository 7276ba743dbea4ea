"""One grammar of conditions for triggers, waits, branches, segments and goals, and its evaluation for one customer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Union

from pydantic import Discriminator, Field, Tag, model_validator

from campaigns.models.moments import unix_moment
from campaigns.models.values import Duration, Id, Json, Key, Name, Strict, parse_duration

Operator = Literal[
    "equals", "not_equals", "greater_than", "at_least", "less_than", "at_most", "contains", "starts_with",
    "in", "exists", "not_exists", "before", "after",
]  # fmt: skip
NumberOperator = Literal["equals", "not_equals", "greater_than", "at_least", "less_than", "at_most"]
MessageStatus = Literal["sent", "failed", "unknown", "skipped", "delivered", "opened", "clicked", "bounced"]
Path = Annotated[str, Field(min_length=1, max_length=255)]

ITEMS = "[]"
"""Behind a part of a path: each item of the list."""


class All(Strict):
    """Every one of the conditions holds."""

    all: list["Condition"] = Field(min_length=1, max_length=100)


class AnyOf(Strict):
    """At least one of the conditions holds."""

    any: list["Condition"] = Field(min_length=1, max_length=100)


class Not(Strict):
    """The condition does not hold."""

    not_: "Condition" = Field(alias="not")


class _Compared(Strict):
    op: Operator
    value: Any = None

    @model_validator(mode="after")
    def _value_fits(self) -> "_Compared":
        given = "value" in self.model_fields_set
        if self.op in ("exists", "not_exists"):
            if self.value is not None:
                raise ValueError(f"value: the op {self.op} takes none")
        elif not given:
            raise ValueError(f"value: the op {self.op} needs one")
        elif self.op == "in" and not isinstance(self.value, list) and not is_reference(self.value):
            raise ValueError("value: the op in needs a list")
        return self


class AttributeIs(_Compared):
    """An attribute of the customer, by its path with dots; `tags[]` and `pets[].name` ask any item of a list."""

    attribute: Path


class PropertyIs(_Compared):
    """A property of the event at hand, by its path with dots; `products[].category` asks any item of a list."""

    property: Path


class InSegment(Strict):
    """The customer is a member of the segment."""

    segment: Key


class Count(Strict):
    """How often an event must have occurred."""

    op: NumberOperator
    value: int = Field(ge=0, le=1_000_000)


class EventDone(Strict):
    """The customer did something, as often as `count` says (at least once), within the time before now."""

    event: Name
    where: "Condition | None" = None
    count: Count = Count(op="at_least", value=1)
    within: Duration | None = None


class StepIs(Strict):
    """What became of an earlier message of the same entry."""

    step: Id
    status: MessageStatus


_KINDS = ("all", "any", "not", "attribute", "property", "segment", "event", "step")


def _kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((kind for kind in _KINDS if kind in value), None)
    kinds: dict[type, str] = {
        All: "all", AnyOf: "any", Not: "not", AttributeIs: "attribute", PropertyIs: "property",
        InSegment: "segment", EventDone: "event", StepIs: "step",
    }  # fmt: skip
    return kinds.get(type(value))


Condition = Annotated[
    Union[  # noqa: UP007 - forward references of a recursive type
        Annotated[All, Tag("all")],
        Annotated[AnyOf, Tag("any")],
        Annotated[Not, Tag("not")],
        Annotated[AttributeIs, Tag("attribute")],
        Annotated[PropertyIs, Tag("property")],
        Annotated[InSegment, Tag("segment")],
        Annotated[EventDone, Tag("event")],
        Annotated[StepIs, Tag("step")],
    ],
    Discriminator(
        _kind,
        custom_error_type="condition",
        custom_error_message="is not a condition: it needs one of " + ", ".join(_KINDS),
    ),
]
for _model in (All, AnyOf, Not, EventDone):
    _model.model_rebuild()


@dataclass(frozen=True)
class PastEvent:
    """One event of the customer's history."""

    name: str
    properties: Json
    at: datetime


@dataclass(frozen=True)
class Facts:
    """What a condition may ask about. Only what `needs` names has to be filled in."""

    now: datetime
    attributes: Json = field(default_factory=dict)
    properties: Json = field(default_factory=dict)
    trigger: Json = field(default_factory=dict)
    segments: frozenset[str] = frozenset()
    events: tuple[PastEvent, ...] = ()
    steps: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Needs:
    """The names that conditions mention, so that a reader of the database fetches just these facts."""

    segments: frozenset[str]
    events: frozenset[str]
    steps: frozenset[str]


def walk(condition: Condition) -> Iterator[Condition]:
    """The condition and all below it."""
    yield condition
    match condition:
        case All(all=children) | AnyOf(any=children):
            for child in children:
                yield from walk(child)
        case Not(not_=child):
            yield from walk(child)
        case EventDone(where=child) if child is not None:
            yield from walk(child)


def needs(conditions: Iterable[Condition | None]) -> Needs:
    """What the conditions ask about, together."""
    every = [part for condition in conditions if condition is not None for part in walk(condition)]
    return Needs(
        segments=frozenset(part.segment for part in every if isinstance(part, InSegment)),
        events=frozenset(part.event for part in every if isinstance(part, EventDone)),
        steps=frozenset(part.step for part in every if isinstance(part, StepIs)),
    )


def holds(condition: Condition | None, facts: Facts) -> bool:
    """Whether the condition is true of the facts; no condition always is. Never raises for odd data."""
    match condition:
        case None:
            return True
        case All(all=children):
            return all(holds(child, facts) for child in children)
        case AnyOf(any=children):
            return any(holds(child, facts) for child in children)
        case Not(not_=child):
            return not holds(child, facts)
        case AttributeIs():
            return _compare(condition, values_at(facts.attributes, condition.attribute), facts)
        case PropertyIs():
            return _compare(condition, values_at(facts.properties, condition.property), facts)
        case InSegment(segment=segment):
            return segment in facts.segments
        case StepIs(step=step, status=status):
            return status in facts.steps.get(step, frozenset())
        case EventDone():
            return _number(condition.count.op, float(_occurrences(condition, facts)), float(condition.count.value))


def values_at(values: object, path: str) -> list[Any]:
    """Return what stands at a path with dots: one value, or none; null is none.

    A part that ends in `[]` means each item of a list, so there may be many values. A key that itself has dots or
    brackets comes first.
    """
    if not isinstance(values, Mapping):
        return []
    if path in values:
        return [] if values[path] is None else [values[path]]
    head, _, rest = path.partition(".")
    if head in values:
        return values_at(values[head], rest) if rest else []
    items = values.get(head[:-2]) if head.endswith(ITEMS) else None
    if not isinstance(items, list):
        return []
    if not rest:
        return [item for item in items if item is not None]
    return [value for item in items for value in values_at(item, rest)]


def value_at(values: object, path: str) -> Any:
    """Return the value at a path with dots, the first where there are many, or None."""
    return next(iter(values_at(values, path)), None)


def first_part(path: str) -> str:
    """Return the name of the attribute or property that a path begins at."""
    return path.partition(".")[0].removesuffix(ITEMS)


def _occurrences(condition: EventDone, facts: Facts) -> int:
    since = facts.now - parse_duration(condition.within) if condition.within else None
    return sum(
        event.name == condition.event
        and (since is None or since <= event.at <= facts.now)
        and holds(condition.where, _about(facts, event))
        for event in facts.events
    )


def _about(facts: Facts, event: PastEvent) -> Facts:
    return Facts(
        facts.now, facts.attributes, event.properties, facts.trigger, facts.segments, facts.events, facts.steps
    )


def is_reference(value: object) -> bool:
    """Whether the value of a comparison stands for another one."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("trigger", "attribute")


def _resolve(value: Any, facts: Facts) -> Any:
    if is_reference(value):
        ((source, path),) = value.items()
        return value_at(facts.trigger if source == "trigger" else facts.attributes, str(path))
    return value


def _compare(condition: AttributeIs | PropertyIs, actual: Sequence[Any], facts: Facts) -> bool:
    """Whether it holds of any of the values; the two ops that deny hold where what they deny holds of none."""
    op = condition.op
    if op in ("exists", "not_exists"):
        return bool(actual) == (op == "exists")
    expected = _resolve(condition.value, facts)
    if op == "not_equals":
        return not any(_compare_value("equals", value, expected) for value in actual)
    return any(_compare_value(op, value, expected) for value in actual)


def _compare_value(op: Operator, actual: Any, expected: Any) -> bool:
    if expected is None:
        return False
    match op:
        case "equals":
            return _same(actual, expected)
        case "in":
            return isinstance(expected, list) and any(_same(actual, one) for one in expected)
        case "contains":
            return _contains(actual, expected)
        case "starts_with":
            return isinstance(actual, str) and isinstance(expected, str) and actual.startswith(expected)
        case "before" | "after":
            return _moments(op, actual, expected)
        case _:
            return _ordered(op, actual, expected)


def _same(left: Any, right: Any) -> bool:
    # True == 1 in Python, but not in anybody's data.
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _contains(actual: Any, expected: Any) -> bool:
    if isinstance(actual, str):
        return isinstance(expected, str) and expected in actual
    return isinstance(actual, list) and any(_same(one, expected) for one in actual)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(op: str, actual: Any, expected: Any) -> bool:
    if _is_number(actual) and _is_number(expected):
        return _number(op, actual, expected)
    if isinstance(actual, str) and isinstance(expected, str):
        return _number(op, actual, expected)
    return False


def _number(op: str, left: Any, right: Any) -> bool:
    match op:
        case "equals":
            return bool(left == right)
        case "not_equals":
            return bool(left != right)
        case "greater_than":
            return bool(left > right)
        case "at_least":
            return bool(left >= right)
        case "less_than":
            return bool(left < right)
        case _:
            return bool(left <= right)


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return unix_moment(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    # A date, or a time without an offset, is taken in UTC.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moments(op: str, actual: object, expected: object) -> bool:
    left, right = _moment(actual), _moment(expected)
    if left is None or right is None:
        return False
    return left < right if op == "before" else left > right
