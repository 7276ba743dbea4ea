"""Who has to plan again when a customer's attributes change."""

from collections.abc import Iterable
from datetime import datetime
from uuid import uuid4

from campaigns.models.store.database import Connection
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import outbox
from campaigns.models.store.queries.entries import RunningEntry
from campaigns.models.store.queries.outbox import SWEEP_AFTER, DispatchRow


async def reschedule(
    connection: Connection, definitions: Definitions, running: Iterable[RunningEntry], changed: set[str], now: datetime
) -> list[DispatchRow]:
    """Owes a `reschedule` to each running entry whose times hang on one of the changed attributes."""
    owed = []
    for entry in running if changed else ():
        definition = await definitions.get(connection, entry.campaign, entry.version)
        if changed & definition.times_depend_on:
            owed.append(DispatchRow(uuid4().hex, "reschedule", entry.id, {}))
    await outbox.add(connection, owed, now + SWEEP_AFTER)
    return owed
