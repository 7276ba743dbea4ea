"""What customers say about channels and topics; a topic with double opt-in wants to hear it again from the address."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from campaigns.models.addresses import address_of
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection, Database
from campaigns.models.store.queries import consents, customers, topics
from campaigns.models.values import Json, utc_now
from campaigns.starter.intake.events import Intake
from campaigns.starter.intake.tracking import parse_call

REQUESTED, CONFIRMED = "Subscription Requested", "Subscription Confirmed"
Status = Literal["subscribed", "unsubscribed", "pending"]


class Subscriptions:
    """Records consents, and asks for those that must be confirmed."""

    def __init__(self, database: Database, intake: Intake, signing: Signing, base_url: str) -> None:
        self._database = database
        self._intake = intake
        self._signing = signing
        self._base_url = base_url

    async def put(
        self, customer_id: str, channel: str, topic: str, status: Status, source: str, *, confirmed: bool = False
    ) -> tuple[Status, datetime] | None:
        """Records it, and answers what is recorded; None where there is no such customer.

        A subscription to a topic with double opt-in is `pending`, unless it is `confirmed` elsewhere, and makes the
        event `Subscription Requested` with a `confirm_url`, for a campaign to send that to the customer.
        """
        async with self._database.write() as connection:
            now = utc_now()
            attributes = await customers.lock(connection, customer_id)
            if attributes is None:
                return None
            if (
                status == "subscribed"
                and not confirmed
                and await self._wants_more(connection, channel, topic, customer_id)
            ):
                status = "pending"
            await consents.put(connection, customer_id, channel, topic, status, source, now)
            if status == "subscribed":
                await self._forget_opt_out(connection, attributes, channel, topic)
        if status == "pending":
            token = self._signing.token("confirm", "\n".join((channel, topic, customer_id)))
            await self._event(customer_id, REQUESTED, channel, topic, confirm_url=f"{self._base_url}/s/{token}")
        return status, now

    async def asked_for(self, token: str) -> str | None:
        """The topic that the token's customer may confirm, or has confirmed; None where there is nothing to confirm."""
        channel, topic, customer_id = _parts(self._signing.value_of("confirm", token))
        async with self._database.read() as connection:
            said = _said(await consents.of_customer(connection, customer_id), channel, topic)
            return None if said is None or said.status == "unsubscribed" else await self._name(connection, topic)

    async def confirm(self, token: str) -> str | None:
        """Confirms, which again is harmless; the topic, or None where there is nothing to confirm."""
        channel, topic, customer_id = _parts(self._signing.value_of("confirm", token))
        async with self._database.write() as connection:
            attributes = await customers.lock(connection, customer_id)
            said = _said(await consents.of_customer(connection, customer_id), channel, topic)
            if attributes is None or said is None or said.status == "unsubscribed":
                return None
            name = await self._name(connection, topic)
            if said.status == "subscribed":
                return name
            source = f"{said.source}, confirmed"[:255]
            await consents.put(connection, customer_id, channel, topic, "subscribed", source, utc_now())
            await self._forget_opt_out(connection, attributes, channel, topic)
        await self._event(customer_id, CONFIRMED, channel, topic)
        return name

    async def _name(self, connection: Connection, topic: str) -> str:
        return next((one.name for one in await topics.listed(connection) if one.key == topic), topic)

    async def _wants_more(self, connection: Connection, channel: str, topic: str, customer_id: str) -> bool:
        """Whether the topic asks for a confirmation that the customer has not given yet."""
        if not any(one.key == topic and one.double_opt_in for one in await topics.listed(connection)):
            return False
        said = _said(await consents.of_customer(connection, customer_id), channel, topic)
        return said is None or said.status != "subscribed"

    async def _forget_opt_out(self, connection: Connection, attributes: Json, channel: str, topic: str) -> None:
        address = address_of(channel, attributes)
        if isinstance(address, str):
            hashed = self._signing.address_hash(channel, address)
            await consents.delete_opt_out(connection, hashed, channel, topic)

    async def _event(self, customer_id: str, name: str, channel: str, topic: str, **more: str) -> None:
        properties = {"channel": channel, "topic": topic, **more}
        event = {"userId": customer_id, "event": name, "messageId": uuid4().hex, "properties": properties}
        await self._intake.take(parse_call(event, "track"))


def _parts(value: str | None) -> tuple[str, str, str]:
    channel, _, rest = (value or "").partition("\n")
    topic, _, customer_id = rest.partition("\n")
    return channel, topic, customer_id


def _said(consents: Sequence[Any], channel: str, topic: str) -> Any:
    return next((one for one in consents if (one.channel, one.topic) == (channel, topic)), None)
