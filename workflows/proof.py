"""A template sent to one address to be looked at, by the workers, who alone know the providers."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from campaigns.activities.contract import SendResult
from campaigns.activities.delivery.proofs import ProofActivities

PROOF_TIMEOUT = timedelta(seconds=30)


@workflow.defn(name="Proof", sandboxed=False)
class Proof:
    """Sends once; whoever asked is told what came of it."""

    @workflow.run
    async def run(self, sealed: str) -> SendResult:
        """`sealed` holds address and content, which only who has the secret key can read."""
        return await workflow.execute_activity_method(
            ProofActivities.send_proof,
            sealed,
            schedule_to_close_timeout=PROOF_TIMEOUT,
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary="proof",
        )
