"""The campaigns that ship as examples, told as stories: months in seconds."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from campaigns.journeys import days, hours, minutes
from campaigns.journeys.examples.abandoned_cart import AbandonedCart, CartAbandoned
from campaigns.journeys.examples.onboarding import Onboarding
from campaigns.journeys.examples.renewal import RenewalReminder
from campaigns.testing import Story, Unavailable, telling

ANN = {"email": "ann@example.com", "phone": "+12025550123", "name": "Ann", "timezone": "UTC"}
YEAR = datetime.now(UTC).year + 1
MORNING = datetime(YEAR, 3, 1, 10, tzinfo=UTC)


@asynccontextmanager
async def told(journey, **settings) -> AsyncIterator[Story]:
    try:
        async with telling(journey, **settings) as story:
            yield story
    except Unavailable as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))


async def test_a_cart_that_nobody_comes_back_to():
    async with told(AbandonedCart) as story:
        await story.enters(ANN, CartAbandoned(order_id="o-1", total=45), at=MORNING)
        assert await story.ends() == "completed"
        assert story.sent() == [("reminder", hours(1)), ("last-word", hours(49))]
        reminder, last_word = story.messages
        assert (reminder.subject, reminder.to) == ("Ann, your cart waits", "ann@example.com")
        assert "45" in reminder.text
        assert last_word.channel == "sms"


async def test_a_cart_whose_customer_asks_for_help():
    async with told(AbandonedCart) as story:
        await story.enters(ANN, {"order_id": "o-1", "total": 45}, at=MORNING)
        await story.after(hours(5))
        await story.track("Help Requested")
        assert await story.ends() == "completed"
        assert story.sent() == [("reminder", hours(1)), ("call-back", hours(5))]


async def test_a_cart_that_is_bought_ends_at_once_and_another_order_does_not_end_it():
    async with told(AbandonedCart) as story:
        await story.enters(ANN, {"order_id": "o-1", "total": 45}, at=MORNING)
        await story.after(minutes(30))
        await story.track("Order Completed", order_id="o-9")
        await story.after(hours(1))
        await story.track("Order Completed", order_id="o-1")
        assert await story.ends() == "goal"
        assert story.sent() == [("reminder", hours(1))]
        assert await story.ended_after() == hours(1.5)


async def test_a_cart_at_night_waits_for_the_morning_where_the_customer_is():
    async with told(AbandonedCart) as story:
        await story.enters({**ANN, "timezone": "Asia/Tokyo"}, {"order_id": "o-1", "total": 900}, at=MORNING + hours(3))
        assert await story.ends() == "completed"
        # 13:00 UTC is 22:00 in Tokyo; their nine o'clock is midnight UTC.
        assert [message.at.hour for message in story.messages] == [0, 0]
        assert [step for step, _ in story.sent()] == ["reminder", "offer"]


async def test_a_cart_too_small_does_not_match():
    async with told(AbandonedCart) as story:
        with pytest.raises(AssertionError, match="not_matching"):
            await story.enters(ANN, {"order_id": "o-1", "total": 5})


async def test_a_new_customer_who_begins():
    async with told(Onboarding) as story:
        await story.enters(ANN, {"plan": "team"}, at=MORNING)
        await story.after(days(1))
        await story.track("Project Created")
        assert await story.ends() == "completed"
        assert [step for step, _ in story.sent()] in (["welcome-warm"], ["welcome-short"])
        assert ("first-project", "completed", "created") in await story.outcomes()


async def test_a_new_customer_who_does_not_begin():
    sunday = next(day for day in (MORNING + days(number) for number in range(7)) if day.weekday() == 6)
    async with told(Onboarding) as story:
        await story.enters({**ANN, "pushToken": "t"}, {"plan": "free"}, at=sunday - days(3) + hours(1))
        assert await story.ends() == "completed"
        # Three days later it is Sunday, 11:00: the nudge waits for Monday at ten.
        _, nudge, question = story.messages
        assert (nudge.step, nudge.at.weekday(), nudge.at.hour) == ("nudge", 0, 10)
        assert (question.step, question.after - nudge.after) == ("how-goes-it", days(7))


async def test_a_renewal_follows_the_date_wherever_it_moves():
    async with told(RenewalReminder) as story:
        athens = {**ANN, "timezone": "Europe/Athens", "renews_on": f"{YEAR}-04-10"}
        await story.enters(athens, at=MORNING)
        await story.after(days(10))
        await story.change(renews_on=f"{YEAR}-07-10")
        await story.until(datetime(YEAR, 6, 30, tzinfo=UTC))
        await story.change(renews_on=f"{YEAR}-07-20")
        assert await story.ends() == "completed"
        first, last = story.messages
        # At nine in Athens, on both sides of the change of clock.
        assert (first.step, first.at.replace(second=0, microsecond=0)) == (
            "first-word",
            datetime(YEAR, 6, 26, 6, tzinfo=UTC),
        )
        assert (last.step, last.at.replace(second=0, microsecond=0)) == (
            "last-word",
            datetime(YEAR, 7, 17, 6, tzinfo=UTC),
        )


async def test_a_renewal_of_one_who_leaves_or_renews_by_itself():
    async with told(RenewalReminder) as story:
        await story.enters({**ANN, "renews_on": f"{YEAR}-04-10"}, at=MORNING)
        await story.after(days(2))
        await story.leave("subscribers")
        assert await story.ends() == "left_segment"
    async with told(RenewalReminder) as story:
        await story.enters({**ANN, "renews_on": f"{YEAR}-04-10", "auto_renew": True}, at=MORNING)
        assert await story.ends() == "exit_step"
        assert story.messages == []
    async with told(RenewalReminder) as story:
        await story.enters(ANN)
        assert await story.ends() == "completed"
        assert ("two-weeks-before", "skipped", "no_date") in await story.outcomes()


DECLARED = {
    "key": "c",
    "name": "C",
    "trigger": {"type": "event", "event": "Signed Up"},
    "timezone": "America/New_York",
    "steps": [
        {"id": "nine", "type": "delay", "until": {"time": "09:00", "weekdays": ["sun"]}},
        {"id": "mail", "type": "email", "template": "hello"},
        {"id": "year", "type": "delay", "for": "P365D"},
        {"id": "text", "type": "sms", "body": "A year, {{ customer.name }}"},
    ],
}
HELLO = {"hello": {"channel": "email", "subject": "Hello {{ customer.name }}", "text": "Hello"}}


async def test_a_journey_as_data_over_a_change_of_clock():
    changes = datetime(YEAR, 3, 8, tzinfo=UTC)
    sunday = changes + days((6 - changes.weekday()) % 7)  # the second Sunday of March: clocks go forward there
    async with told(DECLARED, templates=HELLO) as story:
        await story.enters({"email": "ann@example.com", "phone": "+12025550123", "name": "Ann"}, at=sunday - days(1))
        await story.pause()
        await story.until(sunday + hours(15))
        assert story.messages == []
        await story.resume()
        assert await story.ends() == "completed"
        mail, text = story.messages
        assert mail.subject == "Hello Ann"
        assert mail.at - sunday < timedelta(hours=15, minutes=2)
        assert text.text == "A year, Ann"
        nine = (await story.outcomes())[0]
        assert nine == ("nine", "completed", None)


async def test_skipping_and_taking_out():
    async with told(DECLARED, templates=HELLO) as story:
        await story.enters({"email": "ann@example.com", "name": "Ann"})
        await story.skip_wait()
        await story.after(days(2))
        assert [step for step, _ in story.sent()] == ["mail"]
        await story.exit()
        assert await story.ends() == "operator"
