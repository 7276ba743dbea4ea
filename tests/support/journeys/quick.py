"""A journey of seconds, with every verb."""

from pydantic import BaseModel

from campaigns.journeys import (
    Journey,
    attribute,
    branch,
    campaign,
    delay,
    delay_until_date,
    email,
    event,
    every_time,
    goal,
    leave,
    on_event,
    prop,
    push,
    seconds,
    sms,
    split,
    update,
    wait,
    webhook,
    whatsapp,
)


class Started(BaseModel):
    rounds: int
    note: str = ""


@campaign(
    trigger=on_event("Quick Started", Started, where=prop("rounds").at_least(0)),
    frequency=every_time(),
    goal=goal("Bought"),
)
class Quick(Journey[Started]):
    """Rounds of waiting, and then every verb."""

    hello = email("Hello {{ customer.name }}", text="Note: {{ event.note }}")
    pause = delay(seconds(1))
    date = delay_until_date("soon")
    again = wait(go=event("Go"), timeout=seconds(20))
    ask = webhook("{{ customer.hook }}", body={"who": "{{ customer.id }}"}, save_as="answer")
    text = sms("{{ steps.answer.word }}")
    chat = whatsapp("Hello")
    notice = push("Title", "Body")
    tone = split(warm=1, short=1)
    plan = branch(pro=attribute("plan").equals("pro"))
    mark = update(marked=True)
    done = leave("done")

    async def story(self, trigger: Started) -> None:
        await self.send(self.hello)
        await self.delay(self.pause)
        for _ in range(trigger.rounds):
            if await self.wait_for(self.again) is None:
                return
        await self.delay(self.date)
        await self.send(self.ask)
        await self.send(self.text)
        await self.send(self.chat)
        await self.send(self.notice)
        await self.split(self.tone)
        if await self.branch(self.plan) == "pro":
            await self.update(self.mark)
            await self.exit(self.done)
