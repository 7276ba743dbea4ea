"""Answers about templates, topics, caps, reports and the process itself."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from campaigns.models.channels import PersonalChannel, TemplateChannel
from campaigns.models.store.tables import MessageCapBase, TopicBase
from campaigns.starter.routes.shapes.base import ROW, Paged, Shape


class TemplateShown(Shape):
    """A template."""

    key: str
    channel: TemplateChannel
    subject: str | None = None
    html: str | None = None
    text: str | None = None
    title: str | None = None
    body: str | None = None
    link: str | None = None
    locales: dict[str, dict[str, str]] = Field(default_factory=dict)


class TemplateRendered(Shape):
    """A template as one customer would get it."""

    key: str
    channel: TemplateChannel
    subject: str | None = None
    html: str | None = None
    text: str | None = None
    title: str | None = None
    body: str | None = None
    link: str | None = None
    missing: list[str]
    """Values that the customer lacks: were one missing, they would get no message."""


class ProofSent(Shape):
    """What came of a template's test send."""

    key: str
    to: str
    channel: PersonalChannel
    outcome: Literal["sent", "failed", "unknown", "skipped"]
    reason: str | None = None
    detail: str | None = None


class TopicShown(TopicBase):
    """What customers may subscribe to within a channel."""

    model_config = ROW


class TopicPage(Paged):
    """Topics by key."""

    topics: list[TopicShown]


class MessageCapShown(MessageCapBase):
    """So many marketing messages a customer may get within some time: on the channel, or on all."""

    model_config = ROW


class SuppressionShown(Shape):
    """An address that gets nothing more on a channel; of the address itself only a keyed hash is kept."""

    id: str
    channel: PersonalChannel
    reason: str
    at: datetime


class SuppressionPage(Paged):
    """Suppressions."""

    suppressions: list[SuppressionShown]


class ReportedMessage(Shape):
    """What a report told of a message."""

    message_id: str
    type: str


class ReportsRecorded(Shape):
    """What a report by mail told."""

    recorded: list[ReportedMessage]


class Liveness(Shape):
    """The process lives."""

    status: Literal["ok"]


class Readiness(Shape):
    """What the process reaches."""

    status: Literal["ready", "not ready"]
    database: bool
    temporal: bool
