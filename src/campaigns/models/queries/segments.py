"""Segments and their members."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from campaigns.models.database import Connection
from campaigns.models.queries.base import insert
from campaigns.models.tables import Segment, SegmentMember


async def put(connection: Connection, key: str, name: str, active: bool, now: datetime) -> None:
    """Makes or changes a segment."""
    statement = insert(connection, Segment).values(key=key, name=name, active=active, created_at=now, updated_at=now)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["key"], set_={"name": name, "active": active, "updated_at": now}
        )
    )


async def get(connection: Connection, key: str) -> Any | None:
    """Key, name and whether it is active."""
    statement = select(Segment.key, Segment.name, Segment.active).where(Segment.key == key)
    return (await connection.execute(statement)).one_or_none()


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


async def members(connection: Connection, key: str, after: str, limit: int) -> Sequence[Any]:
    """Members by id, and since when."""
    statement = select(SegmentMember.customer_id, SegmentMember.entered_at)
    statement = statement.where(SegmentMember.segment_key == key, SegmentMember.customer_id > after)
    return (await connection.execute(statement.order_by(SegmentMember.customer_id).limit(limit))).all()
