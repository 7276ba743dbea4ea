"""The pure decision, as a table of cases: each rule, its boundaries at equality and a second before, and their order."""

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.models.decision import Outcome
from campaigns.starter.admission.decide import Candidate, Rival, decide, is_held_out

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
CREATED = NOW - 30 * DAY


def candidate(campaign: str = "a", **facts) -> Candidate:
    return Candidate(campaign, **{"status": "live", "created_at": CREATED, **facts})


INTERVAL = {"frequency": "interval", "every": DAY}
EVERY_TIME = {"frequency": "every_time"}

CASES = [
    ("a live campaign", {}, "entered", None),
    ("a draft", {"status": "draft"}, "not_live", None),
    ("paused", {"status": "paused"}, "not_live", None),
    ("stopped", {"status": "stopped"}, "not_live", None),
    ("a second before the start", {"starts_at": NOW + SECOND}, "not_started", NOW + SECOND),
    ("at the start", {"starts_at": NOW}, "entered", None),
    ("a second before the end", {"ends_at": NOW + SECOND}, "entered", None),
    ("at the end", {"ends_at": NOW}, "ended", None),
    ("after the end", {"ends_at": NOW - SECOND}, "ended", None),
    ("an inactive segment", {"segment_active": False}, "segment_inactive", None),
    ("a condition that fails", {"matches": False}, "not_matching", None),
    ("in the holdout", {"held_out": True}, "holdout", None),
    ("erased", {"erased": True}, "erased", None),
    ("a trigger that was used", {"duplicate": True}, "duplicate", None),
    ("an entry with this key runs", {"running_entry": "e", **EVERY_TIME}, "already_running", None),
    ("once, entered long ago", {"last_entered_at": NOW - 900 * DAY}, "already_entered", None),
    ("every time, entered just now", {"last_entered_at": NOW, **EVERY_TIME}, "entered", None),
    ("interval, a second short", {"last_entered_at": NOW - DAY + SECOND, **INTERVAL}, "interval", NOW + SECOND),
    ("interval, at equality", {"last_entered_at": NOW - DAY, **INTERVAL}, "entered", None),
    ("interval, never entered", INTERVAL, "entered", None),
    ("cap, a second short", {"cap": DAY, "last_exposed_at": NOW - DAY + SECOND}, "frequency_cap", NOW + SECOND),
    ("cap, at equality", {"cap": DAY, "last_exposed_at": NOW - DAY}, "entered", None),
    ("cap, never exposed", {"cap": DAY}, "entered", None),
    ("cap, held by a running entry", {"cap": DAY, "running_unexposed": "e"}, "frequency_cap", None),
    ("no cap, a running entry of another key", {"running_unexposed": "e"}, "entered", None),
    ("no cap, exposed just now", {"last_exposed_at": NOW}, "entered", None),
]


@pytest.mark.parametrize(
    ("facts", "outcome", "retry_at"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_alone(facts: dict, outcome: str, retry_at: datetime | None):
    (verdict,) = decide([candidate(**facts)], [], NOW).verdicts
    assert (verdict.outcome, verdict.retry_at) == (outcome, retry_at)


ALL_FAIL = {
    "status": "draft",
    "starts_at": NOW + DAY,
    "ends_at": NOW - DAY,
    "segment_active": False,
    "matches": False,
    "held_out": True,
    "erased": True,
    "duplicate": True,
    "running_entry": "e",
    "last_entered_at": NOW,
    "cap": DAY,
    "last_exposed_at": NOW,
}
IN_ORDER = [
    ("not_live", {"status": "live"}),
    ("not_started", {"starts_at": None}),
    ("ended", {"ends_at": None}),
    ("segment_inactive", {"segment_active": True}),
    ("not_matching", {"matches": True}),
    ("holdout", {"held_out": False}),
    ("erased", {"erased": False}),
    ("duplicate", {"duplicate": False}),
    ("already_running", {"running_entry": None}),
    ("already_entered", {"last_entered_at": None}),
    ("frequency_cap", {"cap": timedelta(0)}),
    ("entered", {}),
]


def test_the_first_that_fails_is_the_outcome():
    facts = dict(ALL_FAIL)
    for outcome, mended in IN_ORDER:
        (verdict,) = decide([candidate(**facts)], [], NOW).verdicts
        assert verdict.outcome == outcome
        facts |= mended


def verdicts(candidates, rivals=()) -> tuple[dict, list[str]]:
    found = decide(candidates, rivals, NOW)
    return {one.campaign: (one.outcome.value, one.winner) for one in found.verdicts}, found.preempted


def test_the_smallest_number_wins_and_the_loser_names_it():
    found, _ = verdicts([candidate("b", priority=1), candidate("a", priority=0), candidate("c", priority=2)])
    assert found == {"a": ("entered", None), "b": ("lower_priority", "a"), "c": ("lower_priority", "a")}


FACTS = [
    ({"status": "paused"}, {"status": "paused"}),
    ({"ends_at": NOW}, {"ends_at": "2026-03-01T12:00:00Z"}),
    ({"running_entry": "e"}, {"running_entry": "e"}),
    ({"last_entered_at": NOW - DAY}, {"last_entered_at": "2026-02-28T12:00:00Z"}),
    (
        {"last_entered_at": NOW, "frequency": "interval", "every": DAY},
        {"last_entered_at": "2026-03-01T12:00:00Z", "interval_s": 86400.0},
    ),
    ({"cap": DAY, "last_exposed_at": NOW}, {"last_exposed_at": "2026-03-01T12:00:00Z", "cap_s": 86400.0}),
    ({"cap": DAY, "running_unexposed": "e"}, {"running_entry": "e", "cap_s": 86400.0}),
    ({}, {}),
]


@pytest.mark.parametrize(("facts", "kept"), FACTS, ids=[" ".join(case[0]) or "none" for case in FACTS])
def test_a_verdict_holds_what_it_was_decided_by(facts: dict, kept: dict):
    assert decide([candidate(**facts)], [], NOW).verdicts[0].facts == kept


def test_a_lost_competition_holds_both_priorities():
    lost = decide([candidate("b", priority=1), candidate("a", priority=0)], [], NOW).verdicts[0]
    assert lost.facts == {"priority": 1, "winner_priority": 0}
    lost = decide([candidate("b", priority=1)], [Rival("e", "a", 3, exposed=True)], NOW).verdicts[0]
    assert lost.facts == {"priority": 1, "winner_priority": 3, "winner_entry": "e", "winner_exposed": True}
    won = decide([candidate("b", priority=1)], [Rival("e", "a", 3, exposed=False)], NOW).verdicts[0]
    assert won.facts == {"preempted": ["e"]}


def test_of_equal_numbers_the_older_wins():
    found, _ = verdicts([candidate("young", priority=1, created_at=NOW), candidate("old", priority=1)])
    assert found == {"old": ("entered", None), "young": ("lower_priority", "old")}


def test_one_without_a_priority_takes_no_part():
    found, _ = verdicts([candidate("free"), candidate("a", priority=0)])
    assert found == {"free": ("entered", None), "a": ("entered", None)}


def test_one_that_fails_before_competes_with_nobody():
    found, _ = verdicts([candidate("a", priority=0, matches=False), candidate("b", priority=1)])
    assert found == {"a": ("not_matching", None), "b": ("entered", None)}


@pytest.mark.parametrize(
    ("rival", "outcome", "winner", "preempted"),
    [
        (Rival("e", "other", 0, False), "lower_priority", "other", []),
        (Rival("e", "other", 1, False), "lower_priority", "other", []),
        (Rival("e", "other", 2, False), "entered", None, ["e"]),
        (Rival("e", "other", 2, True), "lower_priority", "other", []),
        (Rival("e", "a", 0, True), "entered", None, []),
    ],
    ids=["smaller", "equal", "larger and unexposed", "larger but exposed", "its own"],
)
def test_against_a_running_entry(rival: Rival, outcome: str, winner: str | None, preempted: list[str]):
    assert verdicts([candidate("a", priority=1)], [rival]) == ({"a": (outcome, winner)}, preempted)


def test_only_a_winner_preempts():
    candidates = [candidate("a", priority=1), candidate("free")]
    found, preempted = verdicts(candidates, [Rival("strong", "x", 0, False), Rival("weak", "y", 5, False)])
    assert found == {"a": ("lower_priority", "x"), "free": ("entered", None)}
    assert preempted == []


def test_outcomes_are_the_words_of_the_product():
    assert {outcome.value for outcome in Outcome} == {outcome for outcome, _ in IN_ORDER} | {
        "interval",
        "lower_priority",
    }


def test_the_holdout_is_sticky_and_of_the_right_size():
    held = [is_held_out("a", str(number), 10) for number in range(20_000)]
    assert held == [is_held_out("a", str(number), 10) for number in range(20_000)]
    assert 0.09 < sum(held) / len(held) < 0.11
    assert not any(is_held_out("a", str(number), 0) for number in range(1000))
    assert all(is_held_out("a", str(number), 100) for number in range(1000))
    assert held != [is_held_out("b", str(number), 10) for number in range(20_000)]
