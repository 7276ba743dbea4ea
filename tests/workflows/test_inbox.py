"""The events that an entry keeps for its waits."""

from datetime import UTC, datetime, timedelta

from campaigns.workflows.contract import EventSignal
from campaigns.workflows.inbox import KEPT_EVENTS, SEEN_EVENTS, Inbox, Listening

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)
WAIT = Listening("wait", ["opened", "bought"])


def event(event_id: str, *matches: str, minutes: int = 0, of: str | None = None) -> EventSignal:
    steps = dict.fromkeys(matches, of) if of else {}
    return EventSignal(event_id, "E", NOON + timedelta(minutes=minutes), list(matches), steps)


def inbox(*events: EventSignal) -> Inbox:
    kept = Inbox()
    for one in events:
        kept.keep(one)
    return kept


def test_an_event_is_used_once():
    kept = inbox(event("1", "wait/bought", "next/bought"))
    assert kept.has(WAIT)
    assert kept.take(WAIT) == "bought"
    assert not kept.has(WAIT)
    assert kept.take(Listening("next", ["bought"])) is None


def test_a_double_is_known_also_when_the_event_was_used():
    kept = inbox(event("1", "wait/bought"))
    kept.take(WAIT)
    kept.keep(event("1", "wait/bought"))
    assert kept.events == []


def test_what_happened_first_counts_not_what_came_first():
    kept = inbox(event("late", "wait/bought", minutes=2), event("early", "wait/opened", minutes=1))
    assert kept.take(WAIT) == "opened"
    assert [one.event_id for one in kept.events] == ["late"]


def test_the_first_way_of_the_wait_that_the_event_opens():
    assert inbox(event("1", "wait/bought", "wait/opened")).take(WAIT) == "opened"


def test_another_waits_event_is_kept_for_it():
    kept = inbox(event("1", "other/bought"))
    assert kept.take(WAIT) is None
    assert len(kept.events) == 1


def test_an_event_of_a_message_must_be_of_the_last_of_its_kind():
    kept = inbox(event("1", "wait/opened", of="first"))
    assert not kept.has(Listening("wait", ["opened"], ["second", "text"]))
    assert kept.take(Listening("wait", ["opened"], ["first", "text"])) == "opened"


def test_since_the_step_began():
    kept = inbox(event("before", "wait/bought", minutes=-1), event("both", "wait/bought", "next/bought", minutes=-1))
    since = Listening("wait", ["bought"], since=NOON)
    assert kept.take(since) is None
    kept.forget_before(since)
    # What another wait may still use is kept.
    assert [one.event_id for one in kept.events] == ["both"]
    kept.forget_before(Listening("next", ["bought"]))
    assert kept.take(Listening("next", ["bought"])) == "bought"


def test_what_a_next_run_is_given():
    kept = inbox(*(event(str(number), "wait/bought") for number in range(KEPT_EVENTS + 1)))
    assert len(kept.events) == KEPT_EVENTS
    assert len(kept.seen) == SEEN_EVENTS
    following = Inbox(kept.events, kept.seen)
    following.keep(event(str(KEPT_EVENTS), "wait/bought"))
    assert following.events == kept.events
