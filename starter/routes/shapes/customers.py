"""Answers about customers and segments."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from campaigns.models.channels import PersonalChannel
from campaigns.models.store.tables import ConsentBase, SegmentBase
from campaigns.starter.routes.shapes.base import ROW, Paged, Shape
from campaigns.starter.routes.shapes.entries import (
    DecisionShown,
    EntryShown,
)


class ConsentShown(ConsentBase):
    """What a customer said about a channel, or a topic of it."""

    model_config = ROW
    channel: PersonalChannel
    topic: str | None = None


class CustomerAttributes(BaseModel):
    """A customer as one flat object: the attributes stand beside the id."""

    model_config = ConfigDict(extra="allow")

    id: str


class CustomerChanged(CustomerAttributes):
    """A customer, and what the change made admission decide."""

    decisions: list[DecisionShown]


class CustomerShown(CustomerAttributes):
    """A customer with segments, consents and entries."""

    segments: list[str]
    consents: list[ConsentShown]
    entries: list[EntryShown]


class SegmentChangeShown(Shape):
    """A customer entered or left a segment."""

    segment: str
    change: Literal["entered", "left"]
    cause: str
    at: datetime


class SegmentChanges(Paged):
    """What a customer has entered and left, the newest first."""

    changes: list[SegmentChangeShown]


class SegmentListed(SegmentBase):
    """A segment in the list."""

    model_config = ROW


class SegmentPage(Paged):
    """Segments by key."""

    segments: list[SegmentListed]


class Recomputing(Shape):
    """How far an edited rule has come, in customers."""

    done: int
    total: int


class SegmentShown(SegmentListed):
    """A segment."""

    members: int
    recomputing: Recomputing | None


class SegmentPreviewed(Shape):
    """What a rule would change."""

    key: str
    enter: int
    leave: int
    members: int
    campaigns: list[str]
    """Live campaigns that listen to the segment."""
    messaged: int


class MemberShown(Shape):
    """A member of a segment."""

    customer_id: str
    entered_at: datetime


class MemberPage(Paged):
    """Members by id."""

    members: list[MemberShown]
