"""What the verbs of a journey run on: Temporal, or a clock that a simulation moves."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NoReturn, Protocol, get_type_hints

from temporalio import workflow
from temporalio.common import Priority, RawValue, RetryPolicy
from temporalio.workflow import ActivityCancellationType

from campaigns.workflows.contract import EntryInput

ONE_TRY = RetryPolicy(maximum_attempts=1)
SUMMARY_BYTES = 200
ACTIVITY_ID_BYTES = 900
"""Temporal's limit is 1,000; a step's id may have 255 characters of four bytes each."""


@dataclass(frozen=True)
class Visit:
    """One passage of an entry through a step, which its activities and timers name."""

    step: str
    repetition: int

    def activity_id(self, method: Any) -> str:
        """`<step>.<method>.<repetition>`, by which a replay finds out that the story came to another step.

        Temporal compares types and ids, neither arguments nor summaries. A further try within the visit, by the queue
        or after a hold, has the id of the first: it is the same thing, and an entry does one thing at a time, so no
        two activities of one id are open together.
        """
        return f"{_cut(self.step, ACTIVITY_ID_BYTES)}.{method.__name__}.{self.repetition}"

    @property
    def summary(self) -> str:
        """The step's id as it fits into Temporal's limit for summaries."""
        return _cut(self.step, SUMMARY_BYTES)


class Runtime(Protocol):
    """Time, activities, and what operators see."""

    def now(self) -> datetime:
        """The present."""
        ...

    def details(self, text: str) -> None:
        """Shows what the entry does now."""
        ...

    def is_long(self) -> bool:
        """Whether the history has grown so long that the entry should continue as new."""
        ...

    def patched(self, change: str) -> bool:
        """Whether a change of the code applies to this run."""
        ...

    def continue_as_new(self, entry: EntryInput) -> NoReturn:
        """Ends this run, and begins the next one with this input."""
        ...

    async def wait(
        self, condition: Callable[[], bool], timeout: timedelta | None = None, visit: Visit | None = None
    ) -> bool:
        """Waits until the condition holds; False where the time was over first."""
        ...

    async def local(self, visit: Visit, method: Any, argument: Any, timeout: timedelta) -> Any:
        """One try of a short activity in the workflow's own worker. Raises FailureError where it fails.

        The SDK raises what a local activity failed with as it is, ApplicationError; a time-out is an ActivityError.
        """
        ...

    async def remote(
        self,
        visit: Visit,
        method: Any,
        argument: Any,
        timeout: timedelta,
        retries: RetryPolicy,
        within: timedelta | None = None,
        *,
        finishes: bool = False,
        priority: Priority = Priority.default,
        queue: str | None = None,
    ) -> Any:
        """An activity on the queue, retried; one that `finishes` is waited for where it is cancelled."""
        ...


class TemporalRuntime:
    """The real one."""

    def now(self) -> datetime:
        """The workflow's time."""
        return workflow.now()

    def details(self, text: str) -> None:
        """The current details in the web UI."""
        workflow.set_current_details(text)

    def is_long(self) -> bool:
        """As the server suggests."""
        return workflow.info().is_continue_as_new_suggested()

    def patched(self, change: str) -> bool:
        """The SDK's patch."""
        return workflow.patched(change)

    def continue_as_new(self, entry: EntryInput) -> NoReturn:
        """The next run of the same workflow id."""
        workflow.continue_as_new(entry)

    async def wait(
        self, condition: Callable[[], bool], timeout: timedelta | None = None, visit: Visit | None = None
    ) -> bool:
        """One timer, if there is a time-out."""
        try:
            await workflow.wait_condition(
                condition, timeout=timeout, timeout_summary=visit.summary if visit and timeout is not None else None
            )
        except TimeoutError:
            return False
        return True

    async def local(self, visit: Visit, method: Any, argument: Any, timeout: timedelta) -> Any:
        """A local activity: one history event."""
        result = await workflow.execute_local_activity(
            method.__name__,
            argument,
            result_type=RawValue,
            activity_id=visit.activity_id(method),
            start_to_close_timeout=timeout,
            retry_policy=ONE_TRY,
            summary=visit.summary,
        )
        return await _read(result, method)

    async def remote(
        self,
        visit: Visit,
        method: Any,
        argument: Any,
        timeout: timedelta,
        retries: RetryPolicy,
        within: timedelta | None = None,
        *,
        finishes: bool = False,
        priority: Priority = Priority.default,
        queue: str | None = None,
    ) -> Any:
        """A normal activity."""
        cancellation = ActivityCancellationType.TRY_CANCEL
        if finishes:
            cancellation = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
        return await workflow.execute_activity_method(
            method,
            argument,
            start_to_close_timeout=timeout,
            schedule_to_close_timeout=within,
            retry_policy=retries,
            cancellation_type=cancellation,
            priority=priority,
            task_queue=queue,
            activity_id=visit.activity_id(method),
            summary=visit.summary,
        )


async def _read(result: RawValue, method: Any) -> Any:
    """The result of a local activity as its method's type.

    A replay hands out recorded results by their order, and compares ids only when the story has come to a stop. So a
    story that does other steps now may be handed the result of another method: it stops here, and Temporal's error
    says which activity is recorded and which the story came to. The error of the conversion would hide that.
    """
    kind = _result_type(method)
    try:
        value = workflow.payload_converter().from_payload(result.payload, kind)
        if value is None and kind is not type(None):
            raise TypeError(f"{method.__name__} answers {kind.__name__}, and the result is null")
    except (TypeError, ValueError, RuntimeError):
        await workflow.wait_condition(lambda: not workflow.unsafe.is_replaying())
        raise
    return value


@cache
def _result_type(method: Any) -> Any:
    return get_type_hints(method)["return"]


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
