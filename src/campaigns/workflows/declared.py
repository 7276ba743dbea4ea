"""The interpreter of declared steps: a short recursion over the verbs."""

from datetime import timedelta
from itertools import zip_longest

from temporalio import workflow

from campaigns.models.outline import EntryInput, OutlineStep
from campaigns.models.steps import TIMEOUT
from campaigns.workflows.journey import Journey


# Not in the sandbox, which costs a third of the worker's time: this code is ours, and tests replay its histories.
@workflow.defn(name="Entry", sandboxed=False)
class DeclaredJourney(Journey):
    """One customer's entry to a campaign whose steps are data."""

    @workflow.init
    def __init__(self, entry: EntryInput) -> None:
        super().__init__(entry)

    @workflow.run
    async def run(self, entry: EntryInput) -> str:
        """Follows the steps; answers how the entry ended."""
        return await self.follow(lambda: self._block(entry.steps, is_last=True))

    async def _block(self, steps: list[OutlineStep], *, is_last: bool) -> None:
        """Does the steps; `is_last` where nothing follows the block."""
        for step, following in zip_longest(steps, steps[1:]):
            last = is_last and following is None
            way = await self._step(step, following, is_last=last)
            await self._block(step.ways.get(way or "", []), is_last=last)

    async def _step(self, step: OutlineStep, following: OutlineStep | None, *, is_last: bool) -> str | None:
        """Does the step; the name of the way to go on below it, if it has any."""
        match step.type:
            case "email" | "sms":
                delay = None
                if following and following.type == "delay":
                    delay = (following.id, timedelta(seconds=following.seconds or 0))
                await self.send(step.id, exit_on_failure=step.exit_on_failure, then_delay=delay, is_last=is_last)
            case "delay":
                await self.delay(step.id, timedelta(seconds=step.seconds or 0))
            case "wait":
                names = [name for name in step.ways if name != TIMEOUT]
                timeout = timedelta(seconds=step.seconds or 0)
                found = await self.wait_for(step.id, names, timeout, since_step=step.since == "step")
                return found or TIMEOUT
            case "branch":
                return await self.branch(step.id)
            case "update":
                await self.update(step.id)
            case "exit":
                self.exit(step.id, step.reason)
            case unknown:
                # Suspends the entry rather than failing it: a newer worker goes on with it.
                raise NotImplementedError(f"this worker knows no step of type {unknown}")
        return None
