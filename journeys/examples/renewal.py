"""A contract that ends on a date of the customer's: a word two weeks before, and one three days before."""

from campaigns.journeys import (
    Journey,
    SegmentEntered,
    attribute,
    branch,
    campaign,
    days,
    delay_until_date,
    email,
    goal,
    interval,
    leave,
    on_segment,
    sms,
)


@campaign(
    trigger=on_segment("subscribers", include_existing=True),
    frequency=interval(days(365)),
    goal=goal("Subscription Renewed"),
    exit_on_leave=True,
)
class RenewalReminder(Journey[SegmentEntered]):
    """Remind at nine in the customer's morning; the timer moves with the date."""

    two_weeks_before = delay_until_date("renews_on", offset=-days(14), time="09:00")
    renewal = branch(automatic=attribute("auto_renew").equals(True))
    nothing_to_do = leave("renews by itself")
    first_word = email(
        "Your subscription ends on {{ customer.renews_on }}",
        text="Renew it in a minute: https://example.com/renew\n\nUnsubscribe: {{ unsubscribe_url }}",
    )
    three_days_before = delay_until_date("renews_on", offset=-days(3), time="09:00")
    last_word = sms("Your subscription ends in three days.", category="transactional")

    async def story(self, trigger: SegmentEntered) -> None:
        """The journey."""
        await self.delay(self.two_weeks_before)
        if await self.branch(self.renewal) == "automatic":
            await self.exit(self.nothing_to_do)
        await self.send(self.first_word)
        await self.delay(self.three_days_before)
        await self.send(self.last_word)
