"""The way of an entry through its journey: the steps that it came to, and what became of each."""

from collections import Counter, deque
from collections.abc import Callable, Collection
from datetime import datetime

from temporalio.workflow import NondeterminismError

from campaigns.activities.contract import EntryRef, NextDelay, StepReport, StepTask
from campaigns.models.channels import CHANNELS
from campaigns.models.journey.outline import OutlineStep
from campaigns.workflows.contract import Carried, Passed, Rest
from campaigns.workflows.runtime import Visit


class Trail:
    """The steps that an entry has passed, those of its earlier runs too.

    A run that continues an earlier one tells the story from its beginning: each step that was passed before answers at
    once what it answered then, until nothing is left of the earlier run.
    """

    def __init__(self, carried: Carried) -> None:
        self.passed: list[Passed] = []
        self.begun = carried.begun
        """The delay whose beginning was written with the message before it."""
        self.rest = carried.rest
        """The step that the entry rested at when it continued as new, until the story comes to it."""
        self.reports = list(carried.reports)
        """Outcomes that are still to be written."""
        self.visit = Visit("", 0)
        """The present passage through a step."""
        self.is_written = False
        """Whether the beginning of the present step is written already, with a message or in an earlier run."""
        self.entered_at: datetime
        """When the present step began."""
        self._earlier = deque(carried.passed)
        self._visits: Counter[str] = Counter()
        self._last_messages: dict[str, str] = {}

    @property
    def position(self) -> int:
        """How many steps the entry has come to."""
        return self._visits.total()

    @property
    def last_at(self) -> datetime | None:
        """When the last step was passed; None before the first."""
        return self.passed[-1].at if self.passed else None

    @property
    def last_messages(self) -> Collection[str]:
        """The last message step of each channel that the entry came to."""
        return self._last_messages.values()

    def come_to(self, step: OutlineStep) -> Passed | None:
        """Come to the step; return what an earlier run of the entry passed here, or None where it is new.

        Raise NondeterminismError where an earlier run came to another step, or another delay was begun.
        """
        self._visits[step.id] += 1
        self.visit = Visit(step.id, self._visits[step.id])
        if step.type in CHANNELS:
            self._last_messages[step.type] = step.id
        if self._earlier:
            passed = self._earlier.popleft()
            _check(step, passed.step)
            self.passed.append(passed)
            return passed
        if self.rest:
            _check(step, self.rest.step)
        elif self.begun:
            # Such a delay has no activity of its own, by whose id a replay would find out.
            _check(step, self.begun, is_delay=True)
        return None

    def begin(self, now: datetime) -> None:
        """Begin the step that the entry has come to: now, or when it began to rest there in an earlier run."""
        self.is_written = bool(self.rest or self.begun)
        self.entered_at = self.rest.entered_at if self.rest else now
        self.rest = self.begun = None

    def resting(self) -> Rest:
        """Return the present step, for the next run to rest at."""
        return Rest(self.visit.step, self.entered_at)

    def leave(self, result: str | None, at: datetime) -> None:
        """Pass the step, with what it answered."""
        self.passed.append(Passed(self.visit.step, result, at))

    def patched(self, change: str, at: datetime, applies: Callable[[], bool]) -> bool:
        """Whether a change of the story applies to the entry; once decided it stays so, in later runs too."""
        mark = f"patched {change}"
        if self._earlier and self._earlier[0].step == mark:
            passed = self._earlier.popleft()
        elif self._earlier or self.rest:
            # An earlier run came past this place before the change was made.
            passed = Passed(mark, None, at)
        else:
            passed = Passed(mark, "yes" if applies() else None, at)
        self.passed.append(passed)
        return passed.result is not None

    def task(self, entry: EntryRef) -> StepTask:
        """Return the present passage as an activity's task."""
        return StepTask(entry, self.visit.step, self.position, self.entered_at, self.visit.repetition)

    def next_delay(self, step: OutlineStep, seconds: float) -> NextDelay:
        """Return the delay that will be the next step."""
        return NextDelay(step.id, self.position + 1, seconds, self._visits[step.id] + 1)

    def report(
        self, outcome: str, ended_at: datetime | None = None, *, reason: str | None = None, detail: str | None = None
    ) -> None:
        """Note what became of the present step; it is written with the next activity."""
        visit = self.visit
        self.reports.append(
            StepReport(visit.step, outcome, self.position, self.entered_at, ended_at, reason, detail, visit.repetition)
        )

    def drop_reports(self, written: list[StepReport]) -> None:
        """Drop the oldest reports, which were written."""
        del self.reports[: len(written)]


def _check(step: OutlineStep, expected: str, *, is_delay: bool = False) -> None:
    if step.id != expected or (is_delay and step.type != "delay"):
        before = f"delay {expected} had begun" if is_delay else f"the entry had come to {expected} before"
        raise NondeterminismError(f"the journey came to {step.type} {step.id}, where {before}")
