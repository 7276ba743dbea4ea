"""Admission as a pure function: one trigger, one customer, all campaigns that listen.

The order of the checks, and what each means at its boundary, is the product's promise; see docs/admission.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from campaigns.models.decision import Outcome
from campaigns.models.journey.bucketing import share
from campaigns.models.values import Json, iso


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
    running_entry: str | None = None
    """An entry of this campaign and of this entry key that runs."""
    frequency: str = "once"
    every: timedelta = timedelta(0)
    last_entered_at: datetime | None = None
    """By entry key; entries that were pre-empted do not count."""
    cap: timedelta = timedelta(0)
    last_exposed_at: datetime | None = None
    """By customer."""
    running_unexposed: str | None = None
    """An entry of this campaign that runs, of any entry key, and has had no exposure."""
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
    facts: Json = field(default_factory=dict)
    """What it was decided by, as the API shows it; times in ISO 8601, durations in seconds."""


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
        stronger = winner or _stronger(candidate, running)
        if stronger:
            found[candidate.campaign] = _lost(candidate, stronger)
        else:
            winner = candidate
    preempted = [rival.entry_id for rival in running if winner and rival.campaign != winner.campaign]
    if winner and preempted:
        found[winner.campaign] = Verdict(winner.campaign, Outcome.ENTERED, facts={"preempted": preempted})
    return Verdicts([found[candidate.campaign] for candidate in listed], preempted)


def _stronger(candidate: Candidate, rivals: list[Rival]) -> Rival | None:
    """The running entry that wins over the candidate."""
    for rival in rivals:
        others = rival.campaign != candidate.campaign
        if others and candidate.priority is not None and (rival.exposed or rival.priority <= candidate.priority):
            return rival
    return None


def _lost(candidate: Candidate, winner: Candidate | Rival) -> Verdict:
    facts: Json = {"priority": candidate.priority, "winner_priority": winner.priority}
    if isinstance(winner, Rival):
        facts |= {"winner_entry": winner.entry_id, "winner_exposed": winner.exposed}
    return Verdict(candidate.campaign, Outcome.LOWER_PRIORITY, winner.campaign, facts=facts)


def _alone(one: Candidate, now: datetime) -> Verdict:
    """Rules 1 to 6: the first that fails, whatever other campaigns do."""
    return _by_time(one, now) or _by_state(one) or _by_frequency(one, now) or _verdict(one, Outcome.ENTERED)


def _verdict(one: Candidate, outcome: Outcome, retry_at: datetime | None = None, **facts: object) -> Verdict:
    shown = {name: iso(value) if isinstance(value, datetime) else value for name, value in facts.items()}
    return Verdict(one.campaign, outcome, retry_at=retry_at, facts=shown)


def _by_time(one: Candidate, now: datetime) -> Verdict | None:
    if one.status != "live":
        return _verdict(one, Outcome.NOT_LIVE, status=one.status)
    if one.starts_at and now < one.starts_at:
        return _verdict(one, Outcome.NOT_STARTED, one.starts_at, starts_at=one.starts_at)
    if one.ends_at and now >= one.ends_at:
        return _verdict(one, Outcome.ENDED, ends_at=one.ends_at)
    return None


def _by_state(one: Candidate) -> Verdict | None:
    simple = (
        (not one.segment_active, Outcome.SEGMENT_INACTIVE),
        (not one.matches, Outcome.NOT_MATCHING),
        (one.held_out, Outcome.HOLDOUT),
        (one.erased, Outcome.ERASED),
        (one.duplicate, Outcome.DUPLICATE),
    )
    for fails, outcome in simple:
        if fails:
            return _verdict(one, outcome)
    if one.running_entry is not None:
        return _verdict(one, Outcome.ALREADY_RUNNING, running_entry=one.running_entry)
    return None


def _by_frequency(one: Candidate, now: datetime) -> Verdict | None:
    entered, exposed = one.last_entered_at, one.last_exposed_at
    if entered is not None and one.frequency == "once":
        return _verdict(one, Outcome.ALREADY_ENTERED, last_entered_at=entered)
    if entered is not None and one.frequency == "interval" and now < (due := entered + one.every):
        gap = one.every.total_seconds()
        return _verdict(one, Outcome.INTERVAL, due, last_entered_at=entered, interval_s=gap)
    if not one.cap:
        return None
    cap_s = one.cap.total_seconds()
    if exposed is not None and now < (due := exposed + one.cap):
        return _verdict(one, Outcome.FREQUENCY_CAP, due, last_exposed_at=exposed, cap_s=cap_s)
    if one.running_unexposed is not None:
        return _verdict(one, Outcome.FREQUENCY_CAP, running_entry=one.running_unexposed, cap_s=cap_s)
    return None


def is_held_out(campaign: str, customer_id: str, percent: float) -> bool:
    """Whether the campaign leaves the customer out: by a hash, so always the same."""
    return share("holdout", campaign, customer_id) % 100_000 < percent * 1000
