"""What limits and sorts marketing over all campaigns: caps on messages, and topics."""

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import Field, model_validator

from campaigns.models.problems import FieldError, Invalid
from campaigns.models.store.queries import messages, topics
from campaigns.models.store.queries.messages import Cap
from campaigns.models.values import Json, Name, PositiveDuration, Strict
from campaigns.starter.composition import Parts
from campaigns.starter.http.bodies import Body, parse, takes
from campaigns.starter.http.problems import not_found

router = APIRouter(prefix="/v1", tags=["subscriptions"])

MAX_CAPS = 100
TopicKey = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class MessageCap(Strict):
    """So many marketing messages a customer may get within some time: on the channel, or on all."""

    channel: Literal["email", "sms", "whatsapp", "push"] | None = None
    count: Annotated[int, Field(ge=0, le=1_000_000)]
    within: PositiveDuration


class MessageCaps(Strict):
    """All caps."""

    caps: Annotated[list[MessageCap], Field(max_length=MAX_CAPS)]


class Topic(Strict):
    """What customers may subscribe to."""

    name: Name
    opt_in: bool = False
    double_opt_in: bool = False

    @model_validator(mode="after")
    def _double_is_opt_in(self) -> "Topic":
        if self.double_opt_in and not self.opt_in:
            raise ValueError("double_opt_in: needs opt_in")
        return self


@router.put("/message-caps", openapi_extra={"requestBody": {"content": {"application/json": {}}}})
async def put_message_caps(body: Body, parts: Parts) -> list[Json]:
    """Replaces the caps, a list of `{"channel", "count", "within"}`; they hold for messages that begin from now on."""
    try:
        wanted = parse(MessageCaps, {"caps": body}).caps
    except Invalid as invalid:
        raise Invalid(
            [FieldError(one.field.removeprefix("caps").lstrip(".") or "body", one.detail) for one in invalid.errors]
        ) from None
    async with parts.database.write() as connection:
        await messages.put_caps(connection, [Cap(cap.channel, cap.count, cap.within) for cap in wanted])
    return [cap.model_dump() for cap in wanted]


@router.get("/message-caps")
async def get_message_caps(parts: Parts) -> list[Json]:
    """The caps."""
    async with parts.database.read() as connection:
        return [asdict(cap) for cap in await messages.caps(connection)]


@router.put("/topics/{key}", openapi_extra=takes(Topic))
async def put_topic(key: TopicKey, body: Body, parts: Parts) -> Json:
    """Makes or changes a topic. With `opt_in` only who has subscribed to it gets its messages.

    With `double_opt_in` a subscription is pending until the customer follows the link that a campaign, on the event
    `Subscription Requested`, sends to them.
    """
    topic = parse(Topic, body)
    async with parts.database.write() as connection:
        await topics.put(connection, key, topic.name, opt_in=topic.opt_in, double_opt_in=topic.double_opt_in)
    return {"key": key, **topic.model_dump()}


@router.get("/topics/{key}")
async def get_topic(key: TopicKey, parts: Parts) -> Json:
    """A topic."""
    async with parts.database.read() as connection:
        found = next((one for one in await topics.listed(connection) if one.key == key), None)
    if found is None:
        raise not_found("topic", key)
    return found._asdict()


@router.get("/topics")
async def get_topics(parts: Parts) -> Json:
    """All topics, by key."""
    async with parts.database.read() as connection:
        return {"topics": [one._asdict() for one in await topics.listed(connection)], "next": None}
