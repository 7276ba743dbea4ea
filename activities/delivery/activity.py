"""The delivery of one message of one entry: check, render, claim, send, record."""

from collections.abc import Mapping
from datetime import datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from campaigns.activities.contract import SendResult, StepTask
from campaigns.activities.delivery.channel import Channels, is_local
from campaigns.activities.delivery.drafts import Draft, Drafting, RenderedMessage, read_draft
from campaigns.activities.delivery.gate import Gate, lease_left
from campaigns.activities.delivery.ledger import LEASE, Ledger, for_history
from campaigns.activities.delivery.passage import Passage
from campaigns.activities.senders.base import Accepted, Outgoing, OwnFault, Result, Sender, Unknown
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection, Database
from campaigns.models.store.definitions import Definitions
from campaigns.models.values import utc_now


class DeliveryActivities:
    """Sends messages through the senders, by channel."""

    def __init__(
        self,
        database: Database,
        definitions: Definitions,
        senders: Mapping[str, Sender],
        signing: Signing,
        base_url: str,
        *,
        tracks: bool = True,
        rated: Mapping[str, str] | None = None,
    ) -> None:
        """`rated` are the channels whose rate is limited, with the task queue on which Temporal keeps it."""
        self._database = database
        self._definitions = definitions
        self._channels = Channels(senders, rated or {})
        self._gate = Gate(signing, self._channels)
        self._drafting = Drafting(base_url, signing, tracks=tracks)
        self._ledger = Ledger(database, signing)

    @activity.defn(name="send_message")
    async def send_message(self, task: StepTask) -> SendResult:
        """Send the message of a step, once.

        As a local activity it tries once and may answer `retry`; as a normal one it raises then, so that Temporal
        retries it. `hold` and `ended` say that the message may not go now, or no more.
        """
        async with self._database.read() as connection:
            passage = await self._passage(connection, task)
            recipient = await self._ledger.look_up(connection, passage)
            clearance = await self._gate.check(connection, passage, recipient)
            draft = None
            if recipient and clearance.to is not None:
                draft = await read_draft(connection, passage, recipient, clearance.to)
        message = recipient.message if recipient else None
        if draft and clearance.against:
            result = await self._clear_up(draft, clearance.against)
        elif draft:
            result = await self._deliver(draft)
        else:
            result = await self._ledger.write_down(passage, message, clearance.against or SendResult("ended"))
        result = for_history(result)
        if result.status == "retry" and not is_local() and result.queue is None:
            raise ApplicationError(result.detail or "not sent", type="NotSent", next_retry_delay=lease_left(message))
        return result

    @activity.defn(name="give_up_message")
    async def give_up_message(self, task: StepTask) -> SendResult:
        """The retries are over: a message that was not sent by now has failed."""
        async with self._database.read() as connection:
            passage = await self._passage(connection, task)
        return for_history(await self._ledger.give_up(passage))

    async def _passage(self, connection: Connection, task: StepTask) -> Passage:
        return Passage.of(task, await self._definitions.get(connection, task.entry.campaign, task.entry.version))

    async def _deliver(self, draft: Draft) -> SendResult:
        passage, recipient = draft.passage, draft.recipient
        rendered = await self._drafting.render(draft)
        if isinstance(rendered, SendResult):
            return await self._ledger.write_down(passage, recipient.message, rendered)
        claim = await self._ledger.claim(passage, rendered, recipient)
        if isinstance(claim, SendResult):
            return claim
        result = await self._send(passage, rendered)
        recorded = await self._ledger.record(claim, result)
        if isinstance(result, OwnFault):
            # Each further message would fail alike. The entry holds until somebody has mended it.
            await self._ledger.pause(passage.task.entry.campaign, result.reason)
            if recorded.status == "retry":
                return await self._ledger.write_down(passage, None, SendResult("hold", "paused"))
        return recorded

    async def _send(self, passage: Passage, rendered: RenderedMessage) -> Result:
        begun_at = utc_now()
        result = await self._channels.send(passage.step.channel, rendered.outgoing)
        if isinstance(result, Unknown):
            provider_id = await self._ask(passage, rendered.outgoing, begun_at)
            return Accepted(provider_id) if provider_id else result
        return result

    async def _ask(self, passage: Passage, outgoing: Outgoing, since: datetime) -> str | None:
        """The provider's id of a message of which we do not know whether it went out."""
        return await self._ledger.first_unknown(await self._channels.find(passage.step.channel, outgoing, since))

    async def _clear_up(self, draft: Draft, otherwise: SendResult) -> SendResult:
        """What became of a message whose attempt nobody has reported, as far as the provider can say."""
        passage, message = draft.passage, draft.recipient.message
        rendered = await self._drafting.render(draft)
        if message and isinstance(rendered, RenderedMessage):
            provider_id = await self._ask(passage, rendered.outgoing, message.attempt_ends_at - LEASE)
            if provider_id:
                otherwise = await self._ledger.mark_sent(passage, provider_id)
        return await self._ledger.write_down(passage, message, otherwise)
