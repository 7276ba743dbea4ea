"""Answers about campaigns: what they are, did and would do."""

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict

from campaigns.models.decision import Outcome
from campaigns.models.entry import EndedBy, EntryStatus
from campaigns.models.journey.definition import CampaignStatus, Definition
from campaigns.models.store.tables import CampaignBase
from campaigns.starter.routes.shapes.base import ROW, Paged, Shape, may_grow


class CampaignListed(CampaignBase):
    """A campaign in the list."""

    model_config = ROW


class CampaignPage(Paged):
    """Campaigns by key."""

    campaigns: list[CampaignListed]


class CampaignShown(Definition):
    """A campaign's newest version, with its status."""

    model_config = ConfigDict(json_schema_extra=may_grow)

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
