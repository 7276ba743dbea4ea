"""The customer whom a transaction is about: all decisions about one are made under their lock."""

from dataclasses import dataclass, field
from datetime import datetime

from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import customers, entries, erasures
from campaigns.models.store.queries.entries import RunningEntry
from campaigns.models.values import Json, utc_now


@dataclass
class Person:
    """The customer whom the transaction is about, as read under the lock."""

    id: str
    attributes: Json
    erased: bool
    now: datetime
    running: list[RunningEntry] = field(default_factory=list)
    is_new: bool = False


async def lock(connection: Connection, customer_id: str) -> Person | None:
    """Return the customer, locked; None where there is none."""
    attributes = await customers.lock(connection, customer_id)
    return None if attributes is None else await _person(connection, customer_id, attributes)


async def lock_or_make(connection: Connection, signing: Signing, customer_id: str, *, readmits: bool) -> Person:
    """Return the customer, locked; an unknown one is made.

    Who was erased is made again only where that `readmits` them; else they are a person who is `erased`, with no row.
    """
    if (person := await lock(connection, customer_id)) is not None:
        return person
    hashed = signing.hash("customer", customer_id)
    if readmits:
        await erasures.readmit(connection, customer_id, hashed)
    elif await erasures.erased_among(connection, [hashed]):
        return Person(customer_id, {}, True, utc_now())
    attributes = await customers.lock_or_create(connection, customer_id, utc_now())
    return await _person(connection, customer_id, attributes, is_new=True)


async def _person(connection: Connection, customer_id: str, attributes: Json, *, is_new: bool = False) -> Person:
    running = await entries.running_of_customer(connection, customer_id)
    # The time of the decision is read under the lock, so that decisions about a customer have an order.
    return Person(customer_id, attributes, False, utc_now(), running, is_new)
