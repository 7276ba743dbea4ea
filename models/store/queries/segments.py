"""Segments and their members."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, delete, func, or_, select, update

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import chunks, insert
from campaigns.models.store.tables import Segment, SegmentChange, SegmentMember, SegmentMention, SegmentTurn
from campaigns.models.values import Json


class SegmentRow(NamedTuple):
    """A segment."""

    key: str
    name: str
    active: bool
    rule: Json | None
    rule_version: int
    recomputed_to: str | None
    recompute_triggers: bool


async def put(connection: Connection, key: str, name: str, active: bool, now: datetime) -> None:
    """Makes or changes a segment; its rule stays."""
    row = {"key": key, "name": name, "active": active, "created_at": now, "updated_at": now}
    statement = insert(connection, Segment).values(
        **row, rule=None, rule_version=0, recomputed_to=None, recompute_triggers=False
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["key"], set_={"name": name, "active": active, "updated_at": now}
        )
    )


async def set_rule(
    connection: Connection, key: str, rule: Json | None, mentions: Mapping[str, Iterable[str]], *, triggers: bool
) -> None:
    """Gives the segment another rule, which is then applied to all customers; None leaves the members as they are."""
    values: dict[str, Any] = {"rule": rule, "rule_version": Segment.rule_version + 1}
    values |= {"recomputed_to": None if rule is None else "", "recompute_triggers": triggers}
    await connection.execute(update(Segment).where(Segment.key == key).values(values))
    await connection.execute(delete(SegmentMention).where(SegmentMention.segment_key == key))
    await connection.execute(delete(SegmentTurn).where(SegmentTurn.segment_key == key))
    rows = [
        {"kind": kind, "name": name, "segment_key": key}
        for kind, names in mentions.items()
        for name in sorted(set(names))
    ]
    if rows:
        await connection.execute(insert(connection, SegmentMention).values(rows))


def _segments() -> Select[str, str, bool, Json | None, int, str | None, bool]:
    return select(
        Segment.key, Segment.name, Segment.active, Segment.rule, Segment.rule_version, Segment.recomputed_to,
        Segment.recompute_triggers,
    )  # fmt: skip


async def get(connection: Connection, key: str, *, lock: bool = False) -> SegmentRow | None:
    """The segment."""
    statement = _segments().where(Segment.key == key)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    return SegmentRow(*row) if row else None


async def page(connection: Connection, after: str, limit: int) -> list[SegmentRow]:
    """Segments by key."""
    statement = _segments().where(Segment.key > after).order_by(Segment.key).limit(limit)
    return [SegmentRow(*row) for row in await connection.execute(statement)]


async def by_rule(connection: Connection) -> list[SegmentRow]:
    """The segments that follow a rule."""
    statement = _segments().where(Segment.rule.is_not(None))
    return [SegmentRow(*row) for row in await connection.execute(statement.order_by(Segment.key))]


async def touched(
    connection: Connection,
    attributes: Iterable[str],
    events: Iterable[str],
    keys: Iterable[str],
    *,
    dependents_only: bool = False,
) -> list[SegmentRow]:
    """The segments by rule that mention one of the attributes, events or segments; and these segments themselves."""
    asked = {"attributes": list(set(attributes)), "events": list(set(events)), "keys": list(set(keys))}
    rows = await connection.execute(_touched(), {**asked, "themselves": [] if dependents_only else asked["keys"]})
    return [SegmentRow(*row) for row in rows]


@cache
def _touched() -> Select[str, str, bool, Json | None, int, str | None, bool]:
    def one_of(kind: str, names: str) -> ColumnElement[bool]:
        return and_(SegmentMention.kind == kind, SegmentMention.name.in_(bindparam(names, expanding=True)))

    mentioned = select(SegmentMention.segment_key).where(
        or_(one_of("attribute", "attributes"), one_of("event", "events"), one_of("segment", "keys"))
    )
    themselves = Segment.key.in_(bindparam("themselves", expanding=True))
    statement = _segments().where(Segment.rule.is_not(None), or_(Segment.key.in_(mentioned), themselves))
    return statement.order_by(Segment.key)


async def to_recompute(connection: Connection) -> SegmentRow | None:
    """A segment whose edited rule is still to be applied to some customers."""
    statement = _segments().where(Segment.recomputed_to.is_not(None)).order_by(Segment.key).limit(1)
    row = (await connection.execute(statement)).one_or_none()
    return SegmentRow(*row) if row else None


async def mark_recomputed(connection: Connection, key: str, rule_version: int, to: str | None) -> None:
    """The rule of that version was applied to all customers up to this one; to all, where that is None."""
    statement = update(Segment).where(Segment.key == key, Segment.rule_version == rule_version)
    await connection.execute(statement.values(recomputed_to=to))


async def add_changes(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Records who entered and left."""
    if rows:
        await connection.execute(insert(connection, SegmentChange), rows)


class ChangeRow(NamedTuple):
    """A customer has entered or left a segment."""

    id: int
    segment_key: str
    change: str
    cause: str
    at: datetime


async def changes(connection: Connection, customer_id: str, limit: int, before: int | None = None) -> list[ChangeRow]:
    """Return what the customer entered and left before this id, the newest first."""
    statement = select(
        SegmentChange.id, SegmentChange.segment_key, SegmentChange.change, SegmentChange.cause, SegmentChange.at
    ).where(SegmentChange.customer_id == customer_id)
    if before is not None:
        statement = statement.where(SegmentChange.id < before)
    rows = await connection.execute(statement.order_by(SegmentChange.id.desc()).limit(limit))
    return [ChangeRow(*row) for row in rows]


async def put_turns(connection: Connection, key: str, turning: Mapping[str, datetime], others: Sequence[str]) -> None:
    """When the customers are to be looked at again for the segment; time alone changes nothing for the others."""
    for some in chunks(others):
        statement = delete(SegmentTurn).where(SegmentTurn.segment_key == key, SegmentTurn.customer_id.in_(some))
        await connection.execute(statement)
    if turning:
        upsert = insert(connection, SegmentTurn)
        upsert = upsert.on_conflict_do_update(
            index_elements=["segment_key", "customer_id"], set_={"at": upsert.excluded.at}
        )
        rows = [{"segment_key": key, "customer_id": one, "at": at} for one, at in sorted(turning.items())]
        await connection.execute(upsert, rows)


async def turns(connection: Connection, now: datetime, limit: int) -> list[tuple[str, str]]:
    """Segment and customer of those who are to be looked at again, the longest due first."""
    statement = select(SegmentTurn.segment_key, SegmentTurn.customer_id).where(SegmentTurn.at <= now)
    return [
        (key, customer) for key, customer in await connection.execute(statement.order_by(SegmentTurn.at).limit(limit))
    ]


async def count_members(connection: Connection, key: str) -> int:
    """How many members there are."""
    statement = select(func.count()).select_from(SegmentMember).where(SegmentMember.segment_key == key)
    return int((await connection.execute(statement)).scalar_one())


async def memberships(connection: Connection, customer_ids: Iterable[str]) -> dict[str, set[str]]:
    """The segments of each of the customers."""
    found: dict[str, set[str]] = {}
    for some in chunks(sorted(set(customer_ids))):
        for customer_id, key in await connection.execute(_memberships(), {"ids": some}):
            found.setdefault(customer_id, set()).add(key)
    return found


@cache
def _memberships() -> Select[str, str]:
    ids: BindParameter[Sequence[str]] = bindparam("ids", expanding=True)
    return select(SegmentMember.customer_id, SegmentMember.segment_key).where(SegmentMember.customer_id.in_(ids))


async def missing(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Those of the keys that are no segment's."""
    wanted = set(keys)
    if not wanted:
        return wanted
    return wanted - set((await connection.execute(select(Segment.key).where(Segment.key.in_(wanted)))).scalars())


async def inactive(connection: Connection, keys: Iterable[str]) -> list[str]:
    """Those of the segments that are not active."""
    statement = select(Segment.key).where(Segment.key.in_(set(keys)), Segment.active.is_(False))
    return sorted((await connection.execute(statement)).scalars())


async def add_member(connection: Connection, key: str, customer_id: str, now: datetime) -> bool:
    """Whether the customer enters by this, rather than being a member already."""
    statement = insert(connection, SegmentMember).values(segment_key=key, customer_id=customer_id, entered_at=now)
    result = await connection.execute(statement.on_conflict_do_nothing())
    return bool(result.rowcount)


async def add_members(connection: Connection, key: str, entered: Mapping[str, datetime]) -> None:
    """Makes the customers members, each since the given time; who is one already stays so."""
    rows = [{"segment_key": key, "customer_id": one, "entered_at": at} for one, at in sorted(entered.items())]
    await connection.execute(insert(connection, SegmentMember).on_conflict_do_nothing(), rows)


async def remove_members(connection: Connection, key: str, customer_ids: Sequence[str]) -> None:
    """Ends the memberships."""
    for some in chunks(customer_ids):
        statement = delete(SegmentMember).where(SegmentMember.segment_key == key, SegmentMember.customer_id.in_(some))
        await connection.execute(statement)


async def remove_member(connection: Connection, key: str, customer_id: str) -> bool:
    """Whether the customer leaves by this."""
    result = await connection.execute(
        delete(SegmentMember).where(SegmentMember.segment_key == key, SegmentMember.customer_id == customer_id)
    )
    return bool(result.rowcount)


async def of_customer(connection: Connection, customer_id: str) -> frozenset[str]:
    """The segments of which the customer is a member."""
    statement = select(SegmentMember.segment_key).where(SegmentMember.customer_id == customer_id)
    return frozenset((await connection.execute(statement)).scalars())


class Member(NamedTuple):
    """A member of a segment, and since when."""

    customer_id: str
    entered_at: datetime


async def members(connection: Connection, key: str, after: str, limit: int) -> list[Member]:
    """Return members, by id."""
    statement = select(SegmentMember.customer_id, SegmentMember.entered_at)
    statement = statement.where(SegmentMember.segment_key == key, SegmentMember.customer_id > after)
    rows = await connection.execute(statement.order_by(SegmentMember.customer_id).limit(limit))
    return [Member(*row) for row in rows]
