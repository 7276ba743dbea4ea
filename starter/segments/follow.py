"""Membership that follows rules: who enters and leaves, by what has just happened or by an edited rule."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from campaigns.models.journey.conditions import Condition, holds
from campaigns.models.segment_rules import known_rule, turns_at, turns_with_time
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import customers, facts, segments
from campaigns.models.store.queries.segments import SegmentRow
from campaigns.models.values import Json, utc_now
from campaigns.starter.customer import Person

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

    members: dict[str, set[str]]
    """The segments of each customer."""
    rules: dict[str, Condition] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def add(self, rows: Iterable[SegmentRow]) -> None:
        for row in rows:
            if row.rule is not None:
                self.rules[row.key] = known_rule(row.rule)
                if row.key not in self.left:
                    self.left.append(row.key)


async def follow(connection: Connection, person: Person, touch: Touch) -> list[Change]:
    """Enter and leave the segments whose rules are touched, and those that ask about these; in the caller's
    transaction, under the customer's lock. Nothing is triggered by this alone.
    """
    return (await follow_all(connection, [person], touch)).get(person.id, [])


async def follow_all(connection: Connection, people: Sequence[Person], touch: Touch) -> dict[str, list[Change]]:
    """Do as `follow`, for several customers who share what may have touched them: as many statements as for one."""
    present = {person.id: person for person in people if not person.erased}
    if not present:
        return {}
    if touch.is_new:
        rows = await segments.by_rule(connection)
    else:
        rows = await segments.touched(connection, touch.attributes, touch.events, touch.segments)
    if not rows:
        return {}
    before = await segments.memberships(connection, present)
    work = _Work({customer_id: set(before.get(customer_id, ())) for customer_id in present})
    work.add(rows)
    while work.left:
        key = work.left.pop(0)
        if await _evaluate(connection, present, key, work, is_turn=key in touch.segments):
            work.add(await segments.touched(connection, (), (), [key], dependents_only=True))
    changes: dict[str, list[Change]] = {}
    for customer_id, members in work.members.items():
        changed = sorted(members ^ before.get(customer_id, set()))
        if changed:
            changes[customer_id] = [Change(key, key in members) for key in changed]
    await _write(connection, present, changes, touch.cause)
    return changes


async def _evaluate(
    connection: Connection, people: Mapping[str, Person], key: str, work: _Work, *, is_turn: bool
) -> bool:
    """Whether any of the customers now belongs otherwise than was known; `is_turn` says that its time had come."""
    rule = work.rules[key]
    now = next(iter(people.values())).now
    attributes = [(person.id, person.attributes) for person in people.values()]
    loaded = await facts.load_many(connection, rule, now, attributes, work.members)
    changed = False
    turning: dict[str, datetime] = {}
    for customer_id, known in loaded.items():
        members = work.members[customer_id]
        belongs = holds(rule, known)
        if (turn := turns_at(rule, known)) is not None:
            turning[customer_id] = turn
        if belongs != (key in members):
            (members.add if belongs else members.discard)(key)
            changed = True
    if is_turn or turns_with_time(rule):
        await segments.put_turns(
            connection, key, turning, [customer_id for customer_id in people if customer_id not in turning]
        )
    return changed


async def _write(
    connection: Connection, people: Mapping[str, Person], changes: Mapping[str, list[Change]], cause: str
) -> None:
    entered: dict[str, list[str]] = {}
    left: dict[str, list[str]] = {}
    for customer_id, theirs in changes.items():
        for change in theirs:
            (entered if change.entered else left).setdefault(change.segment, []).append(customer_id)
    for key, ids in entered.items():
        await segments.add_members(connection, key, {customer_id: people[customer_id].now for customer_id in ids})
    for key, ids in left.items():
        await segments.remove_members(connection, key, ids)
    rows = [change_row(people[key], change, cause) for key, theirs in changes.items() for change in theirs]
    await segments.add_changes(connection, rows)


def change_row(person: Person, change: Change, cause: str) -> Json:
    """Return the record of a change."""
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
    """Return who would enter and leave by the rule, of a page of the customers behind this one by id."""
    people = await customers.page(connection, after, PAGE)
    loaded = await facts.load_many(connection, rule, utc_now(), people)
    page = Page([], [], [], people[-1][0] if len(people) == PAGE else None)
    for customer_id, known in loaded.items():
        belongs, belonged = holds(rule, known), key in known.segments
        if belongs != belonged:
            (page.enter if belongs else page.leave).append(customer_id)
        if turns_at(rule, known) is not None:
            page.turning.append(customer_id)
    return page
