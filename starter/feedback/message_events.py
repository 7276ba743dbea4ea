"""What came of messages, as providers, mailboxes and readers tell it: counted once a message, and an event each.

The names are those of Segment's specification of email events
(https://segment.com/docs/connections/spec/email/), and the same for other channels.
"""

from typing import Literal

from campaigns.models.channels import CHANNELS
from campaigns.models.entry import MessageStatus
from campaigns.models.signing import Signing
from campaigns.models.store.database import Database
from campaigns.models.store.queries import campaigns, messages, suppressions
from campaigns.models.values import Json, utc_now
from campaigns.starter.intake.events import Intake
from campaigns.starter.intake.listening import MessageOrigin
from campaigns.starter.intake.tracking import parse_call

Happening = Literal["delivered", "opened", "clicked", "bounced", "complained", "unsubscribed", "failed"]
NAMES: dict[str, str] = {
    "delivered": "Delivered",
    "opened": "Opened",
    "clicked": "Link Clicked",
    "bounced": "Bounced",
    "complained": "Marked as Spam",
    "unsubscribed": "Unsubscribed",
    "failed": "Failed",
}


class MessageEvents:
    """Takes in what happens to messages."""

    def __init__(self, database: Database, intake: Intake, signing: Signing) -> None:
        self._database = database
        self._intake = intake
        self._signing = signing

    async def happened(
        self, message_id: str, what: Happening, properties: Json | None = None, *, once_per: str = ""
    ) -> bool:
        """Count it, and make the event of it, once for each `once_per`; return False where there is no such message."""
        async with self._database.read() as connection:
            origin = await messages.origin(connection, message_id)
        if origin is None:
            return False
        properties = properties or {}
        marks = _marks(what, properties)
        if origin.customer_id is None or properties.get("machine"):
            # The customer was erased, or it was none: it only counts.
            async with self._database.write() as connection:
                for mark in marks:
                    await messages.mark_happened(connection, message_id, mark, utc_now())
            return True
        event = {
            "userId": origin.customer_id,
            "event": f"{CHANNELS[origin.channel].title} {NAMES[what]}",
            "messageId": f"{message_id}:{what}{once_per and ':' + once_per}",
            "properties": {
                **properties,
                "entry_id": origin.entry_id,
                "step": origin.step,
                "campaign": origin.campaign,
                "message_id": message_id,
            },
        }
        of = MessageOrigin(message_id, origin.campaign, origin.entry_id, origin.step, marks)
        await self._intake.take(parse_call(event, "track"), of)
        return True

    async def report(self, message_id: str, what: Happening, reason: str, *, hard: bool, machine: bool = False) -> bool:
        """Take in what a service or a mailbox reports; return False where there is no such message.

        Hard bounces and complaints suppress the message's address.
        """
        properties: Json = {"reason": reason} if reason else {}
        if what == "bounced":
            properties["hard"] = hard
        if machine:
            properties["machine"] = True
        if not await self.happened(message_id, what, properties):
            return False
        if what == "complained" or (what == "bounced" and hard):
            await self.suppress(message_id, what)
        return True

    async def sent(self, message_id: str, provider_id: str) -> None:
        """Settle an unknown outcome: the provider has the message, as it says itself."""
        async with self._database.read() as connection:
            # Most are known to be sent: reading delays no writer.
            if await messages.status(connection, message_id) in (None, MessageStatus.SENT, MessageStatus.FAILED):
                return
        async with self._database.write() as connection:
            await messages.mark_sent(connection, message_id, provider_id, utc_now())

    async def pause_campaign(self, message_id: str, reason: str) -> None:
        """Pause the message's campaign for a fault of our own, which the provider tells only now."""
        async with self._database.write() as connection:
            origin = await messages.origin(connection, message_id)
            if origin:
                await campaigns.pause_for_fault(connection, origin.campaign, reason, utc_now())

    async def suppress(self, message_id: str, reason: str) -> None:
        """Let the address of the message get nothing more on its channel."""
        async with self._database.write() as connection:
            origin = await messages.origin(connection, message_id)
            if origin and origin.address:
                hashed = self._signing.address_hash(origin.channel, origin.address)
                await suppressions.add(connection, origin.channel, hashed, reason, utc_now())


def _marks(what: Happening, properties: Json) -> list[str]:
    """What the message is counted as: a click is an opening too, one by a machine apart."""
    match what:
        case "opened":
            return ["machine_opened"] if properties.get("machine") else ["opened"]
        case "clicked":
            return ["clicked", "opened"]
        case "failed":
            return ["bounced"]
        case _:
            return [what]
