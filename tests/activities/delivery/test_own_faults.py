"""What a provider's answer means beyond the one message: the campaign is paused, the address suppressed, Twilio asked."""

import asyncio

import pytest

from tests.support.product import Product, Starter

MAIL = {"id": "mail", "type": "email", "subject": "Hi", "text": "Hi"}
SMS = {"id": "text", "type": "sms", "body": "Hi {{ customer.name }}"}
EVERY_TIME = {"type": "every_time"}


@pytest.fixture
async def starter(product: Product) -> Starter:
    starter = await product.starter()
    await starter.customer("ann")
    return starter


async def counted(starter: Starter, campaign: str = "c") -> dict:
    step = (await starter.statistics(campaign))["steps"][0]
    return {name: number for name, number in step["messages"].items() if number}


async def test_a_fault_of_our_own_pauses_the_campaign_and_says_why(product: Product, starter: Starter):
    product.settings = product.settings.model_copy(
        update={"twilio_auth_token": type(product.settings.twilio_auth_token)("wrong")}
    )
    await starter.campaign("c", steps=[SMS])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_held("c")
    campaign = await starter.call("GET", "/v1/campaigns/c")
    assert campaign["status"] == "paused"
    assert campaign["paused_because"].startswith("20003")
    assert product.providers.texts == []
    # Somebody mends it, and says so: nobody was lost.
    product.settings = product.settings.model_copy(
        update={"twilio_auth_token": type(product.settings.twilio_auth_token)(product.providers.token)}
    )
    async with product.worker():
        assert (await starter.call("POST", "/v1/campaigns/c/resume"))["paused_because"] is None
        await starter.until_ended("c")
    assert await counted(starter) == {"sent": 1}


@pytest.mark.parametrize(
    ("reply", "suppressed"),
    [
        ("550 5.1.1 no such user", True),
        ("550 no such user", True),
        ("550 blocked, see our list", False),
        ("550 5.7.1 not from you", False),
        ("552 5.2.2 full", False),
    ],
)
async def test_a_refused_address_is_suppressed(product: Product, starter: Starter, reply: str, suppressed: bool):
    product.providers.mail_faults.append(f"rcpt {reply}")
    await starter.campaign("c", frequency=EVERY_TIME, steps=[{**MAIL, "category": "transactional"}])
    async with product.worker():
        for _ in range(2):
            await starter.track("ann", "c")
            statistics = await starter.until_ended("c")
    assert statistics["steps"][0]["failed"] == 1
    assert statistics["steps"][0]["skipped"] == ({"suppressed": 1} if suppressed else {})
    assert len(product.providers.mails) == (0 if suppressed else 1)


async def test_an_unknown_outcome_is_settled_by_asking_twilio(product: Product, starter: Starter):
    """The message was taken, and the answer lost."""
    product.providers.text_faults.append("taken 503")
    await starter.campaign("c", steps=[SMS])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
    assert await counted(starter) == {"sent": 1}
    assert len(product.providers.texts) == 1


async def test_a_transactional_message_is_rather_sent_twice_than_never(product: Product, starter: Starter):
    product.providers.mail_faults.append("drop")
    await starter.campaign("c", steps=[{**MAIL, "category": "transactional"}])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
    assert await counted(starter) == {"sent": 1}
    # Under one Message-ID, so that a mailbox may know it again.
    assert len(product.providers.mails) == 2
    assert len({mail["Message-ID"] for mail in product.providers.mails}) == 1
    (entry,) = await starter.entries("c")
    timeline = (await starter.call("GET", f"/v1/entries/{entry['id']}"))["timeline"]
    assert timeline[-2]["detail"] == "sent, an earlier attempt may have arrived too, after 2 attempts"


async def test_caps_hold_over_all_campaigns_and_workers(product: Product, starter: Starter):
    for body, field in (({}, "body"), ([{"count": 1}], "[0].within"), ([{"count": -1, "within": "P1D"}], "[0].count")):
        problem = await starter.call("PUT", "/v1/message-caps", body, 400)
        assert problem["errors"][0]["field"] == field
    caps = [{"channel": "email", "count": 2, "within": "P1D"}, {"channel": None, "count": 3, "within": "P7D"}]
    assert await starter.call("PUT", "/v1/message-caps", caps) == caps
    assert await starter.call("GET", "/v1/message-caps") == caps
    for n in range(6):
        await starter.campaign(f"c{n}", trigger={"type": "event", "event": "E"}, steps=[MAIL])
    await starter.campaign("texts", frequency=EVERY_TIME, steps=[SMS])
    await starter.campaign("receipt", frequency=EVERY_TIME, steps=[{**MAIL, "category": "transactional"}])
    async with product.worker():
        await starter.track("ann", "E")
        found = await asyncio.gather(*(starter.until_ended(f"c{n}") for n in range(6)))
        skipped = [one["steps"][0]["skipped"] for one in found]
        assert skipped.count({"frequency_cap": 1}) == 4
        assert skipped.count({}) == 2
        for _ in range(2):
            await starter.track("ann", "texts")
            statistics = await starter.until_ended("texts")
        assert statistics["steps"][0]["skipped"] == {"frequency_cap": 1}
        await starter.track("ann", "receipt")
        await starter.until_ended("receipt")
    assert (len(product.providers.mails), len(product.providers.texts)) == (3, 1)
    await starter.call("PUT", "/v1/message-caps", [])
    async with product.worker():
        await starter.track("ann", "texts")
        await starter.until_ended("texts")
    assert len(product.providers.texts) == 2


async def test_topics(product: Product, starter: Starter):
    await starter.call("PUT", "/v1/topics/news", {"name": "News"})
    await starter.call("PUT", "/v1/topics/offers", {"name": "Offers", "opt_in": True})
    assert [one["key"] for one in (await starter.call("GET", "/v1/topics"))["topics"]] == ["news", "offers"]
    await starter.call("GET", "/v1/topics/none", status=404)
    for topic in ("news", "offers"):
        await starter.campaign(topic, frequency=EVERY_TIME, steps=[{**MAIL, "topic": topic}])
    await starter.campaign(
        "receipt", frequency=EVERY_TIME, steps=[{**MAIL, "topic": "offers", "category": "transactional"}]
    )

    async def skipped(campaign: str) -> int:
        await starter.track("ann", campaign)
        return (await starter.until_ended(campaign))["steps"][0]["skipped"].get("unsubscribed", 0)

    async def says(topic: str | None, status: str) -> None:
        said = {"channel": "email", "status": status, "source": "test", **({"topic": topic} if topic else {})}
        await starter.call("PUT", "/v1/customers/ann/consents", said)

    async with product.worker():
        assert (await skipped("news"), await skipped("offers"), await skipped("receipt")) == (0, 1, 0)
        await says("offers", "subscribed")
        await says("news", "unsubscribed")
        assert (await skipped("news"), await skipped("offers")) == (1, 1)
        await says(None, "unsubscribed")
        assert (await skipped("news"), await skipped("offers"), await skipped("receipt")) == (2, 2, 0)
