"""Triggers, and what admission answers to them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from campaigns.models.values import Json, iso


class Outcome(StrEnum):
    """What admission answered, in the order in which it checks."""

    NOT_LIVE = "not_live"
    NOT_STARTED = "not_started"
    ENDED = "ended"
    SEGMENT_INACTIVE = "segment_inactive"
    NOT_MATCHING = "not_matching"
    HOLDOUT = "holdout"
    ERASED = "erased"
    DUPLICATE = "duplicate"
    ALREADY_RUNNING = "already_running"
    ALREADY_ENTERED = "already_entered"
    INTERVAL = "interval"
    FREQUENCY_CAP = "frequency_cap"
    LOWER_PRIORITY = "lower_priority"
    ENTERED = "entered"


@dataclass(frozen=True)
class Trigger:
    """One occurrence: this event happened to the customer, or they entered that segment."""

    id: str
    type: Literal["event", "segment"]
    name: str
    at: datetime
    properties: Json = field(default_factory=dict)

    def to_json(self) -> Json:
        """As it is kept with the entry."""
        return {"id": self.id, "type": self.type, "name": self.name, "at": iso(self.at), "properties": self.properties}

    def liquid_event(self) -> Json:
        """As message texts see it: `event.<property>`, or `event.segment`."""
        return self.properties if self.type == "event" else {"segment": self.name}

    @staticmethod
    def from_json(data: Json) -> "Trigger":
        """The reverse of `to_json`."""
        return Trigger(data["id"], data["type"], data["name"], datetime.fromisoformat(data["at"]), data["properties"])


@dataclass(frozen=True)
class Decision:
    """What admission answered for one trigger and one campaign, and why."""

    campaign: str
    outcome: Outcome
    decided_at: datetime
    entry_id: str | None = None
    winner: str | None = None
    retry_at: datetime | None = None
    facts: Json = field(default_factory=dict)
    """What it was decided by: kept, and shown beside the customer's decisions."""

    def to_json(self) -> dict[str, Any]:
        """The decision as the API shows it; what does not apply is left out."""
        answer: dict[str, Any] = {"campaign": self.campaign, "outcome": self.outcome.value}
        if self.entry_id:
            answer["entry_id"] = self.entry_id
        if self.winner:
            answer["winner"] = self.winner
        if self.retry_at:
            answer["retry_at"] = iso(self.retry_at)
        return {**answer, "decided_at": iso(self.decided_at)}
