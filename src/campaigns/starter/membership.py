"""Membership that follows rules: who enters and leaves, by what has just happened or by an edited rule."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from campaigns.models.conditions import Condition, holds
from campaigns.models.database import Connection
from campaigns.models.queries import customers, facts, segments
from campaigns.models.queries.segments import SegmentRow
from campaigns.models.rules import known_rule, turns_at
from campaigns.models.values import Json, utc_now
from campaigns.starter.admit import Person

PAGE = 500


@dataclass(frozen=True)
class Touch:
    """What has happened to the customer."""

    cause: str
    attributes: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    """Segments that the customer has entered or left, or that are to be looked at again."""
    is_new: bool = False
    """The customer is new, so any rule may hold."""


@dataclass(frozen=True)
class Change:
    """The customer has entered or left a segment."""

    segment: str
    entered: bool


@dataclass
class _Work:
    """What is still to be evaluated, and what has come out so far."""

    before: frozenset[str]
    members: set[str]
    rules: dict[str, Condition] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def add(self, rows: Iterable[SegmentRow]) -> None:
        for row in rows:
            if row.rule is not None:
                self.rules[row.key] = known_rule(row.rule)
                if row.key not in self.left:
                    self.left.append(row.key)


async def follow(connection: Connection, person: Person, touch: Touch) -> list[Change]:
    """Enters and leaves the segments whose rules are touched, and those that ask about these; in the caller's
    transaction, under the customer's lock. Nothing is triggered by this alone.
    """
    if person.erased:
        return []
    if touch.is_new:
        rows = await segments.by_rule(connection)
    else:
        rows = await segments.touched(connection, touch.attributes, touch.events, touch.segments)
    if not rows:
        return []
    before = await segments.of_customer(connection, person.id)
    work = _Work(before, set(before))
    work.add(rows)
    while work.left:
        key = work.left.pop(0)
        if await _evaluate(connection, person, key, work):
            work.add(await segments.touched(connection, (), (), [key], dependents_only=True))
    return await _write(connection, person, work, touch.cause)


async def _evaluate(connection: Connection, person: Person, key: str, work: _Work) -> bool:
    """Whether the customer now belongs otherwise than was known."""
    rule = work.rules[key]
    loaded = await facts.load(connection, [rule], person.now, person.id, person.attributes, properties={}, trigger={})
    asked = replace(loaded, segments=frozenset(work.members))
    belongs = holds(rule, asked)
    turn = turns_at(rule, asked)
    if turn is not None or await segments.is_turn(connection, key, person.id, person.now):
        await segments.put_turn(connection, key, person.id, turn)
    if belongs == (key in work.members):
        return False
    (work.members.add if belongs else work.members.discard)(key)
    return True


async def _write(connection: Connection, person: Person, work: _Work, cause: str) -> list[Change]:
    changes = []
    for key in sorted(work.members ^ work.before):
        entered = key in work.members
        if entered:
            await segments.add_member(connection, key, person.id, person.now)
        else:
            await segments.remove_member(connection, key, person.id)
        changes.append(Change(key, entered))
    await segments.add_changes(connection, [change_row(person, change, cause) for change in changes])
    return changes


def change_row(person: Person, change: Change, cause: str) -> Json:
    """The record of a change."""
    return {
        "segment_key": change.segment,
        "customer_id": person.id,
        "change": "entered" if change.entered else "left",
        "cause": cause[:255],
        "at": person.now,
    }


@dataclass(frozen=True)
class Page:
    """What a rule would change for some customers."""

    enter: list[str]
    leave: list[str]
    turning: list[str]
    """Those who may enter or leave later, by time alone."""
    last: str | None
    """The last customer of the page; None behind the end."""


async def compare(connection: Connection, key: str, rule: Condition, after: str) -> Page:
    """Who would enter and leave by the rule, of the customers behind this one by id."""
    people = await customers.page(connection, after, PAGE)
    loaded = await facts.load_many(connection, rule, utc_now(), people)
    page = Page([], [], [], people[-1][0] if len(people) == PAGE else None)
    for customer_id, asked in loaded.items():
        belongs, belonged = holds(rule, asked), key in asked.segments
        if belongs != belonged:
            (page.enter if belongs else page.leave).append(customer_id)
        if turns_at(rule, asked) is not None:
            page.turning.append(customer_id)
    return page
