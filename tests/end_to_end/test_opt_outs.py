"""Who said no gets no marketing, whoever else has the address; who says yes again gets it again."""

import re

import httpx2
import pytest
from twilio.request_validator import RequestValidator

from tests.support.product import Product, Starter

EVERY_TIME = {"type": "every_time"}
MAIL = {"id": "mail", "type": "email", "subject": "Hi", "text": "{{ unsubscribe_url }}"}
SMS = {"id": "text", "type": "sms", "body": "Hi"}
NUMBER = "+12025550123"


async def callback(product: Product, starter: Starter, path: str, **form: str) -> None:
    """Twilio's request, signed."""
    signature = RequestValidator(product.providers.token).compute_signature(f"http://campaigns.test{path}", form)
    async with httpx2.AsyncClient() as twilio:
        answer = await twilio.post(starter.url + path, data=form, headers={"X-Twilio-Signature": signature})
    assert answer.is_success, answer.text


async def skipped(starter: Starter, customer: str, key: str = "c") -> dict[str, int]:
    """What was skipped, in sum, once the customer has passed the campaign."""
    await starter.track(customer, key)
    return (await starter.until_ended(key))["steps"][0]["skipped"]


@pytest.mark.parametrize("way", ["link", "page", "api"])
async def test_an_opt_out_holds_for_the_address(product: Product, way: str):
    starter = await product.starter()
    await starter.call("PUT", "/v1/topics/news", {"name": "News"})
    await starter.campaign("c", frequency=EVERY_TIME, steps=[{**MAIL, "topic": "news"}])
    await starter.customer("ann", email="home@example.com")
    await starter.customer("bob", email="HOME@example.com")
    async with product.worker():
        assert await skipped(starter, "ann") == {}
        url = re.search(r"http://campaigns\.test(/u/\S+)", product.providers.mails[0].get_content())
        assert url
        async with httpx2.AsyncClient() as mailbox:
            if way == "link":
                answer = await mailbox.post(starter.url + url[1], data={"List-Unsubscribe": "One-Click"})
                assert answer.is_success
            elif way == "page":
                assert (await mailbox.post(f"{starter.url}{url[1]}/topics", data={"save": "1"})).is_success
        if way == "api":
            said = {"channel": "email", "status": "unsubscribed", "source": "a letter"}
            await starter.call("PUT", "/v1/customers/ann/consents", said)
        assert await skipped(starter, "bob") == {"unsubscribed": 1}
        await starter.customer("cid", email="home@EXAMPLE.com")  # made later
        assert await skipped(starter, "cid") == {"unsubscribed": 2}
        # Whoever has the mailbox says yes again, and is who they say they are; what Ann said stays Ann's.
        await starter.call("PUT", "/v1/customers/bob/consents", {"channel": "email", "status": "subscribed"})
        if way == "page":
            again = {"channel": "email", "topic": "news", "status": "subscribed"}
            await starter.call("PUT", "/v1/customers/bob/consents", again)
        assert await skipped(starter, "bob") == {"unsubscribed": 2}
        assert await skipped(starter, "ann") == {"unsubscribed": 3}


@pytest.mark.parametrize(
    ("stop", "start"),
    [
        ({"Body": "ARRET", "OptOutType": "STOP"}, {"Body": "COMMENCER", "OptOutType": "START"}),
        ({"Body": "stop"}, {"Body": "start"}),
    ],
)
async def test_texts_that_end_and_begin_a_subscription(product: Product, stop: dict[str, str], start: dict[str, str]):
    starter = await product.starter()
    await starter.campaign("c", frequency=EVERY_TIME, steps=[SMS])
    await starter.customer("ann")
    async with product.worker():
        await callback(product, starter, "/callbacks/twilio", From=NUMBER, Body="STOP", OptOutType="HELP")
        assert await skipped(starter, "ann") == {}
        await callback(product, starter, "/callbacks/twilio", From=NUMBER, **stop)
        assert await skipped(starter, "ann") == {"unsubscribed": 1}
        await callback(product, starter, "/callbacks/twilio", From=NUMBER, **start)
        assert await skipped(starter, "ann") == {"unsubscribed": 1}


async def message_id(product: Product, starter: Starter) -> str:
    from sqlalchemy import select

    from campaigns.models.store.tables import Message

    async with starter.parts.database.read() as connection:
        return (await connection.execute(select(Message.id).order_by(Message.claimed_at.desc()).limit(1))).scalar_one()


async def test_start_lifts_what_twilio_refused_for_a_stop(product: Product):
    """A transactional text after STOP meets 21610, which suppresses the number; START takes that back, and no more."""
    starter = await product.starter()
    await starter.campaign("c", frequency=EVERY_TIME, steps=[{**SMS, "category": "transactional"}])
    await starter.customer("ann")
    async with product.worker():
        await skipped(starter, "ann")
        path = f"/callbacks/twilio/{await message_id(product, starter)}"
        await callback(product, starter, path, MessageSid="SM1", MessageStatus="failed", ErrorCode="21610")
        assert await skipped(starter, "ann") == {"suppressed": 1}
        await callback(product, starter, "/callbacks/twilio", From=NUMBER, Body="START")
        assert await skipped(starter, "ann") == {"suppressed": 1}
        await callback(product, starter, path, MessageSid="SM1", MessageStatus="failed", ErrorCode="30005")
        await callback(product, starter, "/callbacks/twilio", From=NUMBER, Body="START")
        assert await skipped(starter, "ann") == {"suppressed": 2}


async def test_our_own_fault_may_be_told_by_a_callback(product: Product):
    starter = await product.starter()
    await starter.campaign("c", steps=[SMS])
    await starter.customer("ann")
    async with product.worker():
        await skipped(starter, "ann")
        path = f"/callbacks/twilio/{await message_id(product, starter)}"
        await callback(product, starter, path, MessageSid="SM1", MessageStatus="undelivered", ErrorCode="30034")
    campaign = await starter.call("GET", "/v1/campaigns/c")
    assert (campaign["status"], campaign["paused_because"]) == ("paused", "twilio 30034")


async def test_no_callback_suppresses_for_a_status_that_is_good(product: Product):
    starter = await product.starter()
    await starter.campaign("c", frequency=EVERY_TIME, steps=[SMS])
    await starter.customer("ann")
    async with product.worker():
        await skipped(starter, "ann")
        path = f"/callbacks/twilio/{await message_id(product, starter)}"
        await callback(product, starter, path, MessageSid="SM1", MessageStatus="delivered", ErrorCode="30005")
        assert await skipped(starter, "ann") == {}
