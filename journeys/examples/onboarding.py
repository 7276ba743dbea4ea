"""The first two weeks of a new customer, told in two tones to see which one works."""

from pydantic import BaseModel

from campaigns.journeys import (
    Journey,
    attribute,
    branch,
    campaign,
    days,
    delay,
    delay_until,
    did,
    email,
    event,
    goal,
    on_event,
    push,
    split,
    update,
    wait,
)


class SignedUp(BaseModel):
    """What the product sends when somebody signs up."""

    plan: str = "free"


@campaign(
    trigger=on_event("Signed Up", SignedUp),
    goal=goal("Subscription Started", within=days(30)),
    quiet_hours=("20:00", "08:00"),
)
class Onboarding(Journey[SignedUp]):
    """Welcome in one of two tones, help those who have not begun, and ask after a week how it goes."""

    tone = split(warm=50, short=50)
    welcome_warm = email(
        "Good to have you, {{ customer.name | default: 'friend' }}",
        text="Take your time, and begin with one project.\n\nUnsubscribe: {{ unsubscribe_url }}",
    )
    welcome_short = email("Three steps to begin", text="Create, invite, go.\n\nUnsubscribe: {{ unsubscribe_url }}")
    first_project = wait(created=event("Project Created"), timeout=days(3))
    working_day = delay_until("10:00", ["mon", "tue", "wed", "thu", "fri"])
    nudge = push("Your first project", "It takes two minutes.", link="https://example.com/start")
    activated = update(activated=True)
    week = delay(days(7))
    habit = branch(busy=did("Project Created", at_least=3), phone=attribute("phone").exists())
    how_goes_it = email("How goes it?", text="Answer this mail, we read it.\n\nUnsubscribe: {{ unsubscribe_url }}")

    async def story(self, trigger: SignedUp) -> None:
        """The journey."""
        if await self.split(self.tone) == "warm":
            await self.send(self.welcome_warm)
        else:
            await self.send(self.welcome_short)
        if await self.wait_for(self.first_project) == "created":
            await self.update(self.activated)
        else:
            await self.delay(self.working_day)
            await self.send(self.nudge)
        if trigger.plan == "free":
            await self.delay(self.week)
            if await self.branch(self.habit) != "busy":
                await self.send(self.how_goes_it)
