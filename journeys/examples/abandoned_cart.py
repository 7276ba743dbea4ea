"""A cart that is left: one mail after an hour, then whatever the customer does decides."""

from pydantic import BaseModel

from campaigns.journeys import (
    Journey,
    branch,
    campaign,
    days,
    delay,
    email,
    event,
    every_time,
    goal,
    hours,
    of_trigger,
    on_event,
    prop,
    sms,
    wait,
)


class CartAbandoned(BaseModel):
    """What the shop sends when a cart is left."""

    order_id: str
    total: float


@campaign(
    trigger=on_event("Cart Abandoned", CartAbandoned, where=prop("total").at_least(20)),
    frequency=every_time(),
    entry_key="properties.order_id",
    frequency_cap=days(7),
    priority=0,
    goal=goal("Order Completed", where=prop("order_id").equals(of_trigger("order_id")), within=days(14)),
    quiet_hours=("21:00", "09:00"),
)
class AbandonedCart(Journey[CartAbandoned]):
    """Remind after an hour; who asks for help gets it, who does nothing for two days gets one more word."""

    cool_off = delay(hours(1))
    reminder = email(
        "{{ customer.name | default: 'Hello' }}, your cart waits",
        text="You left goods of {{ event.total }} dollars behind.\n\nUnsubscribe: {{ unsubscribe_url }}",
    )
    reaction = wait(help=event("Help Requested"), later=event("Cart Saved"), timeout=days(2))
    call_back = sms("We call you back within the hour.", category="transactional")
    last_word = sms("Your cart is kept until tomorrow.", expires_after=hours(12))
    worth = branch(much=prop("total").at_least(200))
    offer = email(
        "Ten dollars off, until tomorrow",
        text="With the code COMEBACK.\n\nUnsubscribe: {{ unsubscribe_url }}",
    )

    async def story(self, trigger: CartAbandoned) -> None:
        """The journey."""
        await self.delay(self.cool_off)
        await self.send(self.reminder)
        reaction = await self.wait_for(self.reaction)
        if reaction == "help":
            await self.send(self.call_back)
        elif reaction is None:
            if trigger.total >= 500 or await self.branch(self.worth) == "much":
                await self.send(self.offer)
            else:
                await self.send(self.last_word)
