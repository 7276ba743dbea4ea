"""Topics, which customers subscribe to within a channel."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import model_validator

from campaigns.models.store.queries import topics
from campaigns.models.values import Json, Name, Strict
from campaigns.starter.composition import Parts
from campaigns.starter.http.bodies import Body, parse
from campaigns.starter.http.openapi import takes
from campaigns.starter.http.paging import Page
from campaigns.starter.http.problems import not_found
from campaigns.starter.routes.shapes.content import TopicPage, TopicShown

router = APIRouter(prefix="/v1/topics", tags=["topics"])

TopicKey = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class TopicSettings(Strict):
    """What customers may subscribe to."""

    name: Name
    opt_in: bool = False
    double_opt_in: bool = False

    @model_validator(mode="after")
    def _double_is_opt_in(self) -> "TopicSettings":
        if self.double_opt_in and not self.opt_in:
            raise ValueError("double_opt_in: needs opt_in")
        return self


@router.put("/{key}", response_model=TopicShown, openapi_extra=takes(TopicSettings))
async def put_topic(key: TopicKey, body: Body, parts: Parts) -> Json:
    """Makes or changes a topic. With `opt_in` only who has subscribed to it gets its messages.

    With `double_opt_in` a subscription is pending until the customer follows the link that a campaign, on the event
    `Subscription Requested`, sends to them.
    """
    topic = parse(TopicSettings, body)
    async with parts.database.write() as connection:
        await topics.put(connection, key, topic.name, opt_in=topic.opt_in, double_opt_in=topic.double_opt_in)
    return {"key": key, **topic.model_dump()}


@router.get("/{key}", response_model=TopicShown)
async def get_topic(key: TopicKey, parts: Parts) -> Json:
    """A topic."""
    async with parts.database.read() as connection:
        found = next((one for one in await topics.listed(connection) if one.key == key), None)
    if found is None:
        raise not_found("topic", key)
    return found._asdict()


@router.get("", response_model=TopicPage)
async def get_topics(parts: Parts, page: Page) -> Json:
    """All topics, by key."""
    async with parts.database.read() as connection:
        rows = await topics.listed(connection, page.after(str) or "", page.limit)
    return {"topics": [row._asdict() for row in rows], "next": page.next(rows, lambda row: row.key)}
