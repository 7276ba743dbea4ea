"""An entry's workflow: one customer on one journey. Each verb is one step, with the same outcomes for all journeys.

Everything here is replayed for months: a change is guarded by `workflow.patched`, and the recorded histories in the
tests must replay.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, FailureError

from campaigns.activities.contract import (
    DelayPlan,
    EndTask,
    EntryRef,
    NextDelay,
    SendResult,
    StepReport,
    StepTask,
    until_text,
)
from campaigns.activities.delivery.activity import DeliveryActivities
from campaigns.activities.progress import ProgressActivities
from campaigns.models.decision import EndedBy
from campaigns.models.journey.bucketing import variant_of
from campaigns.models.journey.outline import OutlineStep
from campaigns.models.journey.steps import TIMEOUT
from campaigns.workflows.contract import Carried, EntryInput, EventSignal, ExitSignal, Passed, Rest
from campaigns.workflows.runtime import Runtime, TemporalRuntime, Visit

# A local activity is short: where it does not succeed at once, the normal one takes over, with its queue and back-off.
LOCAL_TIMEOUT = timedelta(seconds=10)
SEND_TIMEOUT = timedelta(seconds=28)
UNTIL_IT_WORKS = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
SEND_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=15))
SEND_FOR = timedelta(days=1)
QUEUED_RETRIES = replace(SEND_RETRIES, maximum_attempts=106)
"""Where a provider's rate is limited the wait for one's turn is no retry: as many tries as a day holds."""
TRANSACTIONAL, MARKETING = 1, 3
"""Priorities of messages on the task queue; 3 is Temporal's own for all else."""
KEPT_EVENTS = 5_000
"""So many events wait for a wait to use them; no journey has that many waits, and a payload has its limit."""
SEEN_EVENTS = 2_000
"""So many ids of events are taken along when an entry continues as new: doubles come soon, or never."""

END = Visit("end", 1)
"""Where the end of the entry is written: no step, whatever a step of that name does."""
MESSAGES = ("email", "sms", "whatsapp", "push", "webhook")


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
        self._busy = False
        self._at_step: str | None = None
        self._last_messages: dict[str, str] = {}
        self._passed: list[Passed] = []
        self._visits: Counter[str] = Counter()
        carried = entry.carried or Carried([], None, [], [], [], begun=None)
        self._reports = list(carried.reports)
        self._events = list(carried.events)
        self._seen = dict.fromkeys(carried.seen)
        self._past = deque(carried.passed)
        self._rest = carried.rest
        self._begun = carried.begun
        self._completed = False
        self._skipped = carried.skipped
        self._began_at = carried.began_at

    @workflow.signal(name="event", description="An event of the customer's that this entry listens for.")
    def on_event(self, event: EventSignal) -> None:
        """Keeps the event, once by its id, until a wait asks for it."""
        if event.event_id not in self._seen:
            self._seen[event.event_id] = None
            if len(self._events) < KEPT_EVENTS:
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

    @workflow.signal(name="reschedule", description="The customer's timezone or a date has changed: plans again.")
    def on_reschedule(self) -> None:
        """A delay until a time, and quiet hours, are planned again; other steps take no notice."""
        self._rescheduled = True

    # How an entry runs.

    async def follow(self, story: Callable[[], Awaitable[None]]) -> str:
        """Runs the story to its end or to an exit, whichever comes first, and writes down how it ended."""
        self.runtime.details("beginning")
        self._began_at = self._began_at or self.runtime.now()
        status, ended_by = await self._until_ended(story)
        if not (status == "completed" and self._completed):
            await self._act(END, ProgressActivities.end_entry, EndTask(self._ref(), status, ended_by.value))
        self.runtime.details(f"{status}: {ended_by.value}")
        return f"{status}: {ended_by.value}"

    async def do(self, step: OutlineStep, following: OutlineStep | None = None, *, is_last: bool = False) -> str | None:
        """Does the step. Answers a message's outcome, or the name of the way to go on.

        Where it is known what follows a message, a delay or the end, that is written with the message's outcome.
        Raises EntryEnded where the entry has ended.
        """
        if self._at_step is not None:
            raise RuntimeError(f"{step.id}: steps are done one after the other, and {self._at_step} is not done yet")
        self._visits[step.id] += 1
        if step.type in MESSAGES:
            self._last_messages[step.type] = step.id
        if self._past:
            return self._again(step.id)
        self._check_begun(step)
        self._at_step = step.id
        try:
            result = await self._do(step, following, is_last=is_last)
        finally:
            self._at_step = None
        self._passed.append(Passed(step.id, result, self.runtime.now()))
        return result

    async def _do(self, step: OutlineStep, following: OutlineStep | None, *, is_last: bool) -> str | None:
        match step.type:
            case kind if kind in MESSAGES:
                return await self._message(step, following, is_last=is_last)
            case "delay":
                await self._delay(step)
            case "wait":
                return await self._wait_for(step)
            case "branch":
                return str(await self._act_at(step, ProgressActivities.choose_branch))
            case "split":
                return self._split(step)
            case "update":
                await self._act_at(step, ProgressActivities.update_customer)
            case "exit":
                now = self._enter(step.id)
                self._report(step.id, "exited", now, now, detail=step.reason)
                raise EntryEnded(EndedBy.EXIT_STEP)
            case unknown:
                # Suspends the entry rather than failing it: a newer worker goes on with it.
                raise NotImplementedError(f"this worker knows no step of type {unknown}")
        return None

    def _again(self, step: str) -> str | None:
        """What the step answered in an earlier run of this entry."""
        passed = self._past.popleft()
        if passed.step != step:
            raise workflow.NondeterminismError(
                f"the journey came to {step}, where an earlier run of the entry had come to {passed.step}"
            )
        self._passed.append(passed)
        return passed.result

    def _check_begun(self, step: OutlineStep) -> None:
        """A delay that began with the message before it has no activity of its own to say which delay it is."""
        if self._begun and (step.id, step.type) != (self._begun, "delay"):
            raise workflow.NondeterminismError(
                f"the journey came to {step.type} {step.id}, where delay {self._begun} had begun"
            )

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
        return self._exit is not None and not self._busy

    def _enter(self, step: str) -> datetime:
        """When the step begins: now, unless the entry is to end, or rested at it when it continued as new."""
        if self._exit is not None:
            raise EntryEnded(self._exit)
        if self.runtime.is_long():
            self._continue_as_new(self._rest)
        if self._rest and self._rest.step == step:
            # A skip that came between the two runs is meant for this step.
            return self._rest.entered_at
        self._skipped = False
        return self.runtime.now()

    def _continue_as_new(self, rest: Rest | None) -> None:
        """Takes along what is still to be known; the steps that were passed are not done again."""
        carried = Carried(
            passed=self._passed,
            rest=rest,
            events=self._events,
            seen=list(self._seen)[-SEEN_EVENTS:],
            reports=self._reports,
            begun=self._begun,
            skipped=self._skipped and rest is not None,
            began_at=self._began_at,
        )
        self.runtime.continue_as_new(replace(self._entry, carried=carried))

    def _rested(self, step: str) -> Rest | None:
        """Where the entry rested at this very step when it continued as new."""
        rest, self._rest = self._rest, None
        return rest if rest and rest.step == step else None

    # Messages.

    async def _message(self, step: OutlineStep, following: OutlineStep | None, *, is_last: bool) -> str:
        entered_at = self._enter(step.id)
        self._rested(step.id)
        task = self._task(step.id, entered_at)
        if following and following.type == "delay" and following.seconds is not None and not step.exit_on_failure:
            position, repetition = self._position + 1, self._visits[following.id] + 1
            task = replace(task, next_delay=NextDelay(following.id, position, following.seconds, repetition))
        elif is_last and not step.exit_on_failure:
            task = replace(task, is_last=True)
        while True:
            self._held, self._rescheduled = True, False
            self.runtime.details(f"sending **{step.id}**")
            result = await self._send(task, step)
            if result.status != "hold":
                break
            await self._hold(step.id, entered_at, result)
        self._begun, self._completed = result.begun, result.completed
        if result.status == "ended":
            raise EntryEnded(EndedBy(result.reason or EndedBy.STOPPED))
        if result.status == "failed" and step.exit_on_failure:
            raise EntryEnded(EndedBy.FAILURE)
        return result.status

    async def _hold(self, step: str, entered_at: datetime, result: SendResult) -> None:
        """Waits until the message may be tried again."""
        if result.until is None:
            since = self.runtime.now().isoformat(timespec="minutes").replace("+00:00", "Z")
            self.runtime.details(f"**{step}** is held: the campaign is {result.reason}, since {since}")
            await self.runtime.wait(lambda: not self._held or self.runtime.is_long())
        else:
            self.runtime.details(f"**{step}** is held: {result.reason}, {until_text(result.until)}")
            left = max(result.until - self.runtime.now(), timedelta(0))
            await self.runtime.wait(
                lambda: not self._held or self._rescheduled or self.runtime.is_long(), left, self._visit(step)
            )
        if self._held and self.runtime.is_long():
            self._continue_as_new(Rest(step, entered_at))

    async def _send(self, task: StepTask, outline: OutlineStep) -> SendResult:
        """One local try, then the normal activity, which retries for a day.

        Where the queue of messages is long, transactional ones go first, and campaigns take turns where the server
        is set to be fair (https://docs.temporal.io/develop/task-queue-priority-fairness).
        """
        step = task.step
        self._busy = True
        try:
            result: SendResult = await self.runtime.local(
                self._visit(step), DeliveryActivities.send_message, task, SEND_TIMEOUT
            )
        except FailureError:
            result = SendResult("retry")
        finally:
            self._busy = False
        while result.status == "retry":
            self.runtime.details(f"sending **{step}**, trying again: {result.detail or 'no answer'}")
            result = await self._send_by_queue(task, outline, result.queue)
        self._written(task.entry)
        return result

    async def _send_by_queue(self, task: StepTask, outline: OutlineStep, queue: str | None) -> SendResult:
        """The normal activity, on the queue of a provider whose rate is limited or on the worker's."""
        step = task.step
        try:
            result: SendResult = await self.runtime.remote(
                self._visit(step),
                DeliveryActivities.send_message,
                task,
                SEND_TIMEOUT,
                QUEUED_RETRIES if queue else SEND_RETRIES,
                None if queue else SEND_FOR,
                finishes=True,
                queue=queue,
                priority=Priority(
                    priority_key=TRANSACTIONAL if outline.transactional else MARKETING,
                    fairness_key=self._entry.campaign,
                ),
            )
        except ActivityError:
            if self._exit is not None:
                raise
            result = await self._act(self._visit(step), DeliveryActivities.give_up_message, task)
        return result

    # Delays and waits.

    async def _delay(self, step: OutlineStep) -> None:
        entered_at = self._enter(step.id)
        rested = self._rested(step.id)
        if step.seconds is None:
            await self._delay_until(step.id, entered_at)
            return
        duration = timedelta(seconds=step.seconds)
        until = until_text(entered_at + duration)
        details = f"delay **{step.id}** {until}"
        if self._begun or rested:
            self._begun = None
            self.runtime.details(details)
        else:
            await self._begin_rest(step.id, ProgressActivities.begin_delay, entered_at, details, until)
        await self._sleep(step.id, entered_at, entered_at + duration, lambda: False)
        self._report(step.id, "completed", entered_at, self.runtime.now())

    async def _delay_until(self, step: str, entered_at: datetime) -> None:
        """A delay whose end depends on the customer: it is planned again when their zone or date changes."""
        while True:
            self._rescheduled = False
            task = replace(self._task(step, entered_at), now=self.runtime.now())
            plan: DelayPlan = await self._act(self._visit(step), ProgressActivities.plan_delay, task)
            if plan.until is None:
                return
            self.runtime.details(f"delay **{step}** {until_text(plan.until)}")
            await self._sleep(step, entered_at, plan.until, lambda: self._rescheduled)
            if not self._rescheduled or self._skipped:
                self._report(step, "completed", entered_at, self.runtime.now(), detail=plan.warning)
                return

    async def _wait_for(self, step: OutlineStep) -> str:
        entered_at = self._enter(step.id)
        rested = self._rested(step.id)
        names = [name for name in step.ways if name != TIMEOUT]
        since = entered_at if step.since == "step" else None
        if since:
            self._forget_before(since, {f"{step.id}/{name}" for name in names})
        found = self._take(step.id, names, since)
        if found is None:
            until = entered_at + timedelta(seconds=step.seconds or 0)
            what = f"for {', '.join(names)}, {until_text(until)}"
            details = f"wait **{step.id}** {what}"
            if rested:
                self.runtime.details(details)
            else:
                await self._begin_rest(step.id, ProgressActivities.begin_wait, entered_at, details, what)
            await self._sleep(step.id, entered_at, until, lambda: self._has(step.id, names, since))
            found = self._take(step.id, names, since)
        way = found or TIMEOUT
        self._report(step.id, "completed", entered_at, self.runtime.now(), reason=way)
        return way

    async def _begin_rest(self, step: str, method: Any, entered_at: datetime, details: str, detail: str) -> None:
        """Before a long wait: what it waits for is written where operators look.

        Temporal compares timers by their order alone; this activity before each timer is what says whose it is.
        """
        self.runtime.details(details)
        self._report(step, "waiting", entered_at, detail=detail)
        await self._act(self._visit(step), method, self._ref())

    async def _sleep(self, step: str, entered_at: datetime, until: datetime, happened: Callable[[], bool]) -> None:
        """Until the time has come, or something has happened; goes on in a new run where the history is long."""
        left = max(until - self.runtime.now(), timedelta(0))
        in_time = await self.runtime.wait(
            lambda: self._skipped or happened() or self.runtime.is_long(), left, self._visit(step)
        )
        if in_time and not self._skipped and not happened() and self._exit is None:
            self._continue_as_new(Rest(step, entered_at))

    def _take(self, step: str, names: list[str], since: datetime | None) -> str | None:
        """Uses up the first event that the wait is met by."""
        for event in sorted(self._events, key=lambda one: one.at):
            if found := self._match(event, step, names, since):
                self._events.remove(event)
                return found
        return None

    def _has(self, step: str, names: list[str], since: datetime | None) -> bool:
        return any(self._match(event, step, names, since) for event in self._events)

    def _match(self, event: EventSignal, step: str, names: list[str], since: datetime | None) -> str | None:
        if since is not None and event.at < since:
            return None
        for name in names:
            key = f"{step}/{name}"
            if key in event.matches and event.message_steps.get(key) in (None, *self._last_messages.values()):
                return name
        return None

    def _forget_before(self, since: datetime, keys: set[str]) -> None:
        """Events that only this wait could have used, and that came too early for it."""
        self._events = [event for event in self._events if event.at >= since or not keys.issuperset(event.matches)]

    # Ways.

    def _split(self, step: OutlineStep) -> str:
        now = self._enter(step.id)
        way = variant_of(self._entry.campaign, step.id, self._entry.customer_id, step.weights)
        self._report(step.id, "completed", now, now, reason=way)
        return way

    # Reports and activities.

    @property
    def _position(self) -> int:
        """Counts the steps that the entry has come to."""
        return self._visits.total()

    def _visit(self, step: str) -> Visit:
        return Visit(step, self._visits[step])

    def _report(
        self,
        step: str,
        outcome: str,
        entered_at: datetime,
        ended_at: datetime | None = None,
        *,
        reason: str | None = None,
        detail: str | None = None,
    ) -> None:
        self._reports.append(
            StepReport(step, outcome, self._position, entered_at, ended_at, reason, detail, self._visits[step])
        )

    def _ref(self) -> EntryRef:
        """The entry, with the outcomes that have come together: they travel with the call that this is for."""
        return EntryRef(self._entry.entry_id, self._entry.campaign, self._entry.version, list(self._reports))

    def _task(self, step: str, entered_at: datetime) -> StepTask:
        return StepTask(self._ref(), step, self._position, entered_at, self._visits[step])

    def _written(self, entry: EntryRef) -> None:
        """The call went through, so the outcomes that travelled with it are kept."""
        del self._reports[: len(entry.reports)]

    async def _act_at(self, step: OutlineStep, method: Any) -> Any:
        """An activity that is the whole step."""
        entered_at = self._enter(step.id)
        self._rested(step.id)
        return await self._act(self._visit(step.id), method, self._task(step.id, entered_at))

    async def _act(self, visit: Visit, method: Any, argument: EntryRef | StepTask | EndTask) -> Any:
        """A short local activity; the normal one takes over where the database is away."""
        try:
            result = await self.runtime.local(visit, method, argument, LOCAL_TIMEOUT)
        except FailureError:
            if self._exit is not None and not isinstance(argument, EndTask):
                raise
            result = await self.runtime.remote(visit, method, argument, LOCAL_TIMEOUT * 2, UNTIL_IT_WORKS)
        self._written(argument if isinstance(argument, EntryRef) else argument.entry)
        return result
