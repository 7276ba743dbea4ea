"""A story that is changed while customers are in it, and goes on in a new run."""

from datetime import UTC, datetime

from pydantic import BaseModel

from campaigns.journeys import Journey, campaign, on_event, sms
from campaigns.workflows.contract import Carried, EntryInput, Passed

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)


class Started(BaseModel):
    pass


@campaign(trigger=on_event("Started", Started))
class Changed(Journey[Started]):
    one = sms("One")
    two = sms("Two")


class Runtime:
    def __init__(self, applies: bool) -> None:
        self.applies, self.asked = applies, 0

    def now(self) -> datetime:
        return NOON

    def patched(self, change: str) -> bool:
        self.asked += 1
        return self.applies


def entry(*passed: Passed) -> Changed:
    carried = Carried(list(passed), began_at=NOON)
    return Changed(EntryInput("e", "c", 1, "ann", carried=carried))


def test_one_that_comes_to_it_after_the_change():
    journey = entry()
    journey.runtime = Runtime(applies=True)
    assert journey.patched("more") is True
    assert journey._trail.passed == [Passed("patched more", "yes", NOON)]


async def test_one_that_went_past_before_the_change():
    journey = entry(Passed("one", "sent", NOON), Passed("two", "sent", NOON))
    journey.runtime = runtime = Runtime(applies=True)
    # The new run would say yes; but the earlier one went past without the change.
    assert journey.patched("more") is False
    assert runtime.asked == 0
    assert [await journey.send(step) for step in (journey.one, journey.two)] == ["sent", "sent"]


async def test_one_that_decided_in_an_earlier_run():
    for result, expected in (("yes", True), (None, False)):
        journey = entry(Passed("patched more", result, NOON), Passed("one", "sent", NOON))
        journey.runtime = runtime = Runtime(applies=not expected)
        assert journey.patched("more") is expected
        assert runtime.asked == 0
        assert await journey.send(journey.one) == "sent"


async def test_the_time_is_that_of_the_last_step():
    later = NOON.replace(hour=15)
    journey = entry(Passed("one", "sent", later), Passed("two", "sent", later))
    journey.runtime = Runtime(applies=True)
    assert journey.now == NOON
    assert await journey.send(journey.one) == "sent"
    assert journey.now == later
