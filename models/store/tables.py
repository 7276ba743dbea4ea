"""Every table, on one page.

A table whose rows the API shows has a base with what is shown of it, for table and answer alike.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args

import sqlalchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from campaigns.models.channels import ConsentStatus
from campaigns.models.entry import EntryStatus, MessageStatus, StepState
from campaigns.models.journey.definition import CampaignStatus
from campaigns.models.values import Json


class UtcTime(TypeDecorator[datetime]):
    """An aware time in UTC: TIMESTAMPTZ on PostgreSQL, sortable text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite gets it without a zone."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Back to an aware time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class OneOf(TypeDecorator[StrEnum]):
    """A member of an enumeration, kept as its value."""

    impl = String
    cache_ok = True

    def __init__(self, members: type[StrEnum], length: int = 16) -> None:
        super().__init__(length)
        self.members = members

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        """Back to the member."""
        return None if value is None else self.members(value)


SERIAL = BigInteger().with_variant(Integer(), "sqlite")
JSON_OR_NULL = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

if TYPE_CHECKING:
    # SQLModel says what an instance has. Statements name columns of the class, which this lets a type checker know.
    from sqlalchemy.orm import Mapped
else:
    COLUMN_TYPES = {str: String(255), datetime: UtcTime(), Json: JSON().with_variant(JSONB(), "postgresql")}

    class Mapped:
        """A column: a field of the given type, kept as `COLUMN_TYPES` says where a `Field` says nothing else."""

        def __class_getitem__(cls, type_: Any) -> Any:
            """Return the annotation of the field."""
            kept = next((kind for kind in (type_, *get_args(type_)) if kind in COLUMN_TYPES), None)
            return type_ if kept is None else Annotated[type_, Field(sa_type=COLUMN_TYPES[kept])]


class Table(SQLModel):
    """The base of all tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    if TYPE_CHECKING:
        __table__: ClassVar[sqlalchemy.Table]


class Customer(Table, table=True):
    """A person we message. The row is also the lock under which everything about them is decided."""

    __tablename__ = "customer"
    id: Mapped[str] = Field(sa_type=String(255), primary_key=True)
    attributes: Mapped[Json]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Erasure(Table, table=True):
    """A keyed hash of the id of a customer who was erased: later events of theirs decide nothing."""

    __tablename__ = "erasure"
    customer_hash: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    erased_at: Mapped[datetime]


class ConsentBase(Table):
    """What was said, by whom, and when."""

    status: Mapped[ConsentStatus] = Field(sa_type=OneOf(ConsentStatus))
    source: Mapped[str]
    at: Mapped[datetime]


class Consent(ConsentBase, table=True):
    """What a customer said about a channel, or about a topic of it (the empty topic is the whole channel)."""

    __tablename__ = "consent"
    customer_id: Mapped[str] = Field(sa_type=String(255), primary_key=True)
    channel: Mapped[str] = Field(sa_type=String(16), primary_key=True)
    topic: Mapped[str] = Field(sa_type=String(255), primary_key=True)


class OptOut(Table, table=True):
    """An unsubscription that outlives the customer's erasure: by the keyed hash of their id, and of their address."""

    __tablename__ = "opt_out"
    subject_hash: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    channel: Mapped[str] = Field(sa_type=String(16), primary_key=True)
    topic: Mapped[str] = Field(sa_type=String(255), primary_key=True)
    source: Mapped[str]
    at: Mapped[datetime]


class Suppression(Table, table=True):
    """An address that gets nothing more, by its keyed hash."""

    __tablename__ = "suppression"
    channel: Mapped[str] = Field(sa_type=String(16), primary_key=True)
    address_hash: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    reason: Mapped[str]
    at: Mapped[datetime]


class SegmentBase(Table):
    """A named set of customers, by a rule or by hand."""

    key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    name: Mapped[str]
    active: Mapped[bool]
    rule: Mapped[Json | None] = Field(sa_type=JSON_OR_NULL)
    """Who belongs to it; without a rule membership is by hand."""


class Segment(SegmentBase, table=True):
    """A segment, and how far its rule was applied."""

    __tablename__ = "segment"
    rule_version: Mapped[int] = Field(sa_column_kwargs={"server_default": "0"})
    recomputed_to: Mapped[str | None]
    """The last customer, by id, to whom an edited rule was applied; None once it was applied to all."""
    recompute_triggers: Mapped[bool] = Field(sa_column_kwargs={"server_default": text("false")})
    """Whether those who enter or leave by the edited rule trigger what listens."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SegmentMember(Table, table=True):
    """A present member of a segment."""

    __tablename__ = "segment_member"
    segment_key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    customer_id: Mapped[str] = Field(sa_type=String(255), primary_key=True, index=True)
    entered_at: Mapped[datetime]


class SegmentMention(Table, table=True):
    """What a rule mentions: only customers to whom that happens can enter or leave by it."""

    __tablename__ = "segment_mention"
    kind: Mapped[str] = Field(sa_type=String(16), primary_key=True)
    """event, attribute or segment."""
    name: Mapped[str] = Field(sa_type=String(255), primary_key=True)
    segment_key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    __table_args__ = (Index(None, "segment_key"),)


class SegmentTurn(Table, table=True):
    """When a customer may enter or leave a segment by time alone."""

    __tablename__ = "segment_turn"
    segment_key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    customer_id: Mapped[str] = Field(sa_type=String(255), primary_key=True, index=True)
    at: Mapped[datetime] = Field(sa_type=UtcTime(), index=True)


class SegmentChange(Table, table=True):
    """A customer has entered or left a segment."""

    __tablename__ = "segment_change"
    id: Mapped[int] = Field(sa_type=SERIAL, primary_key=True, sa_column_kwargs={"autoincrement": True})
    segment_key: Mapped[str] = Field(sa_type=String(64))
    customer_id: Mapped[str]
    change: Mapped[str] = Field(sa_type=String(16))
    """entered or left."""
    cause: Mapped[str]
    """By which event, attributes, segment, or time; by hand, by an edited rule, by an import."""
    at: Mapped[datetime]
    __table_args__ = (Index(None, "customer_id", "id"), Index(None, "segment_key", "id"))


class Event(Table, table=True):
    """A message of the tracking API, once by its message id, with the answer that it got."""

    __tablename__ = "event"
    message_id: Mapped[str] = Field(sa_type=String(255), primary_key=True)
    type: Mapped[str] = Field(sa_type=String(16))
    customer_id: Mapped[str | None]
    anonymous_id: Mapped[str | None]
    name: Mapped[str | None]
    properties: Mapped[Json]
    timestamp: Mapped[datetime]
    received_at: Mapped[datetime]
    answer: Mapped[Json | None]
    __table_args__ = (Index(None, "customer_id", "name", "timestamp"),)


class EventName(Table, table=True):
    """A name that an event has come in under."""

    __tablename__ = "event_name"
    name: Mapped[str] = Field(sa_type=String(255), primary_key=True)
    first_at: Mapped[datetime]


class Template(Table, table=True):
    """Reusable message content."""

    __tablename__ = "template"
    key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    content: Mapped[Json]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class CampaignBase(Table):
    """A campaign: its life-cycle status and its newest version."""

    key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    name: Mapped[str]
    status: Mapped[CampaignStatus] = Field(sa_type=OneOf(CampaignStatus))
    version: Mapped[int]
    paused_because: Mapped[str | None] = Field(sa_type=Text)
    """The fault of our own for which it was paused, as the provider said it."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Campaign(CampaignBase, table=True):
    """A campaign, and how often it was changed."""

    __tablename__ = "campaign"
    revision: Mapped[int]
    """Counts every change, of the status too: the ETag."""


class CampaignVersion(Table, table=True):
    """A definition, frozen: entries follow the version that they began with."""

    __tablename__ = "campaign_version"
    campaign_key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    version: Mapped[int] = Field(primary_key=True)
    definition: Mapped[Json]
    created_at: Mapped[datetime]


class CampaignTrigger(Table, table=True):
    """The events and segments that the newest version of a campaign is triggered by, and its goal's event."""

    __tablename__ = "campaign_trigger"
    type: Mapped[str] = Field(sa_type=String(16), primary_key=True)
    name: Mapped[str] = Field(sa_type=String(255), primary_key=True)
    campaign_key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    __table_args__ = (Index(None, "campaign_key"),)


class EntryBase(Table):
    """One admission of one customer to one campaign: one Temporal workflow."""

    id: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    version: Mapped[int]
    customer_id: Mapped[str | None]
    """None once the customer was erased; so are the key and the trigger."""
    entry_key: Mapped[str | None]
    status: Mapped[EntryStatus] = Field(sa_type=OneOf(EntryStatus))
    ended_by: Mapped[str | None] = Field(sa_type=String(32))
    entered_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Entry(EntryBase, table=True):
    """An entry, and what decides about its next message and its customer's next entry."""

    __tablename__ = "entry"
    campaign_key: Mapped[str] = Field(sa_type=String(64))
    trigger: Mapped[Json | None]
    exit_request: Mapped[str | None] = Field(sa_type=String(32))
    """Why a running entry is to end; nothing is sent for it any more."""
    held: Mapped[str | None] = Field(sa_type=String(32))
    """Why its next message may not go now."""
    exposed_at: Mapped[datetime | None]
    """When a message of it was last accepted by a provider, or may have been."""
    converted_at: Mapped[datetime | None]
    __table_args__ = (
        Index(None, "customer_id", "campaign_key"),
        Index(None, "campaign_key", "status", "entered_at", "id"),
        # The lasting guards of admission, should a lock ever not hold.
        Index(
            "uq_entry_running", "campaign_key", "customer_id", text("coalesce('=' || entry_key, '')"), unique=True,
            sqlite_where=text("status = 'running'"), postgresql_where=text("status = 'running'"),
        ),
    )  # fmt: skip


class DecisionBase(Table):
    """What admission answered, and why."""

    outcome: Mapped[str] = Field(sa_type=String(32))
    entry_id: Mapped[str | None] = Field(sa_type=String(64))
    winner: Mapped[str | None] = Field(sa_type=String(64))
    retry_at: Mapped[datetime | None]
    facts: Mapped[Json | None] = Field(sa_type=JSON_OR_NULL)
    """What it was decided by: the times, entries and priorities that spoke against it."""
    decided_at: Mapped[datetime]


class PastDecision(DecisionBase, table=True):
    """What admission answered for one trigger and one campaign."""

    __tablename__ = "decision"
    id: Mapped[int] = Field(sa_type=SERIAL, primary_key=True, sa_column_kwargs={"autoincrement": True})
    campaign_key: Mapped[str] = Field(sa_type=String(64))
    customer_id: Mapped[str | None]
    trigger_id: Mapped[str]
    trigger_name: Mapped[str]
    __table_args__ = (
        Index(None, "customer_id", "id"),
        Index(None, "campaign_key", "outcome"),
        Index(None, "decided_at"),
        Index(
            "uq_decision_entered", "campaign_key", "customer_id", "trigger_id", unique=True,
            sqlite_where=text("outcome = 'entered'"), postgresql_where=text("outcome = 'entered'"),
        ),
    )  # fmt: skip


class PrunedDecisions(Table, table=True):
    """How many decisions of a campaign and outcome were pruned: they still count."""

    __tablename__ = "pruned_decisions"
    campaign_key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    outcome: Mapped[str] = Field(sa_type=String(32), primary_key=True)
    number: Mapped[int]


class Holdout(Table, table=True):
    """A customer whom a campaign leaves out to measure itself against."""

    __tablename__ = "holdout"
    campaign_key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    customer_id: Mapped[str] = Field(sa_type=String(255), primary_key=True)
    since: Mapped[datetime]
    converted_at: Mapped[datetime | None]


class DueEntry(Table, table=True):
    """When a member of a segment is to enter a campaign without a trigger of their own."""

    __tablename__ = "due_entry"
    campaign_key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    customer_id: Mapped[str] = Field(sa_type=String(255), primary_key=True, index=True)
    due_at: Mapped[datetime]
    existing: Mapped[bool]
    """As a member at the campaign's start, rather than at an interval."""
    __table_args__ = (Index(None, "existing", "due_at"),)


class StepOutcome(Table, table=True):
    """One passage of one entry through one step."""

    __tablename__ = "step_outcome"
    entry_id: Mapped[str] = Field(sa_type=String(64), foreign_key="entry.id", primary_key=True)
    step_id: Mapped[str] = Field(sa_type=String(255), primary_key=True)
    repetition: Mapped[int] = Field(primary_key=True)
    position: Mapped[int]
    """Counts the steps that the entry has come to."""
    campaign_key: Mapped[str] = Field(sa_type=String(64))
    version: Mapped[int]
    outcome: Mapped[StepState] = Field(sa_type=OneOf(StepState))
    reason: Mapped[str | None]
    """Why it was skipped or failed; which way a branch, split or wait has chosen."""
    detail: Mapped[str | None] = Field(sa_type=Text)
    entered_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    __table_args__ = (Index(None, "campaign_key", "step_id", "outcome", "reason"),)


class Message(Table, table=True):
    """One message of one step of one entry, claimed with its identity before the first try."""

    __tablename__ = "message"
    id: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    entry_id: Mapped[str] = Field(sa_type=String(64), foreign_key="entry.id")
    step_id: Mapped[str]
    repetition: Mapped[int]
    campaign_key: Mapped[str] = Field(sa_type=String(64))
    channel: Mapped[str] = Field(sa_type=String(16))
    category: Mapped[str] = Field(sa_type=String(16))
    status: Mapped[MessageStatus] = Field(sa_type=OneOf(MessageStatus))
    attempt: Mapped[int]
    attempt_ends_at: Mapped[datetime]
    """When an attempt that has not reported can no longer be under way."""
    address: Mapped[str | None] = Field(sa_type=String(320))
    provider_id: Mapped[str | None]
    error: Mapped[str | None] = Field(sa_type=Text)
    response: Mapped[Json | None] = Field(sa_type=JSON_OR_NULL)
    """What a webhook answered, as `{"json": …}`, where a step saves it."""
    claimed_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    opened_at: Mapped[datetime | None]
    machine_opened_at: Mapped[datetime | None]
    """When a machine opened it, as privacy proxies do before any person may."""
    clicked_at: Mapped[datetime | None]
    bounced_at: Mapped[datetime | None]
    complained_at: Mapped[datetime | None]
    unsubscribed_at: Mapped[datetime | None]
    converted_at: Mapped[datetime | None]
    __table_args__ = (
        Index(None, "entry_id", "step_id", "repetition", unique=True),
        Index(None, "address"),
        Index(None, "campaign_key", "step_id", "status"),
    )


class ImportProgress(Table, table=True):
    """How far an import came that was cut off; the row goes with its end."""

    __tablename__ = "import_progress"
    file_hash: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    """Of the file's content, and of what it is taken for."""
    position: Mapped[int] = Field(sa_type=BigInteger)
    """Bytes that were taken in."""
    line: Mapped[int]
    taken: Mapped[int]
    refused: Mapped[int]
    at: Mapped[datetime]


class TopicBase(Table):
    """What a customer may subscribe to within a channel."""

    key: Mapped[str] = Field(sa_type=String(64), primary_key=True)
    name: Mapped[str]
    opt_in: Mapped[bool]
    """Only who has subscribed to it gets its messages; else all but who has unsubscribed."""
    double_opt_in: Mapped[bool] = Field(sa_column_kwargs={"server_default": text("false")})
    """And has confirmed it by a link that was sent to their address."""


class Topic(TopicBase, table=True):
    """A topic."""

    __tablename__ = "topic"


class MessageCapBase(Table):
    """So many marketing messages may reach a customer within some time, over all campaigns."""

    channel: Mapped[str | None] = Field(sa_type=String(16))
    count: Mapped[int]
    within: Mapped[str] = Field(sa_type=String(64))


class MessageCap(MessageCapBase, table=True):
    """A cap, in its place among the others."""

    __tablename__ = "message_cap"
    position: Mapped[int] = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})


class Link(Table, table=True):
    """Where a tracked link leads: never taken from a URL that came from outside."""

    __tablename__ = "link"
    id: Mapped[str] = Field(sa_type=String(32), primary_key=True)
    url: Mapped[str] = Field(sa_type=Text)


class Dispatch(Table, table=True):
    """What a committed decision still owes to Temporal. A row goes when it is done; the sweep does what is left."""

    __tablename__ = "dispatch"
    id: Mapped[str] = Field(sa_type=String(255), primary_key=True)
    """Also the request id by which Temporal knows a signal that comes twice."""
    kind: Mapped[str] = Field(sa_type=String(16))
    """start, event, exit, resume, skip_wait, reschedule, erase, follow or existing."""
    entry_id: Mapped[str] = Field(sa_type=String(64))
    """The entry; for `existing` the campaign's key."""
    payload: Mapped[Json]
    due_at: Mapped[datetime] = Field(sa_type=UtcTime(), index=True)
    attempts: Mapped[int]
