"""The verbs of a journey. An entry is one workflow; each verb is one step of it, with the same outcomes for all.

Everything here is replayed for months: a change is guarded by `workflow.patched`, and the recorded histories in the
tests must replay.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError
from temporalio.workflow import ActivityCancellationType

from campaigns.activities.contract import (
    EndTask,
    EntryRef,
    NextDelay,
    SendResult,
    StepReport,
    StepTask,
    until_text,
)
from campaigns.activities.delivery import DeliveryActivities
from campaigns.activities.progress import ProgressActivities
from campaigns.models.decision import EndedBy
from campaigns.models.outline import EntryInput

# A local activity is short: where it does not succeed at once, the normal one takes over, with its queue and back-off.
LOCAL_TIMEOUT = timedelta(seconds=10)
SEND_TIMEOUT = timedelta(seconds=28)
ONE_TRY = RetryPolicy(maximum_attempts=1)
UNTIL_IT_WORKS = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
SEND_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=15))
SEND_FOR = timedelta(days=1)
SUMMARY_BYTES = 200


@dataclass(frozen=True)
class EventSignal:
    """An event that the entry listens for, and which of its waits it matches; the properties stay in the database."""

    event_id: str
    name: str
    at: datetime
    matches: list[str]


@dataclass(frozen=True)
class ExitSignal:
    """Why the entry is to end."""

    cause: str


class EntryEnded(Exception):
    """Ends the story from inside: by an exit step, by a failure, or because it was ended elsewhere."""

    def __init__(self, ended_by: EndedBy) -> None:
        self.ended_by = ended_by
        super().__init__(ended_by.value)


class Journey:
    """The base of every journey: signals, verbs, and the end."""

    def __init__(self, entry: EntryInput) -> None:
        self._entry = entry
        self._reports: list[StepReport] = []
        self._events: list[EventSignal] = []
        self._seen: set[str] = set()
        self._exit: EndedBy | None = None
        self._skipped = False
        self._held = False
        self._busy = False
        self._position = 0
        self._went_on = False

    @workflow.signal(name="event", description="An event of the customer's that this entry listens for.")
    def on_event(self, event: EventSignal) -> None:
        """Keeps the event, once by its id, until a wait asks for it."""
        if event.event_id not in self._seen:
            self._seen.add(event.event_id)
            self._events.append(event)

    @workflow.signal(name="exit", description="Takes the customer out of the journey, whatever it waits for.")
    def on_exit(self, request: ExitSignal) -> None:
        """Ends the entry as soon as nothing is on its way; the first cause stays."""
        if self._exit is None:
            known = request.cause in EndedBy.__members__.values()
            self._exit = EndedBy(request.cause) if known else EndedBy.OPERATOR

    @workflow.signal(name="skip_wait", description="Ends the present delay or wait, as if its time had passed.")
    def on_skip_wait(self) -> None:
        """Ends the present delay or wait; without one, nothing."""
        self._skipped = True

    @workflow.signal(name="resume", description="The campaign goes on: a held message is tried again.")
    def on_resume(self) -> None:
        """Wakes a held message."""
        self._held = False

    # The verbs.

    async def send(
        self,
        step: str,
        *,
        exit_on_failure: bool = False,
        then_delay: tuple[str, timedelta] | None = None,
        is_last: bool = False,
    ) -> SendResult:
        """Sends the step's message: once, when it may go. Raises EntryEnded where the entry has ended meanwhile.

        Where it is known what follows, a delay or the end, that is written with the message's outcome.
        """
        entered_at = self._enter()
        task = StepTask(self._ref(), step, self._position, entered_at)
        if then_delay and not exit_on_failure:
            next_step, duration = then_delay
            task = replace(task, next_delay=NextDelay(next_step, self._position + 1, duration.total_seconds()))
        elif is_last and not exit_on_failure:
            task = replace(task, is_last=True)
        while True:
            self._held = True
            workflow.set_current_details(f"sending **{step}**")
            result = await self._send(task)
            if result.status != "hold":
                break
            since = workflow.now().isoformat(timespec="minutes").replace("+00:00", "Z")
            workflow.set_current_details(f"**{step}** is held: the campaign is {result.reason}, since {since}")
            await workflow.wait_condition(lambda: not self._held)
        self._went_on = result.went_on
        if result.status == "ended":
            raise EntryEnded(EndedBy(result.reason or EndedBy.STOPPED))
        if result.status == "failed" and exit_on_failure:
            raise EntryEnded(EndedBy.FAILURE)
        return result

    async def delay(self, step: str, duration: timedelta) -> None:
        """Waits for a fixed time."""
        entered_at = self._enter()
        until = until_text(entered_at + duration)
        details = f"delay **{step}** {until}"
        if self._went_on:
            self._went_on = False
            workflow.set_current_details(details)
        else:
            await self._rest(step, details, until)
        await self._sleep(step, duration, lambda: False)
        self._completed(step, entered_at)

    async def wait_for(
        self, step: str, names: list[str], timeout: timedelta, *, since_step: bool = False
    ) -> str | None:
        """The name of the first event that happens, or None at the time-out."""
        entered_at = self._enter()
        since = entered_at if since_step else None
        found = self._take(step, names, since)
        if found is None:
            what = f"for {', '.join(names)}, {until_text(entered_at + timeout)}"
            await self._rest(step, f"wait **{step}** {what}", what)
            await self._sleep(step, timeout, lambda: self._has(step, names, since))
            found = self._take(step, names, since)
        self._completed(step, entered_at, found or "timeout")
        return found

    async def branch(self, step: str) -> str:
        """The name of the way to go, as the customer is now."""
        entered_at = self._enter()
        choose = ProgressActivities.choose_branch
        return str(await self._act(step, choose, StepTask(self._ref(), step, self._position, entered_at)))

    async def update(self, step: str) -> None:
        """Writes the step's attributes to the customer."""
        entered_at = self._enter()
        await self._act(
            step, ProgressActivities.update_customer, StepTask(self._ref(), step, self._position, entered_at)
        )

    def exit(self, step: str, reason: str | None) -> None:
        """Ends the entry here."""
        now = self._enter()
        self._reports.append(StepReport(step, "exited", self._position, now, now, detail=reason))
        raise EntryEnded(EndedBy.EXIT_STEP)

    # How an entry runs.

    async def follow(self, story: Callable[[], Awaitable[None]]) -> str:
        """Runs the story to its end or to an exit, whichever comes first, and writes down how it ended."""
        workflow.set_current_details("beginning")
        status, ended_by = await self._until_ended(story)
        if not (status == "completed" and self._went_on):
            task = EndTask(self._ref(), status, ended_by.value)
            await self._act("end", ProgressActivities.end_entry, task)
        workflow.set_current_details(f"{status}: {ended_by.value}")
        return f"{status}: {ended_by.value}"

    async def _until_ended(self, story: Callable[[], Awaitable[None]]) -> tuple[str, EndedBy]:
        task = asyncio.ensure_future(story())
        try:
            await workflow.wait_condition(lambda: task.done() or self._may_exit())
        except asyncio.CancelledError:
            # Cancelled in Temporal: an operator takes the customer out.
            self.on_exit(ExitSignal(EndedBy.OPERATOR))
            await workflow.wait_condition(lambda: task.done() or self._may_exit())
        if not task.done():
            task.cancel()
        try:
            await task
        except EntryEnded as ended:
            # What asked for the end says more than what noticed it.
            return "exited", self._exit or ended.ended_by
        except (asyncio.CancelledError, ActivityError):
            # An activity that the exit cut short raises ActivityError; all others are retried until they work.
            if self._exit is None:
                raise
        return ("exited", self._exit) if self._exit else ("completed", EndedBy.COMPLETED)

    def _may_exit(self) -> bool:
        """A message on its way is waited for, so that none goes out after the recorded exit."""
        return self._exit is not None and not self._busy

    def _enter(self) -> datetime:
        """A step begins now, unless the entry is to end."""
        if self._exit is not None:
            raise EntryEnded(self._exit)
        self._position += 1
        self._skipped = False
        return workflow.now()

    async def _send(self, task: StepTask) -> SendResult:
        """One local try, then the normal activity, which retries for a day."""
        step = task.step
        self._busy = True
        try:
            result = await workflow.execute_local_activity_method(
                DeliveryActivities.send_message,
                task,
                start_to_close_timeout=SEND_TIMEOUT,
                retry_policy=ONE_TRY,
                summary=_summary(step),
            )
        except ActivityError:
            result = SendResult("retry")
        finally:
            self._busy = False
        if result.status != "retry":
            self._written(task.entry)
            return result
        workflow.set_current_details(f"sending **{step}**, trying again: {result.detail or 'no answer'}")
        try:
            result = await workflow.execute_activity_method(
                DeliveryActivities.send_message,
                task,
                start_to_close_timeout=SEND_TIMEOUT,
                schedule_to_close_timeout=SEND_FOR,
                retry_policy=SEND_RETRIES,
                cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                summary=_summary(step),
            )
        except ActivityError:
            if self._exit is not None:
                raise
            result = await self._act(step, DeliveryActivities.give_up_message, task)
        self._written(task.entry)
        return result

    async def _rest(self, step: str, details: str, detail: str) -> None:
        """Before a long wait: what it waits for is written where operators look."""
        workflow.set_current_details(details)
        self._reports.append(StepReport(step, "waiting", self._position, workflow.now(), detail=detail))
        await self._act(step, ProgressActivities.report, self._ref())

    async def _sleep(self, step: str, duration: timedelta, happened: Callable[[], bool]) -> None:
        try:
            await workflow.wait_condition(
                lambda: self._skipped or happened(), timeout=duration, timeout_summary=_summary(step)
            )
        except TimeoutError:
            return

    def _take(self, step: str, names: list[str], since: datetime | None) -> str | None:
        """Uses up the first event that the wait is met by."""
        for event in sorted(self._events, key=lambda one: one.at):
            if found := _match(event, step, names, since):
                self._events.remove(event)
                return found
        return None

    def _has(self, step: str, names: list[str], since: datetime | None) -> bool:
        return any(_match(event, step, names, since) for event in self._events)

    def _completed(self, step: str, entered_at: datetime, reason: str | None = None) -> None:
        self._reports.append(StepReport(step, "completed", self._position, entered_at, workflow.now(), reason=reason))

    def _ref(self) -> EntryRef:
        """The entry, with the outcomes that have come together: they travel with the call that this is for."""
        return EntryRef(self._entry.entry_id, self._entry.campaign, self._entry.version, list(self._reports))

    def _written(self, entry: EntryRef) -> None:
        """The call went through, so the outcomes that travelled with it are kept."""
        del self._reports[: len(entry.reports)]

    async def _act(self, step: str, method: Any, argument: EntryRef | StepTask | EndTask) -> Any:
        """A short local activity; the normal one takes over where the database is away."""
        try:
            result = await workflow.execute_local_activity_method(
                method, argument, start_to_close_timeout=LOCAL_TIMEOUT, retry_policy=ONE_TRY, summary=_summary(step)
            )
        except ActivityError:
            if self._exit is not None and not isinstance(argument, EndTask):
                raise
            result = await workflow.execute_activity_method(
                method,
                argument,
                start_to_close_timeout=LOCAL_TIMEOUT * 2,
                retry_policy=UNTIL_IT_WORKS,
                summary=_summary(step),
            )
        self._written(argument if isinstance(argument, EntryRef) else argument.entry)
        return result


def _match(event: EventSignal, step: str, names: list[str], since: datetime | None) -> str | None:
    if since is not None and event.at < since:
        return None
    return next((name for name in names if f"{step}/{name}" in event.matches), None)


def _summary(step: str) -> str:
    """The step's id as it fits into Temporal's limit for summaries."""
    return step.encode()[:SUMMARY_BYTES].decode(errors="ignore")
