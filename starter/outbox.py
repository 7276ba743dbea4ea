"""The outbox: what a transaction owes to Temporal is committed with it, and handed to the relay behind the commit.

Whoever dies in between leaves rows to the sweep of any relay, so nothing is lost, and nothing is done before it holds.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from campaigns.models.dispatch import DispatchKind, DispatchRow
from campaigns.models.store.database import Connection, Database
from campaigns.models.store.queries import outbox
from campaigns.models.store.queries.outbox import SWEEP_AFTER
from campaigns.models.values import utc_now
from campaigns.workflows.contract import EventSignal, ExitSignal


class Unit:
    """A writing transaction, and what it owes."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.owed: list[DispatchRow] = []

    def owe(self, *rows: DispatchRow) -> None:
        """Owe these from the commit on: they are written with it, all in one statement."""
        self.owed += rows


class Outbox:
    """Transactions that owe, and the rows at hand in this process for its relay."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: asyncio.Queue[DispatchRow] = asyncio.Queue()
        self._at_hand: set[str] = set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Unit]:
        """Commit at the end of the block and hand on what is owed; on an exception roll back, and owe nothing."""
        async with self._database.write() as connection:
            unit = Unit(connection)
            yield unit
            await outbox.add(connection, unit.owed, utc_now() + SWEEP_AFTER)
        self.hand_over(unit.owed)

    def hand_over(self, rows: Iterable[DispatchRow]) -> None:
        """Queue committed rows for the relay; those at hand already are not taken again."""
        for row in rows:
            if row.id not in self._at_hand:
                self._at_hand.add(row.id)
                self._queue.put_nowait(row)

    async def next(self) -> DispatchRow:
        """Return the next row to do, as soon as there is one; `release` it afterwards."""
        return await self._queue.get()

    def release(self, row: DispatchRow) -> None:
        """Have the row at hand no more: where it is not done, the sweep brings it again."""
        self._at_hand.discard(row.id)

    @property
    def waiting(self) -> int:
        """How many rows wait for the relay."""
        return self._queue.qsize()


def signal_argument(row: DispatchRow) -> Any:
    """Return what the row's signal says; None where its name says all."""
    match row.kind:
        case DispatchKind.EVENT:
            return EventSignal(**{**row.payload, "at": datetime.fromisoformat(row.payload["at"])})
        case DispatchKind.EXIT:
            return ExitSignal(**row.payload)
        case _:
            return None
