"""An entry's workflow: one customer on one journey. Each verb is one step, with the same outcomes for all journeys.

Everything here is replayed for months: a change is guarded by `workflow.patched`, and the recorded histories in the
tests must replay.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import FailureError

from campaigns.activities.contract import (
    DelayPlan,
    EndTask,
    EntryRef,
    SendResult,
    StepTask,
    until_text,
)
from campaigns.activities.progress import ProgressActivities
from campaigns.models.channels import CHANNELS
from campaigns.models.entry import EndedBy
from campaigns.models.journey.bucketing import variant_of
from campaigns.models.journey.outline import OutlineStep
from campaigns.models.journey.steps import TIMEOUT
from campaigns.workflows.contract import Carried, EntryInput, EventSignal, ExitSignal, Rest
from campaigns.workflows.inbox import Inbox, Listening
from campaigns.workflows.runtime import Runtime, TemporalRuntime, Visit
from campaigns.workflows.trail import Trail
from campaigns.workflows.tries import Tries

END = Visit("end", 1)
"""Where the end of the entry is written: no step, whatever a step of that name does."""


class EntryEnded(BaseException):
    """Ends the journey from inside: by an exit step, by a failure, or because it was ended elsewhere.

    Not an Exception, for a journey in code that catches those is not to catch this.
    """

    def __init__(self, ended_by: EndedBy) -> None:
        self.ended_by = ended_by
        super().__init__(ended_by.value)


class EntryWorkflow:
    """The base of every journey: signals, verbs, and the end."""

    runtime: Runtime = TemporalRuntime()

    def __init__(self, entry: EntryInput) -> None:
        self._entry = entry
        self._exit: EndedBy | None = None
        self._held = False
        self._rescheduled = False
        self._at_step: str | None = None
        carried = entry.carried or Carried()
        self._trail = Trail(carried)
        self._inbox = Inbox(carried.events, carried.seen)
        self._tries: Tries
        self._completed = False
        self._skipped = carried.skipped
        self._began_at = carried.began_at

    @workflow.signal(name="event", description="An event of the customer's that this entry listens for.")
    def on_event(self, event: EventSignal) -> None:
        """Keep the event, once by its id, until a wait asks for it."""
        self._inbox.keep(event)

    @workflow.signal(name="exit", description="Takes the customer out of the journey, whatever it waits for.")
    def on_exit(self, request: ExitSignal) -> None:
        """End the entry as soon as nothing is on its way; the first cause stays."""
        if self._exit is None:
            known = request.cause in EndedBy.__members__.values()
            self._exit = EndedBy(request.cause) if known else EndedBy.OPERATOR

    @workflow.signal(name="skip_wait", description="Ends the present delay or wait, as if its time had passed.")
    def on_skip_wait(self) -> None:
        """End the present delay or wait; without one, do nothing."""
        self._skipped = True

    @workflow.signal(name="resume", description="The campaign goes on: a held message is tried again.")
    def on_resume(self) -> None:
        """Wake a held message."""
        self._held = False

    @workflow.signal(name="reschedule", description="The customer's timezone or a date has changed: plans again.")
    def on_reschedule(self) -> None:
        """Plan a delay until a time, or quiet hours, again; other steps take no notice."""
        self._rescheduled = True

    # How an entry runs.

    async def follow(self, story: Callable[[], Awaitable[None]]) -> str:
        """Run the story to its end or to an exit, whichever comes first; return how it ended, which is written down."""
        self.runtime.details("beginning")
        self._tries = Tries(self.runtime, self._entry.campaign, lambda: self._exit is not None)
        self._began_at = self._began_at or self.runtime.now()
        status, ended_by = await self._until_ended(story)
        if not (status == "completed" and self._completed):
            await self._act(ProgressActivities.end_entry, EndTask(self._ref(), status, ended_by.value))
        self.runtime.details(f"{status}: {ended_by.value}")
        return f"{status}: {ended_by.value}"

    async def do(self, step: OutlineStep, following: OutlineStep | None = None, *, is_last: bool = False) -> str | None:
        """Do the step; return a message's outcome, the name of the way to go on, or None for any other step.

        Where it is known what follows a message, a delay or the end, that is written with the message's outcome.
        Raise EntryEnded where the entry has ended.
        """
        if self._at_step is not None:
            raise RuntimeError(f"{step.id}: steps are done one after the other, and {self._at_step} is not done yet")
        if passed := self._trail.come_to(step):
            return passed.result
        self._at_step = step.id
        try:
            self._begin()
            result = await self._do(step, following, is_last=is_last)
        finally:
            self._at_step = None
        self._trail.leave(result, self.runtime.now())
        return result

    async def _do(self, step: OutlineStep, following: OutlineStep | None, *, is_last: bool) -> str | None:
        match step.type:
            case kind if kind in CHANNELS:
                return await self._message(step, following, is_last=is_last)
            case "delay":
                await self._delay(step)
            case "wait":
                return await self._wait_for(step)
            case "branch":
                return str(await self._act(ProgressActivities.choose_branch, self._task()))
            case "split":
                return self._split(step)
            case "update":
                await self._act(ProgressActivities.update_customer, self._task())
            case "exit":
                self._trail.report("exited", self.runtime.now(), detail=step.reason)
                raise EntryEnded(EndedBy.EXIT_STEP)
            case unknown:
                # Suspends the entry rather than failing it: a newer worker goes on with it.
                raise NotImplementedError(f"this worker knows no step of type {unknown}")
        return None

    async def _until_ended(self, story: Callable[[], Awaitable[None]]) -> tuple[str, EndedBy]:
        task = asyncio.ensure_future(story())
        try:
            await self.runtime.wait(lambda: task.done() or self._may_exit())
        except asyncio.CancelledError:
            # Cancelled in Temporal: an operator takes the customer out.
            self.on_exit(ExitSignal(EndedBy.OPERATOR))
            await self.runtime.wait(lambda: task.done() or self._may_exit())
        if not task.done():
            task.cancel()
        try:
            await task
        except EntryEnded as ended:
            # What asked for the end says more than what noticed it.
            return "exited", self._exit or ended.ended_by
        except (asyncio.CancelledError, FailureError):
            # An activity that the exit cut short fails; all others are retried until they work.
            if self._exit is None:
                raise
        return ("exited", self._exit) if self._exit else ("completed", EndedBy.COMPLETED)

    def _may_exit(self) -> bool:
        """A message on its way is waited for, so that none goes out after the recorded exit."""
        return self._exit is not None and not self._tries.is_sending

    def _begin(self) -> None:
        """Begin the step that the entry has come to. Raise EntryEnded where the entry is to end."""
        if self._exit is not None:
            raise EntryEnded(self._exit)
        if self.runtime.is_long():
            self._continue_as_new(self._trail.rest)
        if self._trail.rest is None:
            # A skip that came between two runs is meant for the step at which the entry rests; any other is past.
            self._skipped = False
        self._trail.begin(self.runtime.now())

    def _continue_as_new(self, rest: Rest | None) -> None:
        """Begin a new run with what is still to be known; the steps that were passed are not done again."""
        carried = Carried(
            passed=self._trail.passed,
            rest=rest,
            events=self._inbox.events,
            seen=self._inbox.seen,
            reports=self._trail.reports,
            begun=self._trail.begun,
            skipped=self._skipped and rest is not None,
            began_at=self._began_at,
        )
        self.runtime.continue_as_new(replace(self._entry, carried=carried))

    # Messages.

    async def _message(self, step: OutlineStep, following: OutlineStep | None, *, is_last: bool) -> str:
        task = self._task()
        if following and following.type == "delay" and following.seconds is not None and not step.exit_on_failure:
            task = replace(task, next_delay=self._trail.next_delay(following, following.seconds))
        elif is_last and not step.exit_on_failure:
            task = replace(task, is_last=True)
        while True:
            self._held, self._rescheduled = True, False
            self.runtime.details(f"sending **{step.id}**")
            result = await self._tries.send(self._trail.visit, task, transactional=step.transactional)
            self._trail.drop_reports(task.entry.reports)
            if result.status != "hold":
                break
            await self._hold(step.id, result)
        self._trail.begun, self._completed = result.begun, result.completed
        if result.status == "ended":
            raise EntryEnded(EndedBy(result.reason or EndedBy.STOPPED))
        if result.status == "failed" and step.exit_on_failure:
            raise EntryEnded(EndedBy.FAILURE)
        return result.status

    async def _hold(self, step: str, result: SendResult) -> None:
        """Wait until the message may be tried again."""
        if result.until is None:
            since = self.runtime.now().isoformat(timespec="minutes").replace("+00:00", "Z")
            self.runtime.details(f"**{step}** is held: the campaign is {result.reason}, since {since}")
            await self.runtime.wait(lambda: not self._held or self.runtime.is_long())
        else:
            self.runtime.details(f"**{step}** is held: {result.reason}, {until_text(result.until)}")
            left = max(result.until - self.runtime.now(), timedelta(0))
            await self.runtime.wait(
                lambda: not self._held or self._rescheduled or self.runtime.is_long(), left, self._trail.visit
            )
        if self._held and self.runtime.is_long():
            self._continue_as_new(self._trail.resting())

    # Delays and waits.

    async def _delay(self, step: OutlineStep) -> None:
        if step.seconds is None:
            await self._delay_until(step.id)
            return
        end = self._trail.entered_at + timedelta(seconds=step.seconds)
        await self._rest(step, until_text(end), end, lambda: False, ProgressActivities.begin_delay)
        self._trail.report("completed", self.runtime.now())

    async def _delay_until(self, step: str) -> None:
        """Wait until a time that depends on the customer: it is planned again when their zone or date changes."""
        while True:
            self._rescheduled = False
            task = replace(self._task(), now=self.runtime.now())
            plan: DelayPlan = await self._act(ProgressActivities.plan_delay, task)
            if plan.until is None:
                return
            self.runtime.details(f"delay **{step}** {until_text(plan.until)}")
            await self._sleep(plan.until, lambda: self._rescheduled)
            if not self._rescheduled or self._skipped:
                self._trail.report("completed", self.runtime.now(), detail=plan.warning)
                return

    async def _wait_for(self, step: OutlineStep) -> str:
        names = [name for name in step.ways if name != TIMEOUT]
        since = self._trail.entered_at if step.since == "step" else None
        wait = Listening(step.id, names, self._trail.last_messages, since)
        self._inbox.forget_before(wait)
        way = self._inbox.take(wait)
        if way is None:
            end = self._trail.entered_at + timedelta(seconds=step.seconds or 0)
            what = f"for {', '.join(names)}, {until_text(end)}"
            await self._rest(step, what, end, lambda: self._inbox.has(wait), ProgressActivities.begin_wait)
            way = self._inbox.take(wait) or TIMEOUT
        self._trail.report("completed", self.runtime.now(), reason=way)
        return way

    async def _rest(
        self, step: OutlineStep, what: str, end: datetime, happened: Callable[[], bool], begin: Any
    ) -> None:
        """Wait until the end, or until something has happened; what for is written where operators look.

        Temporal compares timers by their order alone: the activity `begin` before the timer says whose it is. There is
        none where the beginning was written before, with a message or in an earlier run.
        """
        self.runtime.details(f"{step.type} **{step.id}** {what}")
        if not self._trail.is_written:
            self._trail.report("waiting", detail=what)
            await self._act(begin, self._ref())
        await self._sleep(end, happened)

    async def _sleep(self, end: datetime, happened: Callable[[], bool]) -> None:
        """Sleep until the end, or until something has happened; go on in a new run where the history is long."""
        left = max(end - self.runtime.now(), timedelta(0))
        in_time = await self.runtime.wait(
            lambda: self._skipped or happened() or self.runtime.is_long(), left, self._trail.visit
        )
        if in_time and not self._skipped and not happened() and self._exit is None:
            self._continue_as_new(self._trail.resting())

    # Ways.

    def _split(self, step: OutlineStep) -> str:
        way = variant_of(self._entry.campaign, step.id, self._entry.customer_id, step.weights)
        self._trail.report("completed", self.runtime.now(), reason=way)
        return way

    # Reports and activities.

    def _ref(self) -> EntryRef:
        """The entry, with the outcomes that have come together: they travel with the call that this is for."""
        return EntryRef(self._entry.entry_id, self._entry.campaign, self._entry.version, list(self._trail.reports))

    def _task(self) -> StepTask:
        return self._trail.task(self._ref())

    async def _act(self, method: Any, argument: EntryRef | StepTask | EndTask) -> Any:
        """Call an activity of the present step, or the one that ends the entry, which stands at no step."""
        visit = END if isinstance(argument, EndTask) else self._trail.visit
        result = await self._tries.act(visit, method, argument)
        entry = argument if isinstance(argument, EntryRef) else argument.entry
        self._trail.drop_reports(entry.reports)
        return result
