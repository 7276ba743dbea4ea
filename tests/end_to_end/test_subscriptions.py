"""Double opt-in: a subscription counts when it was confirmed by a link that went to the address."""

import re

import pytest

from tests.support.product import Product, Starter


@pytest.fixture
async def starter(product: Product) -> Starter:
    starter = await product.starter()
    topic = {"name": "Tips & tricks", "opt_in": True, "double_opt_in": True}
    assert await starter.call("PUT", "/v1/topics/tips", topic) == {"key": "tips", **topic}
    await starter.customer("ann")
    return starter


async def subscribe(starter: Starter, **more: object) -> str:
    wanted = {"channel": "email", "topic": "tips", "status": "subscribed", "source": "form", **more}
    return (await starter.call("PUT", "/v1/customers/ann/consents", wanted))["status"]


async def consents(starter: Starter) -> list[tuple[str, str]]:
    found = (await starter.call("GET", "/v1/customers/ann"))["consents"]
    return [(one["status"], one["source"]) for one in found]


async def test_a_subscription_is_confirmed_by_a_mailed_link(product: Product, starter: Starter):
    ask = {"type": "email", "subject": "Please confirm", "text": "{{ event.confirm_url }}", "category": "transactional"}
    tips = {"id": "tips", "type": "email", "subject": "Tips", "text": "{{ unsubscribe_url }}", "topic": "tips"}
    await starter.campaign("ask", trigger={"type": "event", "event": "Subscription Requested"}, steps=[ask])
    await starter.campaign("tips", frequency={"type": "every_time"}, steps=[tips])
    welcome = {"type": "event", "event": "Subscription Confirmed"}
    await starter.campaign("welcome", trigger=welcome, steps=[{"type": "sms", "body": "Welcome to {{ event.topic }}"}])
    async with product.worker():
        assert await subscribe(starter) == "pending"
        await starter.until_ended("ask")
        await starter.track("ann", "tips")
        skipped = await starter.until_ended("tips")
        assert skipped["steps"][0]["skipped"] == {"unsubscribed": 1}
        (mail,) = product.providers.mails
        path = re.sub(r"^http://campaigns.test", "", mail.get_content().strip())
        page = await starter.api.get(path)
        assert (page.status_code, "Tips &amp; tricks" in page.text) == (200, True)
        assert await consents(starter) == [("pending", "form")]
        for _ in range(2):
            assert (await starter.api.post(path)).status_code == 200
        assert await consents(starter) == [("subscribed", "form, confirmed")]
        await starter.until_ended("welcome")
        assert [one["body"] for one in product.providers.texts] == ["Welcome to tips"]
        await starter.track("ann", "tips")
        sent = await starter.until_ended("tips")
        assert sent["steps"][0]["messages"]["sent"] == 1
        # Who is subscribed is not asked again.
        assert await subscribe(starter) == "subscribed"
        assert await starter.entries("ask") == [(await starter.entries("ask"))[0]]


async def test_an_old_link_subscribes_nobody_who_has_left(starter: Starter):
    assert await subscribe(starter) == "pending"
    token = starter.parts.signing.token("confirm", "email\ntips\nann")
    assert await subscribe(starter, status="unsubscribed") == "unsubscribed"
    for path in (f"/s/{token}", f"/s/{token}x", "/s/", f"/s/{starter.parts.signing.token('confirm', 'x')}"):
        for method in ("GET", "POST"):
            assert (await starter.api.request(method, path)).status_code == 404, path
    assert await consents(starter) == [("unsubscribed", "form")]
    await starter.call("DELETE", "/v1/customers/ann")
    assert (await starter.api.post(f"/s/{token}")).status_code == 404


async def test_what_is_confirmed_elsewhere_counts_at_once(starter: Starter):
    assert await subscribe(starter, confirmed=True) == "subscribed"
    assert await subscribe(starter, topic=None) == "subscribed"
    problem = await starter.call("PUT", "/v1/topics/x", {"name": "x", "double_opt_in": True}, 400)
    assert problem["errors"][0]["field"] == "double_opt_in"
