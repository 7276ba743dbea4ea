"""Limited rates of providers, kept by Temporal over all workers."""

import asyncio
import time

from tests.support.product import Product, Starter

TEXT = {"type": "sms", "body": "Hi"}
RATE, NUMBER = 5, 24


async def enter(starter: Starter, campaign: str, number: int) -> None:
    async def one(name: str) -> None:
        await starter.customer(name)
        await starter.track(name, campaign)

    await asyncio.gather(*(one(f"{campaign}-{index}") for index in range(number)))


async def test_two_workers_keep_one_rate(product: Product):
    product.settings = product.settings.model_copy(update={"rate_limits": f"twilio={RATE}"})
    starter = await product.starter()
    sender = product.providers
    await starter.campaign("news", steps=[{"id": "text", **TEXT}])
    await starter.campaign("codes", steps=[{**TEXT, "body": "Code", "category": "transactional"}])
    async with product.worker(), product.worker(await product.own_client()):
        begun = time.monotonic()
        await enter(starter, "news", NUMBER)
        await starter.until_waiting("news", "text")
        await enter(starter, "codes", 2)
        statistics = await starter.until_ended("news", 60)
        passed = time.monotonic() - begun
        await starter.until_ended("codes")
    bodies = [one["body"] for one in sender.texts]
    assert len(bodies) == NUMBER + 2
    # A burst of a second's worth, for each of the queue's partitions at most, and then the rate.
    assert passed > (NUMBER + 2 - 2 * RATE) / RATE
    # Transactional texts passed marketing ones that had waited longer.
    assert bodies.index("Code") < NUMBER - RATE
    assert statistics["steps"][0]["messages"]["sent"] == NUMBER


async def test_what_waits_for_its_turn_can_be_taken_out(product: Product):
    product.settings = product.settings.model_copy(update={"rate_limits": "sms=0.2"})
    starter = await product.starter()
    await starter.campaign("news", steps=[{"id": "text", **TEXT}])
    async with product.worker():
        await enter(starter, "news", 16)
        await starter.until_waiting("news", "text")
        entries = await starter.entries("news")
        assert len(entries) == 16
        for entry in entries:
            answer = await starter.api.post(f"/v1/entries/{entry['id']}/exit")
            assert answer.is_success or "has ended" in answer.text
        statistics = await starter.until_ended("news")
    sent = statistics["steps"][0]["messages"]["sent"]
    assert sent == len(product.providers.texts) < 16
    assert statistics["entries"]["exited"] == 16 - statistics["entries"]["completed"]


async def test_campaigns_take_turns(product: Product):
    product.settings = product.settings.model_copy(update={"rate_limits": f"sms={RATE}"})
    starter = await product.starter()
    for campaign in ("many", "few"):
        await starter.campaign(campaign, steps=[{"id": "text", "type": "sms", "body": campaign}])
    async with product.worker():
        await enter(starter, "many", 60)
        await starter.until_waiting("many", "text")
        await enter(starter, "few", 3)
        await starter.until_ended("many", 60)
        await starter.until_ended("few")
    bodies = [one["body"] for one in product.providers.texts]
    places = [place for place, body in enumerate(bodies) if body == "few"]
    assert (len(bodies), len(places)) == (63, 3)
    # First come, first served they would be the last three of 63.
    assert sum(places) / 3 < 50, bodies
