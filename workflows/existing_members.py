"""Bulk work of the starter as workflows: visible in Temporal's web UI, and outliving any process.

The starters serve their own task queue, so that their activities stay in their room.
"""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

ENTER_EXISTING = "enter_existing_members"
HEARTBEAT = timedelta(seconds=20)
RETRIES = RetryPolicy(maximum_interval=timedelta(seconds=10))


@dataclass(frozen=True)
class EnteringProgress:
    """How far it has come."""

    done: int
    left: int


def starter_queue(task_queue: str) -> str:
    """The task queue that the starters serve."""
    return f"{task_queue}-starter"


@workflow.defn(name="ExistingMembers", sandboxed=False)
class ExistingMembers:
    """Enters those who were members of a campaign's segments when it was started, each once, at a bounded rate."""

    @workflow.run
    async def run(self, campaign: str) -> int:
        """How many were decided about."""
        done = 0
        while True:
            workflow.set_current_details(f"existing members of **{campaign}**: {done} decided about")
            progress: EnteringProgress = await workflow.execute_activity(
                ENTER_EXISTING,
                campaign,
                result_type=EnteringProgress,
                start_to_close_timeout=timedelta(minutes=10),
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RETRIES,
                summary=campaign,
            )
            done += progress.done
            if not progress.left:
                workflow.set_current_details(f"existing members of **{campaign}**: all {done} decided about")
                return done
