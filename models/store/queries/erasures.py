"""The erasure of customers, and who was erased."""

from collections.abc import Iterable
from datetime import datetime
from uuid import uuid4

from sqlalchemy import delete, literal, select, update

from campaigns.models.channels import ConsentStatus
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
)


async def erase_customer(connection: Connection, customer_id: str, customer_hash: str, now: datetime) -> None:
    """Deletes the customer's own rows and remembers the erasure; entries are made anonymous elsewhere."""
    nobody = f"erased-{uuid4().hex}"
    await connection.execute(update(Holdout).where(Holdout.customer_id == customer_id).values(customer_id=nobody))
    for table in (SegmentMember, SegmentTurn, SegmentChange, Consent, Event, DueEntry):
        await connection.execute(delete(table).where(table.customer_id == customer_id))
    await connection.execute(delete(Customer).where(Customer.id == customer_id))
    row = {"customer_hash": customer_hash, "erased_at": now}
    await connection.execute(insert(connection, Erasure).values(row).on_conflict_do_nothing())


async def erased_among(connection: Connection, customer_hashes: Iterable[str]) -> set[str]:
    """Those of the customers, by the hashes of their ids, who were erased and not made again."""
    found: set[str] = set()
    for some in chunks(sorted(set(customer_hashes))):
        statement = select(Erasure.customer_hash).where(Erasure.customer_hash.in_(some))
        found.update((await connection.execute(statement)).scalars())
    return found


async def any_erased(connection: Connection) -> bool:
    """Whether any customer was erased."""
    return (await connection.execute(select(Erasure.customer_hash).limit(1))).first() is not None


async def readmit(connection: Connection, customer_id: str, customer_hash: str) -> None:
    """One who was erased is a customer again; what they had unsubscribed from they still are."""
    known = await connection.execute(delete(Erasure).where(Erasure.customer_hash == customer_hash))
    if not known.rowcount:
        return
    columns = ["customer_id", "channel", "topic", "status", "source", "at"]
    said = select(
        literal(customer_id),
        OptOut.channel,
        OptOut.topic,
        literal(ConsentStatus.UNSUBSCRIBED.value),
        OptOut.source,
        OptOut.at,
    ).where(OptOut.subject_hash == customer_hash)
    await connection.execute(insert(connection, Consent).from_select(columns, said))
    await connection.execute(delete(OptOut).where(OptOut.subject_hash == customer_hash))
