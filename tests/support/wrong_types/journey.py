"""What an engineer may get wrong: each line that says so must be found by the type checker, and no other."""

from pydantic import BaseModel

from campaigns.journeys import Journey, branch, campaign, delay, email, event, hours, on_event, prop, sms, split, wait


class CartAbandoned(BaseModel):
    total: float


class SignedUp(BaseModel):
    plan: str


@campaign(trigger=on_event("Signed Up", SignedUp))  # WRONG: the trigger of another event
class Mixed(Journey[CartAbandoned]):
    hello = email("Hello", text="Hello")


@campaign(trigger=on_event("Cart Abandoned", CartAbandoned), frequency_cap="P7D")  # WRONG: a duration is a timedelta
class Cart(Journey[CartAbandoned]):
    hello = email("Hello", text="Hello")
    text = sms("Hello", category="spam")  # WRONG: no such category
    rest = delay(hours(1))
    long = delay("PT1H")  # WRONG: a duration is a timedelta
    reaction = wait(opened=event("Email Opened"), timeout=hours(2))
    odd = wait(opened="Email Opened", timeout=hours(2))  # WRONG: a name is no event
    worth = branch(much=prop("total").at_least(100))
    tone = split(warm=1, short="1")  # WRONG: a weight is a number

    async def story(self, trigger: CartAbandoned) -> None:
        await self.send(self.hello)
        await self.send(self.rest)  # WRONG: a delay is not sent
        await self.send("hello")  # WRONG: a step, not its name
        await self.delay(self.hello)  # WRONG: a message is no delay
        await self.send(self.helo)  # WRONG: no such step
        if trigger.totel > 5:  # WRONG: no such property
            await self.delay(self.rest)
        if await self.wait_for(self.reaction) == 5:  # WRONG: it answers a name
            return
        if await self.send(self.hello) == "opened":  # WRONG: no outcome of a message
            return
        way = await self.branch(self.worth)
        way.upper()  # WRONG: None where no case holds
        self.send(self.hello)  # WRONG: it has to be awaited


@campaign(trigger=on_event("Cart Abandoned", CartAbandoned))
class OtherStory(Journey[CartAbandoned]):
    hello = email("Hello", text="Hello")

    async def story(self, trigger: SignedUp) -> None:  # WRONG: the trigger of another event
        await self.send(self.hello)
