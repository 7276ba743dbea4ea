"""Addresses that get nothing more, and what else speaks against an address."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import BindParameter, CompoundSelect, bindparam, delete, false, literal, or_, select, tuple_, union_all

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import OptOut, Suppression


@cache
def _against() -> CompoundSelect[str, str]:
    address: BindParameter[str] = bindparam("address")
    channel: BindParameter[str] = bindparam("channel")
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


class SuppressionRow(NamedTuple):
    """A suppression; the address itself is not kept."""

    channel: str
    address_hash: str
    reason: str
    at: datetime


async def page(
    connection: Connection, after: tuple[str, str], limit: int, address_hashes: Mapping[str, str] | None = None
) -> Sequence[SuppressionRow]:
    """Suppressions behind the place, by channel and hash; with `address_hashes` of one address by channel, its own."""
    place = tuple_(Suppression.channel, Suppression.address_hash)
    statement = select(Suppression.channel, Suppression.address_hash, Suppression.reason, Suppression.at)
    if address_hashes is not None:
        statement = statement.where(or_(false(), *(place == tuple_(*pair) for pair in address_hashes.items())))
    statement = statement.where(place > tuple_(*after))
    rows = await connection.execute(statement.order_by(Suppression.channel, Suppression.address_hash).limit(limit))
    return [SuppressionRow(*row) for row in rows]


async def lift(connection: Connection, channel: str, address_hash: str, saying: str | None = None) -> bool:
    """Whether there was the suppression, with a reason that says this where it is asked; it is lifted."""
    statement = delete(Suppression).where(Suppression.channel == channel, Suppression.address_hash == address_hash)
    if saying is not None:
        statement = statement.where(Suppression.reason.contains(saying))
    return bool((await connection.execute(statement)).rowcount)


async def add(connection: Connection, channel: str, address_hash: str, reason: str, now: datetime) -> None:
    """Suppresses the address; the first reason stays."""
    row = {"channel": channel, "address_hash": address_hash, "reason": reason, "at": now}
    await connection.execute(insert(connection, Suppression).values(row).on_conflict_do_nothing())
