"""The interpreter of declared steps: a short recursion over the verbs."""

from datetime import timedelta

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
        return await self.follow(lambda: self._block(entry.steps))

    async def _block(self, steps: list[OutlineStep]) -> None:
        for step in steps:
            await self._block(step.ways.get(await self._step(step) or "", []))

    async def _step(self, step: OutlineStep) -> str | None:
        """Does the step; the name of the way to go on below it, if it has any."""
        match step.type:
            case "email" | "sms":
                await self.send(step.id, exit_on_failure=step.exit_on_failure)
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
