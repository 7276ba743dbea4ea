"""Admission as a pure function: one trigger, one customer, all campaigns that listen.

The order of the checks, and what each means at its boundary, is the product's promise; see docs/admission.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from campaigns.models.decision import Outcome
from campaigns.models.shares import share


@dataclass(frozen=True)
class Candidate:
    """A campaign that the trigger concerns, and all the facts that decide about it."""

    campaign: str
    status: str
    created_at: datetime
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    segment_active: bool = True
    matches: bool = True
    held_out: bool = False
    erased: bool = False
    duplicate: bool = False
    running_with_key: bool = False
    """An entry of this campaign and of this entry key runs."""
    frequency: str = "once"
    every: timedelta = timedelta(0)
    last_entered_at: datetime | None = None
    """By entry key; entries that were pre-empted do not count."""
    cap: timedelta = timedelta(0)
    last_exposed_at: datetime | None = None
    """By customer."""
    running_unexposed: bool = False
    """An entry of this campaign runs, of any entry key, that has had no exposure."""
    priority: int | None = None


@dataclass(frozen=True)
class Rival:
    """A running entry of a campaign with a priority that shares the trigger."""

    entry_id: str
    campaign: str
    priority: int
    exposed: bool


@dataclass(frozen=True)
class Verdict:
    """What one campaign answers."""

    campaign: str
    outcome: Outcome
    winner: str | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True)
class Verdicts:
    """What all campaigns answer, in the order of the candidates, and the entries that give way."""

    verdicts: list[Verdict]
    preempted: list[str]


def decide(candidates: Iterable[Candidate], rivals: Iterable[Rival], now: datetime) -> Verdicts:
    """Decides about all campaigns at once."""
    listed, running = list(candidates), sorted(rivals, key=lambda rival: (rival.priority, rival.entry_id))
    found = {candidate.campaign: _alone(candidate, now) for candidate in listed}
    passed = [candidate for candidate in listed if found[candidate.campaign].outcome is Outcome.ENTERED]
    competing = [candidate for candidate in passed if candidate.priority is not None]
    competing.sort(key=lambda one: (one.priority, one.created_at, one.campaign))
    winner: Candidate | None = None
    for candidate in competing:
        stronger = winner.campaign if winner else _stronger(candidate, running)
        if stronger:
            found[candidate.campaign] = Verdict(candidate.campaign, Outcome.LOWER_PRIORITY, winner=stronger)
        else:
            winner = candidate
    preempted = [rival.entry_id for rival in running if winner and rival.campaign != winner.campaign]
    return Verdicts([found[candidate.campaign] for candidate in listed], preempted)


def _stronger(candidate: Candidate, rivals: list[Rival]) -> str | None:
    """The campaign of a running entry that wins over the candidate."""
    for rival in rivals:
        others = rival.campaign != candidate.campaign
        if others and candidate.priority is not None and (rival.exposed or rival.priority <= candidate.priority):
            return rival.campaign
    return None


def _alone(candidate: Candidate, now: datetime) -> Verdict:
    """Rules 1 to 6: the first that fails, whatever other campaigns do."""
    outcome, retry_at = _first_failing(candidate, now)
    return Verdict(candidate.campaign, outcome, retry_at=retry_at)


def _first_failing(one: Candidate, now: datetime) -> tuple[Outcome, datetime | None]:
    if one.status != "live":
        return Outcome.NOT_LIVE, None
    if one.starts_at and now < one.starts_at:
        return Outcome.NOT_STARTED, one.starts_at
    if one.ends_at and now >= one.ends_at:
        return Outcome.ENDED, None
    simple = (
        (not one.segment_active, Outcome.SEGMENT_INACTIVE),
        (not one.matches, Outcome.NOT_MATCHING),
        (one.held_out, Outcome.HOLDOUT),
        (one.erased, Outcome.ERASED),
        (one.duplicate, Outcome.DUPLICATE),
        (one.running_with_key, Outcome.ALREADY_RUNNING),
    )
    for fails, outcome in simple:
        if fails:
            return outcome, None
    return _frequency(one, now)


def _frequency(one: Candidate, now: datetime) -> tuple[Outcome, datetime | None]:
    if one.last_entered_at is not None:
        if one.frequency == "once":
            return Outcome.ALREADY_ENTERED, None
        due = one.last_entered_at + one.every
        if one.frequency == "interval" and now < due:
            return Outcome.INTERVAL, due
    if one.cap:
        if one.last_exposed_at is not None and now < one.last_exposed_at + one.cap:
            return Outcome.FREQUENCY_CAP, one.last_exposed_at + one.cap
        if one.running_unexposed:
            return Outcome.FREQUENCY_CAP, None
    return Outcome.ENTERED, None


def is_held_out(campaign: str, customer_id: str, percent: float) -> bool:
    """Whether the campaign leaves the customer out: by a hash, so always the same."""
    return share("holdout", campaign, customer_id) % 100_000 < percent * 1000
