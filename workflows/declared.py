"""The interpreter of declared steps: a short recursion over the steps."""

from itertools import zip_longest

from temporalio import workflow

from campaigns.models.journey.outline import OutlineStep
from campaigns.workflows.client import DECLARED
from campaigns.workflows.contract import EntryInput
from campaigns.workflows.entry import EntryWorkflow


# Not in the sandbox, which costs a third of the worker's time: this code is ours, and tests replay its histories.
@workflow.defn(name=DECLARED, sandboxed=False)
class DeclaredJourney(EntryWorkflow):
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
            way = await self.do(step, following, is_last=last)
            await self._block(step.ways.get(way or "", []), is_last=last)
