"""The shapes of the API's answers, as /openapi.json says them.

A field that an answer may leave out has a default here; one that may be null says so. What an answer holds beyond its
shape is an error, so that no field is shown that is not documented.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlmodel._compat import SQLModelConfig

from campaigns.models.channels import PersonalChannel, TemplateChannel
from campaigns.models.decision import Outcome
from campaigns.models.entry import EndedBy, EntryStatus
from campaigns.models.journey.definition import CampaignStatus, Definition
from campaigns.models.store.tables import CampaignBase, ConsentBase, EntryBase, MessageCapBase, SegmentBase, TopicBase
from campaigns.models.values import Json
from campaigns.starter.http.problems import ProblemDocument


def _may_grow(schema: Json) -> None:
    """An answer is checked here to hold nothing else; a client made from the document is to take what comes later."""
    schema.pop("additionalProperties", None)


class Shape(BaseModel):
    """The base of all answers."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_may_grow)


ROW = SQLModelConfig(extra="forbid", json_schema_extra=_may_grow)
"""Of answers that show a row: base and table share its fields."""


class Paged(Shape):
    """A part of a list."""

    next: str | None
    """The cursor of the next part; null behind the last."""


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
    decisions: list[DecisionShown] = []
    signalled: list[str] = []
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


class CampaignListed(CampaignBase):
    """A campaign in the list."""

    model_config = ROW


class CampaignPage(Paged):
    """Campaigns by key."""

    campaigns: list[CampaignListed]


class CampaignShown(Definition):
    """A campaign's newest version, with its status."""

    model_config = ConfigDict(json_schema_extra=_may_grow)

    status: CampaignStatus
    paused_because: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    warnings: list[str]
    advice: list[str]
    existing_members_left: int
    """Members of its segments who were there before it and are still to be decided about."""


class EntryCounters(Shape):
    """How many entries there are; `entered` is the sum of those that run and those that have ended."""

    entered: int
    running: int
    completed: int
    exited: int
    failed: int
    converted: int


class VersionCounters(Shape):
    """The entries of one version."""

    version: int
    entries: EntryCounters


class HoldoutCounters(Shape):
    """Those whom the campaign leaves out to measure itself against."""

    customers: int
    converted: int


class MessageCounters(Shape):
    """Messages of a step: what went out, and what came of it."""

    sent: int
    unknown: int
    delivered: int
    opened: int
    clicked: int
    bounced: int
    complained: int
    unsubscribed: int
    converted: int


class StepCounters(Shape):
    """Passages through a step: `entered` is the sum of the waiting, completed, failed, exited and skipped ones."""

    id: str
    type: str
    entered: int
    waiting: int
    completed: int
    failed: int
    exited: int
    skipped: dict[str, int]
    """By reason."""
    messages: MessageCounters
    branches: dict[str, int]
    """By the way that was chosen."""


class StatisticsShown(Shape):
    """What happened in a campaign, counted in one snapshot."""

    campaign: str
    version: int | None
    entries: EntryCounters
    versions: list[VersionCounters]
    holdout: HoldoutCounters
    decisions: dict[Outcome, int]
    steps: list[StepCounters]


class ReadinessCheck(Shape):
    """One thing that was looked at."""

    check: str
    status: Literal["ok", "objection", "unknown"]
    detail: str
    step: str | None = None


class ReadinessShown(Shape):
    """What a mailbox provider would object to."""

    campaign: str
    checks: list[ReadinessCheck]


class SimulatedStep(Shape):
    """A step that the simulated customer came to."""

    id: str
    type: str
    entered_at: datetime
    at: datetime
    outcome: str
    reason: str | None = None
    message: dict[str, Any] | None = None
    """The message as its channel has it."""


class SimulatedEnd(Shape):
    """How the simulated entry ended."""

    at: datetime | None
    how: EndedBy | None
    status: EntryStatus


class SimulationShown(Shape):
    """The path of one customer."""

    steps: list[SimulatedStep]
    ended: SimulatedEnd


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
    locales: dict[str, dict[str, str]] = {}


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
