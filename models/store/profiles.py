"""Profile changes at work: what is written, and which running entries plan anew."""

from collections.abc import Iterable, Set
from datetime import datetime

from campaigns.models import dispatch
from campaigns.models.dispatch import DispatchRow
from campaigns.models.profiles import ProfileChange, change
from campaigns.models.store.database import Connection
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import customers
from campaigns.models.store.queries.entries import RunningEntry
from campaigns.models.values import Json


async def write_profile(
    connection: Connection, customer_id: str, before: Json, given: Json, now: datetime
) -> ProfileChange:
    """Change the given attributes of the customer, who is locked and has those before."""
    made = change(before, given)
    if made.changed:
        await customers.write_attributes(connection, customer_id, made.attributes, now)
    return made


async def reschedules(
    connection: Connection, definitions: Definitions, running: Iterable[RunningEntry], changed: Set[str]
) -> list[DispatchRow]:
    """Return what is owed to the running entries whose times hang on one of the changed attributes."""
    owed = []
    for entry in running if changed else ():
        definition = await definitions.get(connection, entry.campaign, entry.version)
        if changed & definition.times_depend_on:
            owed.append(dispatch.reschedule(entry.id))
    return owed
