"""What goes into an entry's workflow: its input and its signals. It stands in histories: ids, nothing of a customer.

Fields may be added with a default; none may be renamed or removed while entries run.
"""

from dataclasses import dataclass, field
from datetime import datetime

from campaigns.activities.contract import StepReport
from campaigns.models.journey.outline import OutlineStep


@dataclass(frozen=True)
class EventSignal:
    """An event that the entry listens for, and which of its waits it matches; the properties stay in the database."""

    event_id: str
    name: str
    at: datetime
    matches: list[str]
    message_steps: dict[str, str] = field(default_factory=dict)
    """Of an event of a message, by match: the step of the message, which must be the last of its kind before."""


@dataclass(frozen=True)
class ExitSignal:
    """Why the entry is to end."""

    cause: str


@dataclass(frozen=True)
class Passed:
    """A step that the entry has passed, with what it answered, and when."""

    step: str
    result: str | None
    at: datetime


@dataclass(frozen=True)
class Rest:
    """The step at which the entry rests, and since when."""

    step: str
    entered_at: datetime


@dataclass(frozen=True)
class Carried:
    """What an entry takes along when it continues as new, its history having grown long."""

    passed: list[Passed] = field(default_factory=list)
    rest: Rest | None = None
    events: list[EventSignal] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    """Ids of events that came, by which doubles are known."""
    reports: list[StepReport] = field(default_factory=list)
    begun: str | None = None
    """The delay whose beginning was written with the message before it."""
    skipped: bool = False
    """A skip has come for the step at which it rests."""
    began_at: datetime | None = None
    """When its first run began."""


@dataclass(frozen=True)
class EntryInput:
    """The input of an entry's workflow."""

    entry_id: str
    campaign: str
    version: int
    customer_id: str
    steps: list[OutlineStep] = field(default_factory=list)
    """Of a declared journey; one in code has none."""
    trigger: str | None = None
    """The trigger's properties for a journey in code, sealed: only who has the secret key can read them."""
    workflow: str | None = None
    """The class of a journey in code."""
    carried: Carried | None = None
