"""A template sent to one address to be looked at, by the workers, who alone know the providers."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from campaigns.activities.contract import SendResult
from campaigns.activities.delivery.proofs import TestSendActivities

TEST_SEND = timedelta(seconds=30)


@workflow.defn(name="TestSend", sandboxed=False)
class TestSend:
    """Sends once; whoever asked is told what came of it."""

    @workflow.run
    async def run(self, sealed: str) -> SendResult:
        """`sealed` holds address and content, which only who has the secret key can read."""
        return await workflow.execute_activity_method(
            TestSendActivities.send_test_message,
            sealed,
            schedule_to_close_timeout=TEST_SEND,
            retry_policy=RetryPolicy(maximum_attempts=1),
            summary="test send",
        )
