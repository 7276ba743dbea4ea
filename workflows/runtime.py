"""What the verbs of a journey run on: Temporal, or a clock that a simulation moves."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.workflow import ActivityCancellationType

from campaigns.workflows.contract import EntryInput

ONE_TRY = RetryPolicy(maximum_attempts=1)
SUMMARY_BYTES = 200


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
        self, condition: Callable[[], bool], timeout: timedelta | None = None, step: str | None = None
    ) -> bool:
        """Waits until the condition holds; False where the time was over first."""
        ...

    async def local(self, step: str, method: Any, argument: Any, timeout: timedelta) -> Any:
        """One try of a short activity in the workflow's own worker. Raises FailureError where it fails.

        The SDK raises what a local activity failed with as it is, ApplicationError; a time-out is an ActivityError.
        """
        ...

    async def remote(
        self,
        step: str,
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
        self, condition: Callable[[], bool], timeout: timedelta | None = None, step: str | None = None
    ) -> bool:
        """One timer, if there is a time-out."""
        try:
            await workflow.wait_condition(
                condition, timeout=timeout, timeout_summary=summary(step) if step and timeout is not None else None
            )
        except TimeoutError:
            return False
        return True

    async def local(self, step: str, method: Any, argument: Any, timeout: timedelta) -> Any:
        """A local activity: one history event."""
        return await workflow.execute_local_activity_method(
            method, argument, start_to_close_timeout=timeout, retry_policy=ONE_TRY, summary=summary(step)
        )

    async def remote(
        self,
        step: str,
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
            summary=summary(step),
        )


def summary(step: str) -> str:
    """The step's id as it fits into Temporal's limit for summaries."""
    return step.encode()[:SUMMARY_BYTES].decode(errors="ignore")
