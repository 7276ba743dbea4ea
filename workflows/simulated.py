"""A runtime whose time moves only when it is told to: the verbs of a journey, without Temporal."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn

from temporalio.common import Priority, RetryPolicy

from campaigns.models.values import time_moved_to
from campaigns.workflows.contract import EntryInput
from campaigns.workflows.runtime import Visit

SETTLING = 10
"""So many turns of the loop without anything under way, and nothing more happens until time moves."""


class TooLong(Exception):
    """The journey does not come to an end within bounds."""


class SimulatedRuntime:
    """Runs activities in this process, at its own time. `activities` are the instances that hold them."""

    def __init__(
        self, start: datetime, activities: list[object], after_activity: Callable[[], Any], limit: int
    ) -> None:
        self._now = start
        self._activities = {type(holder): holder for holder in activities}
        self._after_activity = after_activity
        self._left = limit
        self._under_way = 0
        self._waiting: list[tuple[datetime | None, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The simulated present."""
        return self._now

    def details(self, text: str) -> None:
        """Nobody looks."""

    def is_long(self) -> bool:
        """There is no history."""
        return False

    def patched(self, change: str) -> bool:
        """The newest code."""
        return True

    def continue_as_new(self, entry: EntryInput) -> NoReturn:
        """Never asked for."""
        raise AssertionError("a simulation has no history that could grow long")

    async def wait(
        self, condition: Callable[[], bool], timeout: timedelta | None = None, visit: Visit | None = None
    ) -> bool:
        """Looks again whenever something may have changed."""
        deadline = None if timeout is None else self._now + timeout
        while not condition():
            if deadline is not None and self._now >= deadline:
                return False
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((deadline, woken))
            await woken
        return True

    async def local(self, visit: Visit, method: Any, argument: Any, timeout: timedelta) -> Any:
        """The activity itself, now."""
        self._left -= 1
        if self._left < 0:
            raise TooLong
        owner = next(
            holder for kind, holder in self._activities.items() if method.__qualname__.startswith(kind.__name__)
        )
        self._under_way += 1
        try:
            with time_moved_to(self._now):
                result = await getattr(owner, method.__name__)(argument)
                await self._after_activity()
        finally:
            self._under_way -= 1
        return result

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
        """As the local one: nothing fails here."""
        return await self.local(visit, method, argument, timeout)

    async def settle(self) -> None:
        """Until everything that can happen at this moment has happened."""
        quiet = 0
        while quiet < SETTLING:
            waiting, self._waiting = self._waiting, []
            for _, woken in waiting:
                if not woken.done():
                    woken.set_result(None)
            await asyncio.sleep(0)
            quiet = 0 if self._under_way else quiet + 1

    def next_deadline(self) -> datetime | None:
        """When the next timer fires."""
        return min((deadline for deadline, _ in self._waiting if deadline is not None), default=None)

    def move_to(self, moment: datetime) -> None:
        """Lets the time pass."""
        self._now = max(self._now, moment)
