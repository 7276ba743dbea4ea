"""Caps on marketing messages, over all campaigns."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from campaigns.models.channels import PersonalChannel
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.store.queries import message_caps
from campaigns.models.store.queries.message_caps import Cap
from campaigns.models.values import Json, PositiveDuration, Strict
from campaigns.starter.composition import Parts
from campaigns.starter.http.bodies import Body, parse
from campaigns.starter.http.openapi import takes_list
from campaigns.starter.routes.shapes.content import MessageCapShown

router = APIRouter(prefix="/v1/message-caps", tags=["message caps"])

MAX_CAPS = 100


class MessageCapSettings(Strict):
    """So many marketing messages a customer may get within some time: on the channel, or on all."""

    channel: PersonalChannel | None = None
    count: Annotated[int, Field(ge=0, le=1_000_000)]
    within: PositiveDuration


class MessageCapList(Strict):
    """All caps."""

    caps: Annotated[list[MessageCapSettings], Field(max_length=MAX_CAPS)]


@router.put("", response_model=list[MessageCapShown], openapi_extra=takes_list(MessageCapSettings))
async def put_message_caps(body: Body, parts: Parts) -> list[Json]:
    """Replaces the caps, a list of `{"channel", "count", "within"}`; they hold for messages that begin from now on."""
    try:
        wanted = parse(MessageCapList, {"caps": body}).caps
    except Invalid as invalid:
        raise Invalid(
            [FieldError(one.field.removeprefix("caps").lstrip(".") or "body", one.detail) for one in invalid.errors]
        ) from None
    async with parts.database.write() as connection:
        await message_caps.replace(connection, [Cap(cap.channel, cap.count, cap.within) for cap in wanted])
    return [cap.model_dump() for cap in wanted]


@router.get("", response_model=list[MessageCapShown])
async def get_message_caps(parts: Parts) -> list[Json]:
    """The caps."""
    async with parts.database.read() as connection:
        return [asdict(cap) for cap in await message_caps.listed(connection)]
