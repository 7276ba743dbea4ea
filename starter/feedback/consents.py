"""What customers say about channels and topics, wherever they say it: one place records it.

A topic with double opt-in wants to hear it again from the address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from campaigns.models.addresses import address_of
from campaigns.models.channels import ConsentStatus
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection, Database
from campaigns.models.store.queries import consents, customers, messages, suppressions, topics
from campaigns.models.store.queries.consents import ConsentRow
from campaigns.models.values import Json, utc_now
from campaigns.starter.feedback.message_events import MessageEvents
from campaigns.starter.intake.events import Intake
from campaigns.starter.intake.tracking import parse_call

REQUESTED, CONFIRMED = "Subscription Requested", "Subscription Confirmed"


@dataclass(frozen=True)
class Choice:
    """A topic, and whether a customer gets it."""

    topic: str
    name: str
    subscribed: bool


class Consents:
    """Records consents, and asks for those that must be confirmed. The topic "" is the whole channel."""

    def __init__(
        self, database: Database, intake: Intake, message_events: MessageEvents, signing: Signing, base_url: str
    ) -> None:
        self._database = database
        self._intake = intake
        self._message_events = message_events
        self._signing = signing
        self._base_url = base_url

    async def put(
        self, customer_id: str, channel: str, topic: str, status: ConsentStatus, source: str, *, confirmed: bool = False
    ) -> tuple[ConsentStatus, datetime] | None:
        """Record it, and return what is recorded; None where there is no such customer.

        A subscription to a topic with double opt-in is `pending`, unless it is `confirmed` elsewhere, and makes the
        event `Subscription Requested` with a `confirm_url`, for a campaign to send that to the customer.
        """
        async with self._database.write() as connection:
            attributes = await customers.lock(connection, customer_id)
            if attributes is None:
                return None
            asks = status == ConsentStatus.SUBSCRIBED and not confirmed
            if asks and await self._must_confirm(connection, channel, topic, customer_id):
                status = ConsentStatus.PENDING
            at = await self._record(connection, customer_id, attributes, channel, topic, status, source)
        if status == ConsentStatus.PENDING:
            token = self._signing.token("confirm", "\n".join((channel, topic, customer_id)))
            await self._track(customer_id, REQUESTED, channel, topic, confirm_url=f"{self._base_url}/s/{token}")
        return status, at

    async def asked_for(self, token: str) -> str | None:
        """Return the topic that the token's customer may confirm, or has confirmed; None where there is none."""
        channel, topic, customer_id = _parts(self._signing.value_of("confirm", token))
        async with self._database.read() as connection:
            consent = await _consent(connection, channel, topic, customer_id)
            if consent is None or consent.status == ConsentStatus.UNSUBSCRIBED:
                return None
            return await _name(connection, topic)

    async def confirm(self, token: str) -> str | None:
        """Confirm, which again is harmless; return the topic, or None where there is nothing to confirm."""
        channel, topic, customer_id = _parts(self._signing.value_of("confirm", token))
        async with self._database.write() as connection:
            attributes = await customers.lock(connection, customer_id)
            consent = await _consent(connection, channel, topic, customer_id)
            if attributes is None or consent is None or consent.status == ConsentStatus.UNSUBSCRIBED:
                return None
            name = await _name(connection, topic)
            if consent.status == ConsentStatus.SUBSCRIBED:
                return name
            source = f"{consent.source}, confirmed"[:255]
            await self._record(connection, customer_id, attributes, channel, topic, ConsentStatus.SUBSCRIBED, source)
        await self._track(customer_id, CONFIRMED, channel, topic)
        return name

    async def unsubscribe(self, message_id: str, source: str) -> bool:
        """Unsubscribe the message's customer from all marketing of its channel; again is harmless.

        False where no such message, or nobody, is known any more.
        """
        async with self._database.write() as connection:
            origin = await messages.origin(connection, message_id)
            if origin is None or origin.customer_id is None:
                return False
            attributes = await customers.lock(connection, origin.customer_id)
            if attributes is not None:
                await self._record(
                    connection, origin.customer_id, attributes, origin.channel, "", ConsentStatus.UNSUBSCRIBED, source
                )
        return await self._message_events.happened(message_id, "unsubscribed", {"source": source})

    async def choices(self, message_id: str) -> list[Choice]:
        """Return the topics, and whether the message's customer gets them on its channel; none of nobody's."""
        async with self._database.read() as connection:
            origin = await messages.origin(connection, message_id)
            if origin is None or origin.customer_id is None:
                return []
            listed = await topics.listed(connection)
            statuses = {
                consent.topic: consent.status
                for consent in await consents.of_customer(connection, origin.customer_id)
                if consent.channel == origin.channel
            }
        left = statuses.get("") == ConsentStatus.UNSUBSCRIBED
        default = {True: ConsentStatus.UNSUBSCRIBED, False: ConsentStatus.SUBSCRIBED}
        return [
            Choice(
                topic.key,
                topic.name,
                not left and statuses.get(topic.key, default[topic.opt_in]) == ConsentStatus.SUBSCRIBED,
            )
            for topic in listed
        ]

    async def choose(self, message_id: str, chosen: set[str]) -> bool:
        """Subscribe the message's customer to these topics of its channel, and unsubscribe them from the others.

        False where nobody is known any more.
        """
        async with self._database.write() as connection:
            origin = await messages.origin(connection, message_id)
            if origin is None or origin.customer_id is None:
                return False
            attributes = await customers.lock(connection, origin.customer_id)
            if attributes is None:
                return False
            subscribed = {topic.key: topic.key in chosen for topic in await topics.listed(connection)}
            if any(subscribed.values()):
                # Who wants some of it has not left the channel.
                subscribed[""] = True
            for topic, wants in subscribed.items():
                status = ConsentStatus.SUBSCRIBED if wants else ConsentStatus.UNSUBSCRIBED
                await self._record(
                    connection, origin.customer_id, attributes, origin.channel, topic, status, "preference page"
                )
        return True

    async def put_by_address(self, channel: str, address: str, status: ConsentStatus, source: str) -> Sequence[str]:
        """Record what whoever has the address says of the channel; return the customers who are known by it.

        It holds for the address too, whoever else gets it.
        """
        hashed = self._signing.address_hash(channel, address)
        async with self._database.write() as connection:
            known = await messages.customers_at(connection, channel, address)
            for customer_id in known:
                if (attributes := await customers.lock(connection, customer_id)) is not None:
                    await self._record(connection, customer_id, attributes, channel, "", status, source)
            if status == ConsentStatus.UNSUBSCRIBED:
                row = {"subject_hash": hashed, "channel": channel, "topic": "", "source": source, "at": utc_now()}
                await consents.keep_opt_outs(connection, [row])
            else:
                await consents.delete_opt_out(connection, hashed, channel, "")
        return known

    async def lift_suppression(self, channel: str, address: str, saying: str) -> bool:
        """Lift the suppression of an address whose reason says this; whether there was one."""
        hashed = self._signing.address_hash(channel, address)
        async with self._database.write() as connection:
            return await suppressions.lift(connection, channel, hashed, saying)

    async def _record(
        self,
        connection: Connection,
        customer_id: str,
        attributes: Json,
        channel: str,
        topic: str,
        status: ConsentStatus,
        source: str,
    ) -> datetime:
        """Record what the customer, who is locked, says now; return the time of it.

        It holds for their address too, by its hash: whoever else gets it, now or later, is the same mailbox. One who
        subscribes takes that back.
        """
        now = utc_now()
        await consents.put(connection, customer_id, channel, topic, status, source, now)
        address = address_of(channel, attributes)
        if isinstance(address, str):
            hashed = self._signing.address_hash(channel, address)
            if status == ConsentStatus.UNSUBSCRIBED:
                row = {"subject_hash": hashed, "channel": channel, "topic": topic, "source": source, "at": now}
                await consents.keep_opt_outs(connection, [row])
            elif status == ConsentStatus.SUBSCRIBED:
                await consents.delete_opt_out(connection, hashed, channel, topic)
        return now

    async def _must_confirm(self, connection: Connection, channel: str, topic: str, customer_id: str) -> bool:
        """Whether the topic asks for a confirmation that the customer has not given yet."""
        if not any(row.key == topic and row.double_opt_in for row in await topics.listed(connection)):
            return False
        consent = await _consent(connection, channel, topic, customer_id)
        return consent is None or consent.status != ConsentStatus.SUBSCRIBED

    async def _track(self, customer_id: str, name: str, channel: str, topic: str, **more: str) -> None:
        properties = {"channel": channel, "topic": topic, **more}
        event = {"userId": customer_id, "event": name, "messageId": uuid4().hex, "properties": properties}
        await self._intake.take(parse_call(event, "track"))


async def _consent(connection: Connection, channel: str, topic: str, customer_id: str) -> ConsentRow | None:
    recorded = await consents.of_customer(connection, customer_id)
    return next((consent for consent in recorded if (consent.channel, consent.topic) == (channel, topic)), None)


async def _name(connection: Connection, topic: str) -> str:
    return next((row.name for row in await topics.listed(connection) if row.key == topic), topic)


def _parts(value: str | None) -> tuple[str, str, str]:
    channel, _, rest = (value or "").partition("\n")
    topic, _, customer_id = rest.partition("\n")
    return channel, topic, customer_id
