"""The barest workflow that compares with a journey: two no-op activities and one timer."""

import asyncio
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

TASK_QUEUE = "bare"
ONE_S = timedelta(seconds=1)
TEN_S = timedelta(seconds=10)


@activity.defn
async def nothing() -> None:
    """Does nothing."""


@workflow.defn
class Bare:
    """Two normal activities and one timer between them."""

    @workflow.run
    async def run(self) -> None:
        """Runs them."""
        await workflow.execute_activity(nothing, start_to_close_timeout=TEN_S)
        await workflow.sleep(ONE_S)
        await workflow.execute_activity(nothing, start_to_close_timeout=TEN_S)


async def serve(address: str) -> None:
    """A worker with the SDK's defaults."""
    client = await Client.connect(address)
    async with Worker(client, task_queue=TASK_QUEUE, workflows=[Bare], activities=[nothing]):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
