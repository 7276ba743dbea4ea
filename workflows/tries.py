"""How an entry's activities are tried: at once in the workflow's own worker, then by the queue."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, FailureError

from campaigns.activities.contract import EndTask, EntryRef, SendResult, StepTask
from campaigns.activities.delivery.activity import DeliveryActivities
from campaigns.workflows.runtime import Runtime, Visit

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


class Tries:
    """The activities of one entry; `is_to_end` says that it is to end, and that what fails then is not tried again."""

    def __init__(self, runtime: Runtime, campaign: str, is_to_end: Callable[[], bool]) -> None:
        self._runtime = runtime
        self._campaign = campaign
        self._is_to_end = is_to_end
        self.is_sending = False
        """Whether a message is on its way in a local activity, which no exit may cut short."""

    async def act(self, visit: Visit, method: Any, argument: EntryRef | StepTask | EndTask) -> Any:
        """Call a short activity; the queue takes over where the database is away."""
        try:
            return await self._runtime.local(visit, method, argument, LOCAL_TIMEOUT)
        except FailureError:
            if self._is_to_end() and not isinstance(argument, EndTask):
                raise
            return await self._runtime.remote(visit, method, argument, LOCAL_TIMEOUT * 2, UNTIL_IT_WORKS)

    async def send(self, visit: Visit, task: StepTask, *, transactional: bool) -> SendResult:
        """Send the message: one local try, then the queue, for a day.

        Where the queue of messages is long, transactional ones go first, and campaigns take turns where the server
        is set to be fair (https://docs.temporal.io/develop/task-queue-priority-fairness).
        """
        priority = Priority(priority_key=TRANSACTIONAL if transactional else MARKETING, fairness_key=self._campaign)
        result = await self._send_at_once(visit, task)
        while result.status == "retry":
            self._runtime.details(f"sending **{task.step}**, trying again: {result.detail or 'no answer'}")
            result = await self._send_by_queue(visit, task, priority, result.queue)
        return result

    async def _send_at_once(self, visit: Visit, task: StepTask) -> SendResult:
        self.is_sending = True
        try:
            result: SendResult = await self._runtime.local(visit, DeliveryActivities.send_message, task, SEND_TIMEOUT)
        except FailureError:
            return SendResult("retry")
        finally:
            self.is_sending = False
        return result

    async def _send_by_queue(self, visit: Visit, task: StepTask, priority: Priority, queue: str | None) -> SendResult:
        """Send by the queue of a provider whose rate is limited, or by the worker's."""
        try:
            result: SendResult = await self._runtime.remote(
                visit,
                DeliveryActivities.send_message,
                task,
                SEND_TIMEOUT,
                QUEUED_RETRIES if queue else SEND_RETRIES,
                None if queue else SEND_FOR,
                finishes=True,
                queue=queue,
                priority=priority,
            )
        except ActivityError:
            if self._is_to_end():
                raise
            result = await self.act(visit, DeliveryActivities.give_up_message, task)
        return result
