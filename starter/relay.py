"""From committed rows to Temporal: at once by whoever committed, and by the sweep for what a crash left."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from temporalio.service import RPCError

from campaigns.models.decision import Trigger
from campaigns.models.dispatch import DispatchKind, DispatchRow
from campaigns.models.entry import EndedBy, EntryStatus
from campaigns.models.journey.definition import Definition
from campaigns.models.journey.outline import OutlineStep, outline
from campaigns.models.signing import Signing
from campaigns.models.store.database import Database
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import entries, outbox, steps
from campaigns.models.store.queries.outbox import EntryToStart
from campaigns.models.values import utc_now
from campaigns.starter.outbox import Outbox, signal_argument
from campaigns.starter.segments.follow import Touch
from campaigns.starter.segments.moved import look_again
from campaigns.workflows.client import EntryClient, Signal, workflow_id
from campaigns.workflows.contract import EntryInput

CONCURRENCY = 16
LEASE = timedelta(seconds=20)
SWEEP_S = 1.0
SWEEP_ROWS = 500
DONE_EVERY_S = 0.05
RECONCILE_S = 10.0
RECONCILE_BACK = timedelta(hours=1)

log = structlog.get_logger()


class Relay:
    """Does what committed decisions owe to Temporal. Doing a row twice is harmless, so none is ever lost."""

    def __init__(
        self, database: Database, outbox: Outbox, definitions: Definitions, client: EntryClient, signing: Signing
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._definitions = definitions
        self._client = client
        self._signing = signing
        self._done: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._outlines: dict[tuple[str, int], list[OutlineStep]] = {}
        self._reconciled: set[str] = set()

    def start(self) -> None:
        """Begin to work."""
        loops = [self._work() for _ in range(CONCURRENCY)] + [self._clear(), self._sweep(), self._reconcile_closed()]
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        """Stop at once: what is left, the next sweep does."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._delete_done()

    async def _work(self) -> None:
        while True:
            row = await self._outbox.next()
            try:
                if await self.act(row):
                    self._done.append(row.id)
            except (RPCError, OSError) as error:
                log.warning("dispatch has to wait", kind=row.kind, entry=row.entry_id, error=str(error))
            except Exception:
                log.exception("dispatch failed", kind=row.kind, entry=row.entry_id)
            finally:
                self._outbox.release(row)

    async def act(self, row: DispatchRow) -> bool:
        """Do the row; return False where it has to be tried again later."""
        # A kind that only a newer version knows raises ValueError: the row stays for a starter of that version.
        match DispatchKind(row.kind):
            case DispatchKind.START:
                return await self._start(row.entry_id)
            case DispatchKind.ERASE:
                await self._client.delete(row.entry_id)
                return True
            case DispatchKind.EXISTING:
                await self._client.enter_existing(row.entry_id, datetime.fromisoformat(row.payload["begin"]))
                return True
            case DispatchKind.FOLLOW:
                campaign = row.payload["campaign"]
                touch = Touch(f"journey {campaign}", attributes=frozenset(row.payload["attributes"]))
                await look_again(self._outbox, self._definitions, row.payload["customer_id"], touch, but_for=campaign)
                return True
            case _:
                return await self._signal(row)

    async def _start(self, entry_id: str) -> bool:
        # Only an entry that has left no trace is started: a closed run may be gone from Temporal.
        async with self._database.read() as connection:
            entry = await outbox.entry_to_start(connection, entry_id)
            if entry is None or await steps.has_begun(connection, entry_id):
                return True
            definition = await self._definitions.get(connection, entry.campaign_key, entry.version)
        await self._client.start(self._input(entry, definition))
        return True

    def _input(self, entry: EntryToStart, definition: Definition) -> EntryInput:
        key = (entry.campaign_key, entry.version)
        if definition.workflow is None:
            if key not in self._outlines:
                self._outlines[key] = outline(definition)
            return EntryInput(entry.id, *key, entry.customer_id, self._outlines[key])
        trigger = self._signing.seal(Trigger.from_json(entry.trigger).liquid_event())
        return EntryInput(entry.id, *key, entry.customer_id, trigger=trigger, workflow=definition.workflow)

    async def _signal(self, row: DispatchRow) -> bool:
        signal = Signal(row.kind, row.id, signal_argument(row))
        if await self._client.signal(row.entry_id, signal):
            return True
        async with self._database.read() as connection:
            entry = await outbox.entry_to_start(connection, row.entry_id)
            if entry is None:
                return True
            begun = await steps.has_begun(connection, row.entry_id)
            definition = await self._definitions.get(connection, entry.campaign_key, entry.version)
        if begun:
            # It was started after the first try, or it is closed.
            return await self.reconcile(row.entry_id) or await self._client.signal(row.entry_id, signal)
        # The signal came before the start did. Whoever starts the entry meanwhile, it gets the signal; where it has
        # ended meanwhile, the next try finds that out.
        return await self._client.start(self._input(entry, definition), signal)

    async def reconcile(self, entry_id: str) -> bool:
        """End an entry that runs here but whose workflow is closed: it was terminated in Temporal, and has failed.

        Return whether its workflow is closed.
        """
        handle = self._client.client.get_workflow_handle(workflow_id(entry_id))
        try:
            description = await handle.describe()
        except RPCError:
            return False
        if description.close_time is None:
            return False
        async with self._database.write() as connection:
            if await entries.end(connection, entry_id, EntryStatus.FAILED, EndedBy.TERMINATED, utc_now()):
                log.warning("entry was ended in Temporal", entry=entry_id)
        return True

    async def _reconcile_closed(self) -> None:
        while True:
            try:
                await self.reconcile_closed()
            except Exception as error:
                log.warning("reconciling with Temporal failed, and goes on", error=str(error))
            await asyncio.sleep(RECONCILE_S)

    async def reconcile_closed(self) -> None:
        """Look for entries that Temporal ended without running their code, which nothing else tells the database."""
        since = (utc_now() - RECONCILE_BACK).isoformat()
        query = (
            "CampaignKey IS NOT NULL AND ExecutionStatus IN ('Terminated', 'Failed', 'TimedOut', 'Canceled') "
            f"AND CloseTime > '{since}'"
        )
        seen = set()
        async for execution in self._client.client.list_workflows(query):
            entry_id = execution.id.removeprefix("entry-")
            seen.add(entry_id)
            if entry_id not in self._reconciled:
                await self.reconcile(entry_id)
        self._reconciled = seen

    async def _clear(self) -> None:
        while True:
            await asyncio.sleep(DONE_EVERY_S)
            with suppress(Exception):
                await self._delete_done()

    async def _delete_done(self) -> None:
        if not self._done:
            return
        done = self._done[:500]
        async with self._database.write() as connection:
            await outbox.delete_done(connection, done)
        del self._done[: len(done)]

    async def _sweep(self) -> None:
        while True:
            full = False
            try:
                full = await self.sweep_once() == SWEEP_ROWS
            except Exception:
                log.exception("the sweep failed, and goes on")
            await asyncio.sleep(0 if full else SWEEP_S)

    async def sweep_once(self) -> int:
        """Take up rows that are due, by whomever they were left; return how many there were."""
        if self._outbox.waiting > SWEEP_ROWS:
            return 0
        async with self._database.read() as connection:
            if not await outbox.any_due(connection, utc_now()):
                return 0
        async with self._database.write() as connection:
            rows = await outbox.take_due(connection, utc_now(), LEASE, SWEEP_ROWS)
        self._outbox.hand_over(rows)
        return len(rows)
