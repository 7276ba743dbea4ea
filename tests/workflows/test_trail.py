"""The way of an entry through its steps, and through those of its earlier runs."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.workflow import NondeterminismError

from campaigns.activities.contract import EntryRef, NextDelay, StepReport, StepTask
from campaigns.models.journey.outline import OutlineStep
from campaigns.workflows.contract import Carried, Passed, Rest
from campaigns.workflows.runtime import Visit
from campaigns.workflows.trail import Trail

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
MAIL = OutlineStep("mail", "email")
TEXT = OutlineStep("text", "sms")
PAUSE = OutlineStep("pause", "delay", 60)


def pass_through(trail: Trail, step: OutlineStep, result: str | None = None) -> None:
    assert trail.come_to(step) is None
    trail.begin(NOON)
    trail.leave(result, NOON)


def test_visits_and_positions_are_counted():
    trail = Trail(Carried())
    pass_through(trail, MAIL, "sent")
    pass_through(trail, PAUSE)
    trail.come_to(MAIL)
    trail.begin(LATER)
    assert trail.visit == Visit("mail", 2)
    entry = EntryRef("e", "c", 1)
    assert trail.task(entry) == StepTask(entry, "mail", 3, LATER, 2)
    assert trail.next_delay(PAUSE, 60) == NextDelay("pause", 4, 60, 2)
    assert trail.passed == [Passed("mail", "sent", NOON), Passed("pause", None, NOON)]
    assert trail.last_at == NOON


def test_reports_are_dropped_when_they_are_written():
    trail = Trail(Carried())
    trail.come_to(PAUSE)
    trail.begin(NOON)
    trail.report("waiting", detail="until")
    travelling = list(trail.reports)
    trail.report("completed", LATER)
    trail.drop_reports(travelling)
    assert travelling == [StepReport("pause", "waiting", 1, NOON, detail="until")]
    assert trail.reports == [StepReport("pause", "completed", 1, NOON, LATER)]


def test_the_last_message_of_each_channel():
    trail = Trail(Carried())
    for step in (MAIL, TEXT, PAUSE, OutlineStep("again", "email")):
        pass_through(trail, step)
    assert set(trail.last_messages) == {"again", "text"}


def test_a_later_run_passes_what_was_passed():
    trail = Trail(Carried([Passed("mail", "sent", NOON), Passed("pause", None, LATER)]))
    assert trail.come_to(MAIL) == Passed("mail", "sent", NOON)
    assert trail.last_at == NOON
    assert trail.come_to(PAUSE) == Passed("pause", None, LATER)
    assert trail.come_to(MAIL) is None
    assert trail.visit == Visit("mail", 2)
    assert trail.position == 3


def test_a_later_run_rests_where_the_earlier_one_did():
    trail = Trail(Carried(rest=Rest("pause", NOON)))
    assert trail.come_to(PAUSE) is None
    trail.begin(LATER)
    assert (trail.entered_at, trail.is_written) == (NOON, True)
    assert trail.resting() == Rest("pause", NOON)
    trail.come_to(PAUSE)
    trail.begin(LATER)
    assert (trail.entered_at, trail.is_written) == (LATER, False)


@pytest.mark.parametrize(
    ("carried", "error"),
    [
        (Carried([Passed("mail", "sent", NOON)]), "came to sms text, where the entry had come to mail before"),
        (Carried(rest=Rest("pause", NOON)), "came to sms text, where the entry had come to pause before"),
        (Carried(begun="pause"), "came to sms text, where delay pause had begun"),
        (Carried(begun="text"), "came to sms text, where delay text had begun"),
    ],
)
def test_another_step_than_before_is_an_error_that_names_both(carried: Carried, error: str):
    with pytest.raises(NondeterminismError, match=error):
        Trail(carried).come_to(TEXT)


def test_a_delay_that_began_with_the_message_before_it():
    trail = Trail(Carried())
    pass_through(trail, MAIL)
    trail.begun = "pause"
    trail.come_to(PAUSE)
    trail.begin(NOON)
    assert trail.is_written
    pass_through(trail, TEXT)
    assert not trail.is_written


# Changes of a story, by `patched`.


def never() -> bool:
    raise AssertionError("Temporal is not to be asked")


@pytest.mark.parametrize(("applies", "result"), [(True, "yes"), (False, None)])
def test_a_change_that_is_new(applies: bool, result: str | None):
    trail = Trail(Carried())
    assert trail.patched("more", NOON, lambda: applies) is applies
    assert trail.passed == [Passed("patched more", result, NOON)]
    later = Trail(Carried(trail.passed))
    assert later.patched("more", LATER, never) is applies
    assert later.passed == trail.passed


@pytest.mark.parametrize("carried", [Carried([Passed("mail", "sent", NOON)]), Carried(rest=Rest("mail", NOON))])
def test_a_change_that_the_entry_went_past_in_an_earlier_run(carried: Carried):
    trail = Trail(carried)
    assert trail.patched("more", NOON, never) is False
    assert trail.passed == [Passed("patched more", None, NOON)]
    trail.come_to(MAIL)
