"""Customers, their consents, suppressed addresses and erasures."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import bindparam, delete, func, literal, select, union_all, update

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import chunks, insert
from campaigns.models.store.tables import (
    Consent,
    Customer,
    DueEntry,
    Erasure,
    Event,
    Holdout,
    OptOut,
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
    table: Any = Customer.__table__
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
def _against() -> Any:
    address: Any = bindparam("address")
    channel: Any = bindparam("channel")
    suppressed = select(literal("suppressed"), Suppression.reason).where(
        Suppression.channel == channel, Suppression.address_hash == address
    )
    opted_out = select(literal("opted_out"), OptOut.topic).where(
        OptOut.channel == channel, OptOut.subject_hash == address
    )
    return union_all(suppressed, opted_out)


class AgainstAddress(NamedTuple):
    """What speaks against an address on a channel, whoever's it is."""

    suppressed: bool
    opted_out: frozenset[str]
    """Topics that an erased customer with this address had unsubscribed from; the empty one is the whole channel."""


async def against_address(connection: Connection, channel: str, address_hash: str) -> AgainstAddress:
    """What speaks against the address on the channel."""
    rows = (await connection.execute(_against(), {"channel": channel, "address": address_hash})).all()
    topics = frozenset(value for kind, value in rows if kind == "opted_out")
    return AgainstAddress(any(kind == "suppressed" for kind, _ in rows), topics)


async def suppress(connection: Connection, channel: str, address_hash: str, reason: str, now: datetime) -> None:
    """Suppresses the address; the first reason stays."""
    row = {"channel": channel, "address_hash": address_hash, "reason": reason, "at": now}
    await connection.execute(insert(connection, Suppression).values(row).on_conflict_do_nothing())


async def erased_of(connection: Connection, customer_hashes: Iterable[str]) -> set[str]:
    """Those of the customers, by the hashes of their ids, who were erased and not made again."""
    found: set[str] = set()
    for some in chunks(sorted(set(customer_hashes))):
        statement = select(Erasure.customer_hash).where(Erasure.customer_hash.in_(some))
        found.update((await connection.execute(statement)).scalars())
    return found


async def any_erased(connection: Connection) -> bool:
    """Whether any customer was erased."""
    return (await connection.execute(select(Erasure.customer_hash).limit(1))).first() is not None


async def make_again(connection: Connection, customer_id: str, customer_hash: str) -> None:
    """One who was erased is a customer again; what they had unsubscribed from they still are."""
    known = await connection.execute(delete(Erasure).where(Erasure.customer_hash == customer_hash))
    if not known.rowcount:
        return
    columns = ["customer_id", "channel", "topic", "status", "source", "at"]
    said = select(
        literal(customer_id), OptOut.channel, OptOut.topic, literal("unsubscribed"), OptOut.source, OptOut.at
    ).where(OptOut.subject_hash == customer_hash)
    await connection.execute(insert(connection, Consent).from_select(columns, said))
    await connection.execute(delete(OptOut).where(OptOut.subject_hash == customer_hash))


async def keep_opt_outs(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Keeps unsubscriptions by hashes, of a customer who is to be erased."""
    if rows:
        await connection.execute(insert(connection, OptOut).values(rows).on_conflict_do_nothing())


async def forget_opt_out(connection: Connection, address_hash: str, channel: str, topic: str) -> None:
    """A customer with this address has subscribed anew."""
    statement = delete(OptOut).where(OptOut.subject_hash == address_hash, OptOut.channel == channel)
    await connection.execute(statement.where(OptOut.topic == topic))


async def erase(connection: Connection, customer_id: str, customer_hash: str, now: datetime) -> None:
    """Deletes the customer's own rows and remembers the erasure; entries are made anonymous elsewhere."""
    nobody = f"erased-{uuid4().hex}"
    await connection.execute(update(Holdout).where(Holdout.customer_id == customer_id).values(customer_id=nobody))
    for table in (SegmentMember, SegmentTurn, SegmentChange, Consent, Event, DueEntry):
        await connection.execute(delete(table).where(table.customer_id == customer_id))
    await connection.execute(delete(Customer).where(Customer.id == customer_id))
    row = {"customer_hash": customer_hash, "erased_at": now}
    await connection.execute(insert(connection, Erasure).values(row).on_conflict_do_nothing())
