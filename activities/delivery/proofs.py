"""A proof: a template's content sent to one address to be looked at, once. It is no entry's message."""

from uuid import uuid4

from temporalio import activity

from campaigns.activities.content.compose import compose
from campaigns.activities.contract import SendResult
from campaigns.activities.delivery.ledger import for_history, outcome_of
from campaigns.activities.senders.base import Sender
from campaigns.models.addresses import Unsendable, checked_address
from campaigns.models.journey.steps import STEP_TYPES, MessageBase
from campaigns.models.signing import Signing
from campaigns.models.store.database import Database
from campaigns.models.store.queries import suppressions


class ProofActivities:
    """Sends proofs through the senders, by channel."""

    def __init__(self, database: Database, senders: dict[str, Sender], signing: Signing) -> None:
        self._database = database
        self._senders = senders
        self._signing = signing

    @activity.defn(name="send_proof")
    async def send_proof(self, sealed: str) -> SendResult:
        """Send what was sealed; a suppressed address gets nothing, and what has no value stays empty."""
        wanted = self._signing.unseal(sealed)
        channel = wanted["channel"]
        step = STEP_TYPES[channel].model_validate({"id": "proof", "type": channel, "template": "proof"})
        if not isinstance(step, MessageBase):
            raise TypeError(f"{channel} is no channel")
        to = checked_address(channel, wanted["to"])
        if isinstance(to, Unsendable):
            return SendResult(to.outcome, to.reason)
        hashed = self._signing.address_hash(channel, to)
        async with self._database.read() as connection:
            against = await suppressions.against_address(connection, channel, hashed)
        if against.suppressed:
            return SendResult("skipped", "suppressed")
        message_id = uuid4().hex
        outgoing = await compose(step, wanted["content"], wanted["variables"], message_id, to, None, strict=False)
        if isinstance(outgoing, Unsendable):
            return for_history(SendResult(outgoing.outcome, outgoing.reason))
        if channel not in self._senders:
            return SendResult("failed", "no_sender")
        return for_history(outcome_of(await self._senders[channel].send(outgoing), step))
