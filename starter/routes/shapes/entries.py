"""Answers about decisions and entries."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from campaigns.models.decision import Outcome
from campaigns.models.store.tables import EntryBase
from campaigns.models.values import Json
from campaigns.starter.http.problems import ProblemDocument
from campaigns.starter.routes.shapes.base import ROW, Paged, Shape


class DecisionShown(Shape):
    """What admission answered for one trigger and one campaign."""

    campaign: str
    outcome: Outcome
    entry_id: str | None = None
    winner: str | None = None
    """The campaign that won the customer."""
    retry_at: datetime | None = None
    decided_at: datetime


class MemberDecision(DecisionShown):
    """What admission answered for a customer who was made a member."""

    customer_id: str


class MemberDecisions(Shape):
    """What admission answered for those who were made members."""

    decisions: list[MemberDecision]


class ExplainedDecision(DecisionShown):
    """A decision with what it was decided by."""

    trigger: str
    """The event or the segment."""
    facts: Json
    explanation: str


class DecisionPage(Paged):
    """A customer's decisions, the newest first."""

    decisions: list[ExplainedDecision]


class CallAnswer(Shape):
    """What came of a call of the tracking API."""

    success: bool = True
    messageId: str | None = None  # noqa: N815 - Segment's name
    decisions: list[DecisionShown] = Field(default_factory=list)
    signalled: list[str] = Field(default_factory=list)
    """The entries that heard the event."""


class BatchResult(CallAnswer):
    """What came of one call of a batch, or what is wrong with it."""

    error: ProblemDocument | None = None


class BatchAnswer(Shape):
    """What came of each call of a batch, in their order."""

    success: bool
    results: list[BatchResult]


class EntryShown(EntryBase):
    """One admission of one customer to one campaign."""

    model_config = ROW
    campaign: str
    workflow_id: str


class TimelineLine(Shape):
    """One thing that happened to an entry."""

    at: datetime
    step: str | None
    outcome: str
    detail: str | None


class EntryWithTimeline(EntryShown):
    """An entry, and what happened to it in order."""

    timeline: list[TimelineLine]


class EntryPage(Paged):
    """Entries in the order in which they entered."""

    entries: list[EntryShown]


class EntryRequest(Shape):
    """What was asked of an entry."""

    entry_id: str
    requested: Literal["exit", "skip-wait"]
