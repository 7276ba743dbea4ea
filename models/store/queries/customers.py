"""Customers, their consents, suppressed addresses and erasures."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

from sqlalchemy import BindParameter, Select, bindparam, func, select, update

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import chunks, insert
from campaigns.models.store.tables import (
    Customer,
)
from campaigns.models.values import Json


async def lock(connection: Connection, customer_id: str) -> Json | None:
    """The customer's attributes, locked until the transaction's end; None where there is no such customer."""
    return (await connection.execute(_lock(), {"id": customer_id})).scalar_one_or_none()


@cache
def _lock() -> Select[Json]:
    return select(Customer.attributes).where(Customer.id == bindparam("id")).with_for_update()


async def lock_or_create(connection: Connection, customer_id: str, now: datetime) -> Json:
    """The customer's attributes, locked; a customer who is not known yet is made, with none."""
    attributes = await lock(connection, customer_id)
    if attributes is None:
        row = {"id": customer_id, "attributes": {}, "created_at": now, "updated_at": now}
        await connection.execute(insert(connection, Customer).values(row).on_conflict_do_nothing())
        attributes = await lock(connection, customer_id)
    return attributes or {}


async def lock_many(connection: Connection, customer_ids: Iterable[str]) -> dict[str, Json]:
    """The attributes of those of the customers who are known, locked in the order of their ids."""
    ids = sorted(set(customer_ids))
    found: dict[str, Json] = {}
    for some in chunks(ids):
        statement = select(Customer.id, Customer.attributes).where(Customer.id.in_(some))
        rows = await connection.execute(statement.order_by(Customer.id).with_for_update())
        found.update((customer_id, attributes) for customer_id, attributes in rows)
    return found


async def write_many(connection: Connection, people: Mapping[str, Json], now: datetime) -> None:
    """Sets all attributes of existing customers."""
    table = Customer.__table__
    statement = update(table).where(table.c.id == bindparam("customer"))
    statement = statement.values(attributes=bindparam("new"), updated_at=bindparam("now"))
    rows = [{"customer": customer_id, "new": attributes, "now": now} for customer_id, attributes in people.items()]
    if rows:
        await connection.execute(statement, rows)


async def create_missing(connection: Connection, customer_ids: Iterable[str | None], now: datetime) -> None:
    """Makes those of the customers who are not known yet, with no attributes."""
    rows = [
        {"id": customer_id, "attributes": {}, "created_at": now, "updated_at": now}
        for customer_id in sorted(one for one in customer_ids if one)
    ]
    if rows:
        await connection.execute(insert(connection, Customer).on_conflict_do_nothing(), rows)


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
    for some in chunks(customer_ids):
        known.update((await connection.execute(select(Customer.id).where(Customer.id.in_(some)))).scalars())
    return set(customer_ids) - known


async def write_attributes(connection: Connection, customer_id: str, attributes: Json, now: datetime) -> None:
    """Sets all attributes of an existing customer."""
    statement = update(Customer).where(Customer.id == customer_id)
    await connection.execute(statement.values(attributes=attributes, updated_at=now))


@cache
def _hold() -> Select[str]:
    ids: BindParameter[Sequence[str]] = bindparam("ids", expanding=True)
    statement = select(Customer.id).where(Customer.id.in_(ids)).order_by(Customer.id)
    return statement.with_for_update(read=True, key_share=True, skip_locked=True)


async def hold(connection: Connection, customer_ids: Iterable[str]) -> set[str]:
    """Those of the customers who now cannot be erased before the transaction's end; whom others hold is left out.

    Not for one who is locked later in the same transaction: two that both did so would wait for each other.
    """
    ids = list(set(customer_ids))
    return set((await connection.execute(_hold(), {"ids": ids})).scalars()) if ids else set()
