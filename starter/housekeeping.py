"""What need not be kept for ever: decisions that say no more than that nothing happened."""

import asyncio
from datetime import timedelta

import structlog

from campaigns.models.store.database import Database
from campaigns.models.store.queries import decisions
from campaigns.models.values import utc_now

EVERY_S = 600.0
BATCH = 1_000

log = structlog.get_logger()


class Housekeeping:
    """Prunes decisions after the retention; their counts stay. Without one, nothing is pruned."""

    def __init__(self, database: Database, retention: timedelta | None) -> None:
        self._database = database
        self._retention = retention

    async def run(self) -> None:
        """Works until it is cancelled."""
        while self._retention is not None:
            try:
                pruned = await self.once()
            except Exception:
                log.exception("pruning decisions failed, and goes on")
                pruned = 0
            await asyncio.sleep(0.1 if pruned else EVERY_S)

    async def once(self) -> int:
        """Prunes some; how many."""
        if self._retention is None:
            return 0
        async with self._database.write() as connection:
            return await decisions.prune(connection, utc_now() - self._retention, BATCH)
