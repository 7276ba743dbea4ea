"""What came of messages, as providers, mailboxes and readers tell it: counted once a message, and an event each.

The names are those of Segment's specification of email events
(https://segment.com/docs/connections/spec/email/), and the same for other channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from campaigns.models.channels import CHANNELS
from campaigns.models.signing import Signing
from campaigns.models.store.database import Database
from campaigns.models.store.queries import consents, customers, messages, suppressions, topics
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


@dataclass(frozen=True)
class Choice:
    """A topic, and whether a customer gets it."""

    topic: str
    name: str
    subscribed: bool


class MessageEvents:
    """Takes in what happens to messages."""

    def __init__(self, database: Database, intake: Intake, signing: Signing) -> None:
        self._database = database
        self._intake = intake
        self._signing = signing

    async def happened(
        self, message_id: str, what: Happening, properties: Json | None = None, *, once_per: str = ""
    ) -> bool:
        """Counts it, and makes the event of it, once for each `once_per`. False where there is no such message."""
        async with self._database.read() as connection:
            origin = await messages.origin(connection, message_id)
        if origin is None:
            return False
        said = properties or {}
        marks = _marks(what, said)
        if origin.customer_id is None:
            # The customer was erased: it only counts.
            async with self._database.write() as connection:
                for one in marks:
                    await messages.mark_happened(connection, message_id, one, utc_now())
            return True
        event = {
            "userId": origin.customer_id,
            "event": f"{CHANNELS[origin.channel].title} {NAMES[what]}",
            "messageId": f"{message_id}:{what}{once_per and ':' + once_per}",
            "properties": {
                **said,
                "entry_id": origin.entry_id,
                "step": origin.step,
                "campaign": origin.campaign,
                "message_id": message_id,
            },
        }
        of = MessageOrigin(message_id, origin.campaign, origin.entry_id, origin.step, marks)
        await self._intake.take(parse_call(event, "track"), of)
        return True

    async def sent(self, message_id: str, provider_id: str) -> None:
        """The provider has the message, as it says itself: that settles an unknown outcome."""
        async with self._database.read() as connection:
            # Most are known to be sent: reading delays no writer.
            if await messages.status(connection, message_id) in (None, "sent", "failed"):
                return
        async with self._database.write() as connection:
            await messages.mark_sent(connection, message_id, provider_id, utc_now())

    async def suppress(self, message_id: str, reason: str) -> None:
        """The address of the message gets nothing more on its channel."""
        async with self._database.write() as connection:
            origin = await messages.origin(connection, message_id)
            if origin and origin.address:
                hashed = self._signing.address_hash(origin.channel, origin.address)
                await suppressions.add(connection, origin.channel, hashed, reason, utc_now())

    async def unsubscribe(self, message_id: str, source: str) -> None:
        """The customer unsubscribes from all marketing of the message's channel; again is harmless."""
        async with self._database.write() as connection:
            origin = await messages.origin(connection, message_id)
            if origin is None or origin.customer_id is None:
                return
            if await customers.lock(connection, origin.customer_id) is not None:
                await consents.put(
                    connection, origin.customer_id, origin.channel, "", "unsubscribed", source, utc_now()
                )
        await self.happened(message_id, "unsubscribed", {"source": source})

    async def choices(self, message_id: str) -> list[Choice]:
        """The topics, and whether the message's customer gets them on its channel; none where nobody is known."""
        async with self._database.read() as connection:
            origin = await messages.origin(connection, message_id)
            if origin is None or origin.customer_id is None:
                return []
            known = await topics.listed(connection)
            said = {
                one.topic: one.status
                for one in await consents.of_customer(connection, origin.customer_id)
                if one.channel == origin.channel
            }
        left = said.get("") == "unsubscribed"
        default = {True: "unsubscribed", False: "subscribed"}
        return [
            Choice(one.key, one.name, not left and said.get(one.key, default[one.opt_in]) == "subscribed")
            for one in known
        ]

    async def choose(self, message_id: str, wanted: set[str]) -> None:
        """Subscribes the message's customer to these topics of its channel, and unsubscribes them from the others."""
        async with self._database.write() as connection:
            origin = await messages.origin(connection, message_id)
            if origin is None or origin.customer_id is None:
                return
            if await customers.lock(connection, origin.customer_id) is None:
                return
            chosen = {one.key: one.key in wanted for one in await topics.listed(connection)}
            if any(chosen.values()):
                # Who wants some of it has not left the channel.
                chosen[""] = True
            for topic, subscribed in chosen.items():
                status = "subscribed" if subscribed else "unsubscribed"
                await consents.put(
                    connection, origin.customer_id, origin.channel, topic, status, "preference page", utc_now()
                )

    async def said_by_address(self, channel: str, address: str, status: str, source: str) -> Sequence[str]:
        """Whoever has the address has unsubscribed, or subscribed anew; the customers who are known by it."""
        now = utc_now()
        hashed = self._signing.address_hash(channel, address)
        async with self._database.write() as connection:
            known = await messages.customers_at(connection, channel, address)
            for customer_id in known:
                if await customers.lock(connection, customer_id) is not None:
                    await consents.put(connection, customer_id, channel, "", status, source, now)
            if status == "unsubscribed":
                row = {"subject_hash": hashed, "channel": channel, "topic": "", "source": source, "at": now}
                await consents.keep_opt_outs(connection, [row])
            else:
                await consents.delete_opt_out(connection, hashed, channel, "")
        return known


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
