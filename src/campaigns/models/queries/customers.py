"""Customers, their consents, suppressed addresses and erasures."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import bindparam, delete, func, select, update

from campaigns.models.database import Connection
from campaigns.models.queries.base import insert
from campaigns.models.tables import (
    Consent,
    Customer,
    DueEntry,
    Erasure,
    Event,
    Holdout,
    SegmentChange,
    SegmentMember,
    SegmentTurn,
    Suppression,
)
from campaigns.models.values import Json


async def lock(connection: Connection, customer_id: str) -> Json | None:
    """The customer's attributes, locked until the transaction's end; None where there is no such customer."""
    return (await connection.execute(_lock(), {"id": customer_id})).scalar_one_or_none()


@cache
def _lock() -> Any:
    return select(Customer.attributes).where(Customer.id == bindparam("id")).with_for_update()


async def lock_or_create(connection: Connection, customer_id: str, now: datetime) -> Json:
    """The customer's attributes, locked; a customer who is not known yet is made, with none."""
    attributes = await lock(connection, customer_id)
    if attributes is None:
        row = {"id": customer_id, "attributes": {}, "created_at": now, "updated_at": now}
        await connection.execute(insert(connection, Customer).values(row).on_conflict_do_nothing())
        attributes = await lock(connection, customer_id)
    return attributes or {}


async def create_missing(connection: Connection, customer_ids: Iterable[str | None], now: datetime) -> None:
    """Makes those of the customers who are not known yet, with no attributes."""
    rows = [
        {"id": customer_id, "attributes": {}, "created_at": now, "updated_at": now}
        for customer_id in sorted(one for one in customer_ids if one)
    ]
    if rows:
        await connection.execute(insert(connection, Customer).values(rows).on_conflict_do_nothing())


async def get(connection: Connection, customer_id: str) -> Json | None:
    """The customer's attributes."""
    statement = select(Customer.attributes).where(Customer.id == customer_id)
    return (await connection.execute(statement)).scalar_one_or_none()


async def page(connection: Connection, after: str, limit: int) -> list[tuple[str, Json]]:
    """Id and attributes of customers, by id."""
    statement = select(Customer.id, Customer.attributes).where(Customer.id > after).order_by(Customer.id).limit(limit)
    return [(customer_id, attributes) for customer_id, attributes in await connection.execute(statement)]


async def count_after(connection: Connection, after: str) -> int:
    """How many customers come behind this one, by id."""
    statement = select(func.count()).select_from(Customer).where(Customer.id > after)
    return int((await connection.execute(statement)).scalar_one())


async def missing(connection: Connection, customer_ids: Sequence[str]) -> set[str]:
    """Those of the ids that are no customer's."""
    known: set[str] = set()
    for start in range(0, len(customer_ids), 500):
        some = customer_ids[start : start + 500]
        known.update((await connection.execute(select(Customer.id).where(Customer.id.in_(some)))).scalars())
    return set(customer_ids) - known


async def write_attributes(connection: Connection, customer_id: str, attributes: Json, now: datetime) -> None:
    """Sets all attributes of an existing customer."""
    statement = update(Customer).where(Customer.id == customer_id)
    await connection.execute(statement.values(attributes=attributes, updated_at=now))


async def put_consent(
    connection: Connection, customer_id: str, channel: str, topic: str, status: str, source: str, now: datetime
) -> None:
    """Records what the customer said last about the channel or topic."""
    said = {"status": status, "source": source, "at": now}
    statement = insert(connection, Consent).values(customer_id=customer_id, channel=channel, topic=topic, **said)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["customer_id", "channel", "topic"], set_=said)
    )


async def consents(connection: Connection, customer_id: str) -> Sequence[Any]:
    """What the customer has said: channel, topic, status, source, at."""
    statement = select(Consent.channel, Consent.topic, Consent.status, Consent.source, Consent.at)
    statement = statement.where(Consent.customer_id == customer_id).order_by(Consent.channel, Consent.topic)
    return (await connection.execute(statement)).all()


@cache
def _suppressed() -> Any:
    return select(Suppression.reason).where(
        Suppression.channel == bindparam("channel"), Suppression.address_hash == bindparam("address")
    )


async def is_suppressed(connection: Connection, channel: str, address_hash: str) -> bool:
    """Whether the address gets nothing more on the channel."""
    parameters = {"channel": channel, "address": address_hash}
    return (await connection.execute(_suppressed(), parameters)).first() is not None


async def suppress(connection: Connection, channel: str, address_hash: str, reason: str, now: datetime) -> None:
    """Suppresses the address; the first reason stays."""
    row = {"channel": channel, "address_hash": address_hash, "reason": reason, "at": now}
    await connection.execute(insert(connection, Suppression).values(row).on_conflict_do_nothing())


async def is_erased(connection: Connection, customer_hash: str) -> bool:
    """Whether a customer of that id was erased, and not made again."""
    statement = select(Erasure.erased_at).where(Erasure.customer_hash == customer_hash)
    return (await connection.execute(statement)).scalar_one_or_none() is not None


async def unmark_erased(connection: Connection, customer_hash: str) -> None:
    """A customer of that id is made again."""
    await connection.execute(delete(Erasure).where(Erasure.customer_hash == customer_hash))


async def erase(connection: Connection, customer_id: str, customer_hash: str, now: datetime) -> None:
    """Deletes the customer's own rows and remembers the erasure; entries are made anonymous elsewhere."""
    nobody = f"erased-{uuid4().hex}"
    await connection.execute(update(Holdout).where(Holdout.customer_id == customer_id).values(customer_id=nobody))
    for table in (SegmentMember, SegmentTurn, SegmentChange, Consent, Event, DueEntry):
        await connection.execute(delete(table).where(table.customer_id == customer_id))
    await connection.execute(delete(Customer).where(Customer.id == customer_id))
    row = {"customer_hash": customer_hash, "erased_at": now}
    await connection.execute(insert(connection, Erasure).values(row).on_conflict_do_nothing())
