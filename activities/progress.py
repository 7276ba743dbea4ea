"""Outcomes of steps, branches, updates of the customer, and the end of an entry."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from temporalio import activity

from campaigns.activities.contract import DelayPlan, EndTask, EntryRef, StepReport, StepTask, until_text
from campaigns.models import dispatch
from campaigns.models.entry import EndedBy, EntryStatus
from campaigns.models.journey.conditions import holds
from campaigns.models.journey.definition import Definition
from campaigns.models.journey.steps import OTHERWISE, Branch, Delay, UntilAttribute, UntilTime, Update
from campaigns.models.journey.wallclock import Until, until_attribute, until_time
from campaigns.models.store.database import Connection, Database
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.profiles import reschedules, write_profile
from campaigns.models.store.queries import customers, entries, facts, messages, outbox, segments, steps
from campaigns.models.values import Json, utc_now


async def write_reports(connection: Connection, entry: EntryRef, reports: Iterable[StepReport]) -> None:
    """Writes outcomes of an entry's steps."""
    await steps.put(connection, [step_row(entry, report) for report in reports])


def step_row(entry: EntryRef, report: StepReport) -> dict[str, Any]:
    """The row of an outcome."""
    return {
        "entry_id": entry.entry_id,
        "campaign_key": entry.campaign,
        "version": entry.version,
        "step_id": report.step,
        "repetition": report.repetition,
        "position": report.position,
        "outcome": report.outcome,
        "reason": report.reason,
        "detail": report.detail,
        "entered_at": report.entered_at,
        "ended_at": report.ended_at,
    }


class ProgressActivities:
    """What a journey does besides sending."""

    def __init__(self, database: Database, definitions: Definitions) -> None:
        self._database = database
        self._definitions = definitions

    @activity.defn(name="begin_delay")
    async def begin_delay(self, entry: EntryRef) -> None:
        """Writes that a delay has begun, which is the last of the entry's reports."""
        await self._write_reports(entry)

    @activity.defn(name="begin_wait")
    async def begin_wait(self, entry: EntryRef) -> None:
        """Writes that a wait has begun, which is the last of the entry's reports."""
        await self._write_reports(entry)

    async def _write_reports(self, entry: EntryRef) -> None:
        async with self._database.write() as connection:
            await write_reports(connection, entry, entry.reports)

    @activity.defn(name="choose_branch")
    async def choose_branch(self, task: StepTask) -> str:
        """The name of the first case that holds for the customer now, else `otherwise`; and writes that down."""
        async with self._database.write() as connection:
            branch = await self._branch(connection, task)
            way = await self._first_that_holds(connection, task.entry.entry_id, branch)
            chosen = task.report("completed", utc_now(), reason=way)
            await write_reports(connection, task.entry, [*task.entry.reports, chosen])
        return way

    async def _branch(self, connection: Connection, task: StepTask) -> Branch:
        step = (await self._definition(connection, task)).steps_by_id[task.step]
        if not isinstance(step, Branch):
            raise TypeError(f"{task.step} is not a branch")
        return step

    async def _definition(self, connection: Connection, task: StepTask) -> Definition:
        return await self._definitions.get(connection, task.entry.campaign, task.entry.version)

    async def _first_that_holds(self, connection: Connection, entry_id: str, branch: Branch) -> str:
        recipient = await messages.recipient(connection, entry_id)
        properties: Json = (recipient.trigger or {}).get("properties", {}) if recipient else {}
        asked = await facts.load(
            connection,
            [case.when for case in branch.branches],
            utc_now(),
            recipient.customer_id if recipient else None,
            (recipient.attributes or {}) if recipient else {},
            properties=properties,
            trigger=properties,
            entry_id=entry_id,
        )
        return next((case.name for case in branch.branches if holds(case.when, asked)), OTHERWISE)

    @activity.defn(name="plan_delay")
    async def plan_delay(self, task: StepTask) -> DelayPlan:
        """When a delay until a time ends, by the customer's clock and dates as they are now; and writes that down."""
        now = task.now or utc_now()
        async with self._database.write() as connection:
            definition = await self._definition(connection, task)
            recipient = await messages.recipient(connection, task.entry.entry_id)
            attributes = (recipient.attributes or {}) if recipient else {}
            step = definition.steps_by_id[task.step]
            if not isinstance(step, Delay) or step.until is None:
                raise TypeError(f"{task.step} is not a delay until a time")
            plan = _until(now, step.until, attributes, definition.timezone)
            if plan.moment is None:
                report = task.report("skipped", now, plan.skipped, plan.warning)
            else:
                detail = ", ".join(filter(None, (until_text(plan.moment), plan.warning)))
                report = task.report("waiting", detail=detail)
            await write_reports(connection, task.entry, [*task.entry.reports, report])
        return DelayPlan(plan.moment, plan.warning)

    @activity.defn(name="update_customer")
    async def update_customer(self, task: StepTask) -> None:
        """Writes the step's attributes to the customer; one who was erased is not made again."""
        now = utc_now()
        async with self._database.write() as connection:
            step = (await self._definition(connection, task)).steps_by_id[task.step]
            if not isinstance(step, Update):
                raise TypeError(f"{task.step} is not an update")
            recipient = await messages.recipient(connection, task.entry.entry_id)
            outcome = "skipped"
            if recipient and recipient.customer_id:
                attributes = await customers.lock(connection, recipient.customer_id)
                if attributes is not None:
                    outcome = "completed"
                    change = await write_profile(connection, recipient.customer_id, attributes, step.attributes, now)
                    if change.changed:
                        await self._owe(connection, task, recipient.customer_id, change.changed, now)
            reason = None if outcome == "completed" else "erased"
            done = task.report(outcome, now, reason)
            await write_reports(connection, task.entry, [*task.entry.reports, done])

    async def _owe(
        self, connection: Connection, task: StepTask, customer_id: str, changed: frozenset[str], now: datetime
    ) -> None:
        """Running entries plan again, and memberships follow by rule: a starter sees to both, by its next sweep.

        It also sees to whom that triggers, but for this campaign.
        """
        running = await entries.running_of_customer(connection, customer_id)
        owed = await reschedules(connection, self._definitions, running, changed)
        if await segments.touched(connection, changed, (), ()):
            entry = task.entry
            owed.append(dispatch.follow(entry.entry_id, task.position, customer_id, changed, entry.campaign))
        await outbox.add(connection, owed, now)

    @activity.defn(name="end_entry")
    async def end_entry(self, task: EndTask) -> None:
        """Ends the entry; one that was ended already stays as it is."""
        async with self._database.write() as connection:
            await write_reports(connection, task.entry, task.entry.reports)
            await entries.end(
                connection, task.entry.entry_id, EntryStatus(task.status), EndedBy(task.ended_by), utc_now()
            )


def _until(now: datetime, until: UntilTime | UntilAttribute, attributes: Json, zone: str | None) -> Until:
    plan = until_time if isinstance(until, UntilTime) else until_attribute
    return plan(now, until, attributes, zone)  # type: ignore[arg-type] # each has its own kind of until
