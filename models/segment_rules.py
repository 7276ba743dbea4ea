"""Rules of segments: conditions that may stand in one, what they mention, and when time alone turns them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import orjson
from pydantic import TypeAdapter, ValidationError

from campaigns.models.journey.conditions import (
    All,
    AnyOf,
    AttributeIs,
    Condition,
    EventDone,
    Facts,
    InSegment,
    Not,
    PropertyIs,
    StepIs,
    first_part,
    walk,
)
from campaigns.models.problems import FieldError, Invalid, field_errors
from campaigns.models.values import Json, parse_duration

_CONDITION: TypeAdapter[Condition] = TypeAdapter(Condition)
MOMENT = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Mentions:
    """What a rule asks about."""

    attributes: frozenset[str]
    events: frozenset[str]
    segments: frozenset[str]

    def by_kind(self) -> dict[str, frozenset[str]]:
        """As it is kept."""
        return {"attribute": self.attributes, "event": self.events, "segment": self.segments}


def parse_rule(raw: object) -> Condition:
    """A rule from JSON data. Raises Invalid with every error and its place."""
    try:
        rule = _CONDITION.validate_python(raw)
    except ValidationError as error:
        raise Invalid(
            FieldError(f"rule.{one.field}" if one.field else "rule", one.detail) for one in field_errors(error, raw)
        ) from None
    if errors := list(_errors(rule)):
        raise Invalid(errors)
    return rule


@lru_cache(maxsize=1000)
def _parsed(text: bytes) -> Condition:
    return _CONDITION.validate_python(orjson.loads(text))


def known_rule(raw: Json) -> Condition:
    """A rule that was checked before it was kept."""
    return _parsed(orjson.dumps(raw))


def _errors(rule: Condition, *, of_event: bool = False) -> Iterator[FieldError]:
    match rule:
        case All(all=children) | AnyOf(any=children):
            for child in children:
                yield from _errors(child, of_event=of_event)
        case Not(not_=child):
            yield from _errors(child, of_event=of_event)
        case StepIs():
            yield FieldError("rule", "step: a segment knows no steps")
        case PropertyIs() if not of_event:
            yield FieldError("rule", "property: belongs into the where of an event; a segment has none at hand")
        case EventDone(where=where) if where is not None:
            yield from _errors(where, of_event=True)
    value = getattr(rule, "value", None)
    if isinstance(value, dict) and set(value) == {"trigger"}:
        yield FieldError("rule", "value: a segment knows no trigger")


def mentions(rule: Condition) -> Mentions:
    """What the rule asks about; of a path with dots its first part too."""
    attributes: set[str] = set()
    for part in walk(rule):
        if isinstance(part, AttributeIs):
            attributes |= {part.attribute, first_part(part.attribute)}
        value = getattr(part, "value", None)
        if isinstance(value, dict) and set(value) == {"attribute"}:
            attributes |= {str(value["attribute"]), first_part(str(value["attribute"]))}
    return Mentions(
        frozenset(attributes),
        frozenset(part.event for part in walk(rule) if isinstance(part, EventDone)),
        frozenset(part.segment for part in walk(rule) if isinstance(part, InSegment)),
    )


def turns_with_time(rule: Condition) -> bool:
    """Whether time alone may change whether the rule holds."""
    return any(isinstance(part, EventDone) and part.within is not None for part in walk(rule))


def turns_at(rule: Condition, facts: Facts) -> datetime | None:
    """The next moment at which time alone may change whether the rule holds; None where it never does.

    An event leaves the window of a `within` right after its end, and enters it at its own time if that is to come.
    """
    moments: list[datetime] = []
    for part in walk(rule):
        if not isinstance(part, EventDone) or part.within is None:
            continue
        within = parse_duration(part.within)
        for event in facts.events:
            if event.name == part.event:
                moments += (event.at, event.at + within + MOMENT)
    return min((moment for moment in moments if moment > facts.now), default=None)


def cycle(key: str, rule: Condition, others: Mapping[str, Condition]) -> list[str] | None:
    """The way on which the segment would come back to itself, if there is one."""

    def search(at: str, path: list[str]) -> list[str] | None:
        here = rule if at == key else others.get(at)
        for below in sorted(mentions(here).segments) if here is not None else ():
            if below == key:
                return [*path, below]
            if below not in path and (found := search(below, [*path, below])):
                return found
        return None

    return search(key, [key])
