"""What customers said about channels and topics, and the opt-outs that outlive them."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, select

from campaigns.models.channels import ConsentStatus
from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import Consent, OptOut


async def put(
    connection: Connection,
    customer_id: str,
    channel: str,
    topic: str,
    status: ConsentStatus,
    source: str,
    now: datetime,
) -> None:
    """Records what the customer said last about the channel or topic."""
    said = {"status": status, "source": source, "at": now}
    statement = insert(connection, Consent).values(customer_id=customer_id, channel=channel, topic=topic, **said)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["customer_id", "channel", "topic"], set_=said)
    )


class ConsentRow(NamedTuple):
    """What a customer said last about a channel, or about a topic of it."""

    channel: str
    topic: str
    status: ConsentStatus
    source: str
    at: datetime


async def of_customer(connection: Connection, customer_id: str) -> list[ConsentRow]:
    """Return what the customer has said, by channel and topic."""
    statement = select(Consent.channel, Consent.topic, Consent.status, Consent.source, Consent.at)
    statement = statement.where(Consent.customer_id == customer_id).order_by(Consent.channel, Consent.topic)
    return [ConsentRow(*row) for row in await connection.execute(statement)]


async def keep_opt_outs(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Keeps unsubscriptions by hashes, of a customer who is to be erased."""
    if rows:
        await connection.execute(insert(connection, OptOut).values(rows).on_conflict_do_nothing())


async def delete_opt_out(connection: Connection, address_hash: str, channel: str, topic: str) -> None:
    """A customer with this address has subscribed anew."""
    statement = delete(OptOut).where(OptOut.subject_hash == address_hash, OptOut.channel == channel)
    await connection.execute(statement.where(OptOut.topic == topic))
