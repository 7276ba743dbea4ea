"""What goes between a workflow and its activities. It stands in histories: ids and outcomes, nothing of a customer.

Fields may be added with a default; none may be renamed or removed while entries run.
"""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class StepReport:
    """What became of a passage through a step."""

    step: str
    outcome: str
    position: int
    entered_at: datetime
    ended_at: datetime | None = None
    reason: str | None = None
    detail: str | None = None
    repetition: int = 1


@dataclass(frozen=True)
class EntryRef:
    """The entry that an activity acts for, and the outcomes that travel with the call."""

    entry_id: str
    campaign: str
    version: int
    reports: list[StepReport] = field(default_factory=list)


@dataclass(frozen=True)
class NextDelay:
    """The delay that follows a step."""

    step: str
    position: int
    seconds: float
    repetition: int = 1


@dataclass(frozen=True)
class StepTask:
    """One passage of an entry through a step that an activity does.

    What follows whatever comes of the step, the beginning of a delay or the end of the entry, is written with its
    outcome: each transaction less is an activity less.
    """

    entry: EntryRef
    step: str
    position: int
    entered_at: datetime
    repetition: int = 1
    next_delay: NextDelay | None = None
    is_last: bool = False
    now: datetime | None = None
    """The workflow's time, where the step is about time itself."""

    def report(
        self, outcome: str, ended_at: datetime | None = None, reason: str | None = None, detail: str | None = None
    ) -> StepReport:
        """What became of this passage."""
        return StepReport(self.step, outcome, self.position, self.entered_at, ended_at, reason, detail, self.repetition)


@dataclass(frozen=True)
class SendResult:
    """What became of a message: sent, failed, unknown or skipped; or retry, hold, ended, which are not final.

    The reason is a word that is counted; the detail is what a person reads.
    """

    status: str
    reason: str | None = None
    detail: str | None = None
    begun: str | None = None
    """The delay whose beginning was written with it."""
    completed: bool = False
    """The end of the entry was written with it."""
    until: datetime | None = None
    """A message on hold may be tried again from then on; None where only a `resume` tells."""
    queue: str | None = None
    """The task queue on which a retry has to wait for its turn, where the provider's rate is limited."""


@dataclass(frozen=True)
class DelayPlan:
    """When a delay that depends on the customer ends; None where it was skipped."""

    until: datetime | None
    warning: str | None = None


@dataclass(frozen=True)
class EndTask:
    """How an entry ends."""

    entry: EntryRef
    status: str
    ended_by: str


def until_text(moment: datetime) -> str:
    """Until when something waits, to the second, in UTC."""
    return "until " + moment.isoformat(timespec="seconds").replace("+00:00", "Z")
