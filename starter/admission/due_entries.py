"""Members of a segment enter without a trigger of their own: all at a campaign's start, or again at each interval."""

import asyncio
import time
from datetime import datetime, timedelta

import structlog
from temporalio import activity

from campaigns.models.decision import Outcome, Trigger
from campaigns.models.journey.definition import CampaignStatus, Definition
from campaigns.models.store.database import Connection, Database
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import campaigns, due_entries, segments
from campaigns.models.values import iso, utc_now
from campaigns.starter import customer
from campaigns.starter.admission.admit import admit
from campaigns.starter.outbox import Outbox, Unit
from campaigns.workflows.existing_members import ENTER_EXISTING, EnteringProgress

EVERY_S = 1.0
BATCH = 200
EXISTING_A_SECOND = 100
"""So many members at a campaign's start."""
AT_A_TIME = 10
ACTIVITY_S = 60
"""So long one activity works, before its progress stands in the workflow's history."""

log = structlog.get_logger()


class DueEntries:
    """Watches for who is due, on every starter; the customer's lock lets one of them act."""

    def __init__(self, database: Database, outbox: Outbox, definitions: Definitions) -> None:
        self._database = database
        self._outbox = outbox
        self._definitions = definitions

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            try:
                while await self.once(BATCH) == BATCH:
                    pass
            except Exception:
                log.exception("entering those who are due failed, and goes on")
            await asyncio.sleep(EVERY_S)

    @activity.defn(name=ENTER_EXISTING)
    async def enter_existing(self, campaign: str) -> EnteringProgress:
        """Decide about existing members for a while, at a bounded rate; done again it goes on where it was."""
        began, done = time.monotonic(), 0
        while time.monotonic() - began < ACTIVITY_S:
            number = await self.once(AT_A_TIME, campaign)
            done += number
            activity.heartbeat(done)
            if number < AT_A_TIME:
                break
            await asyncio.sleep(max(0.0, began + done / EXISTING_A_SECOND - time.monotonic()))
        async with self._database.read() as connection:
            return EnteringProgress(done, await due_entries.count_existing(connection, campaign))

    async def once(self, limit: int, existing_of: str | None = None) -> int:
        """Decide about those who are due, or about existing members of a campaign; return how many there were."""
        async with self._database.read() as connection:
            due = await due_entries.due(connection, utc_now(), limit, existing_of)
        for campaign, customer_id in due:
            async with self._outbox.transaction() as unit:
                await self._decide(unit, campaign, customer_id)
        return len(due)

    async def _decide(self, unit: Unit, campaign: str, customer_id: str) -> None:
        connection = unit.connection
        person = await customer.lock(connection, customer_id)
        due_at = await due_entries.due_at(connection, campaign, customer_id)
        if person is None or due_at is None or due_at > person.now:
            return
        row = await campaigns.get(connection, campaign)
        # With the decision the row goes, or moves to the next interval: what a pause lets pass is not made up later.
        await due_entries.remove(connection, campaign, customer_id)
        if row is None or row.status not in (CampaignStatus.LIVE, CampaignStatus.PAUSED):
            return
        definition = await self._definitions.get(connection, campaign, row.version)
        segment = await self._segment(connection, definition, customer_id)
        if segment is None:
            return  # Who comes back to the segment enters by that.
        every = definition.re_enters_every
        trigger = Trigger(f"due:{campaign}:{iso(due_at)}", "segment", segment, person.now)
        rows = await campaigns.triggered_by(connection, segment)
        made = await admit(unit, self._definitions, person, trigger, rows, only=campaign, is_new=False)
        for decision in made:
            if every and decision.outcome is not Outcome.ENTERED:
                again = decision.retry_at or _next(due_at, every, person.now)
                await due_entries.put(connection, campaign, customer_id, again)

    async def _segment(self, connection: Connection, definition: Definition, customer_id: str) -> str | None:
        """The first of the campaign's active segments in which the customer still is."""
        names = definition.trigger_names
        member = await segments.of_customer(connection, customer_id)
        inactive = await segments.inactive(connection, names)
        return next((name for name in names if name in member and name not in inactive), None)


def _next(due_at: datetime, every: timedelta, now: datetime) -> datetime:
    """Return the next time of the same rhythm that is not past."""
    return due_at + every * ((now - due_at) // every + 1)
