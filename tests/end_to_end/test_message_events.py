"""What came of messages: opened, clicked, delivered, bounced, complained of, answered with STOP."""

import base64
import json
import re
import time
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook
from twilio.request_validator import RequestValidator

from campaigns.cli.demo import inconsistencies
from tests.support.product import Product, Starter, until

SHOP = "https://shop.example/offer?a=1&b=2"
MAIL = {
    "id": "mail",
    "type": "email",
    "subject": "Hi",
    "html": f'<p><a class="x" href="{SHOP.replace("&", "&amp;")}">Go</a> <a href="{{{{ unsubscribe_url }}}}">no more</a></p>',
}
SMS = {"id": "text", "type": "sms", "body": "Hi"}
EVERY_TIME = {"type": "every_time"}


def on(event: str, name: str = "it", timeout: str = "PT30S", where: object = None) -> dict:
    return {
        "id": f"on-{name}",
        "type": "wait",
        "for": [{"name": name, "event": event, "steps": [], **({"where": where} if where else {})}],
        "timeout": timeout,
    }


PERSON = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36"
}


async def visit(starter: Starter, url: str, **headers: str) -> httpx2.Response:
    """What a reader gets who follows a link to us."""
    path = url.replace("http://campaigns.test", starter.url)
    async with httpx2.AsyncClient(follow_redirects=False) as reader:
        return await reader.get(path, headers={**PERSON, **headers})


def links(product: Product, number: int = -1) -> tuple[str, str]:
    """The tracked link of the mail, and its image."""
    html = product.providers.mails[number].get_body(("html",)).get_content()
    return re.search(r'href="(http://campaigns.test/c/[^"]+)"', html)[1], re.search(
        r'src="(http://campaigns.test/o/[^"]+)"', html
    )[1]


async def messages(starter: Starter, campaign: str, step: str) -> dict:
    found = await starter.statistics(campaign)
    assert inconsistencies(found) == []
    counted = next(one for one in found["steps"] if one["id"] == step)["messages"]
    return {name: number for name, number in counted.items() if number}


async def callback(product: Product, starter: Starter, path: str, *, token: str | None = None, **form: str) -> int:
    """Twilio's request, signed."""
    signature = RequestValidator(token or product.providers.token).compute_signature(
        f"http://campaigns.test{path}", form
    )
    async with httpx2.AsyncClient() as twilio:
        answer = await twilio.post(starter.url + path, data=form, headers={"X-Twilio-Signature": signature})
    return answer.status_code


async def message_id(product: Product) -> str:
    from sqlalchemy import select

    from campaigns.models.store.database import open_database
    from campaigns.models.store.tables import Message

    database = open_database(product.url)
    async with database.read() as connection:
        found = (await connection.execute(select(Message.id).order_by(Message.claimed_at.desc()).limit(1))).scalar_one()
    await database.close()
    return found


async def test_opens_and_clicks(product: Product):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign(
        "c",
        steps=[
            MAIL,
            on("Email Opened", "opened"),
            on("Email Link Clicked", "clicked", where={"property": "link", "op": "contains", "value": "offer"}),
        ],
    )
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_waiting("c", "on-opened")
        link, image = links(product)
        assert "/u/" in product.providers.mails[0].get_body(("html",)).get_content()
        for agent in ("Mozilla/5.0", "python-requests/2.34", "", "GoogleImageProxy bot"):
            machine = await visit(starter, image, **{"User-Agent": agent})
            assert machine.headers["content-type"] == "image/gif"
            assert (await visit(starter, link, **{"User-Agent": agent})).headers["location"] == SHOP
        async with httpx2.AsyncClient() as client:
            for url in (image, link):
                head = await client.head(url.replace("http://campaigns.test", starter.url), headers=PERSON)
                assert (head.status_code, head.content) == (200 if url == image else 302, b"")
        # Machines count apart, and meet no wait.
        assert await messages(starter, "c", "mail") == {"sent": 1}
        await starter.until_waiting("c", "on-opened")
        for _ in range(2):
            assert (await visit(starter, image)).status_code == 200
        await starter.until_waiting("c", "on-clicked")
        for _ in range(2):
            answer = await visit(starter, link)
            assert (answer.status_code, answer.headers["location"]) == (302, SHOP)
        statistics = await starter.until_ended("c")
        assert await messages(starter, "c", "mail") == {"sent": 1, "opened": 1, "clicked": 1}
        assert statistics["steps"][2]["branches"] == {"clicked": 1, "timeout": 0}


async def test_forged_and_foreign_tokens_lead_nowhere(product: Product):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", steps=[MAIL])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
    link, image = links(product)
    for wrong in (link[:-1], image.replace("/o/", "/c/"), "http://campaigns.test/c/https://evil.example"):
        assert (await visit(starter, wrong)).status_code == 404
    await visit(starter, link.replace("/c/", "/o/"))
    await visit(starter, image[:-2])
    assert await messages(starter, "c", "mail") == {"sent": 1}


async def test_a_wait_is_for_the_last_message_above_it(product: Product):
    """Unless its condition names the step."""
    starter = await product.starter()
    await starter.customer("ann")
    of_first = {"property": "step", "op": "equals", "value": "mail"}
    second = {**MAIL, "id": "second"}
    await starter.campaign(
        "c",
        steps=[
            MAIL,
            second,
            on("Email Link Clicked", "last", "PT2S"),
            on("Email Link Clicked", "first", where=of_first),
        ],
    )
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_waiting("c", "on-last")
        link, _ = links(product, 0)
        await visit(starter, link)
        statistics = await starter.until_ended("c")
    assert statistics["steps"][2]["branches"] == {"last": 0, "timeout": 1}
    assert statistics["steps"][3]["branches"] == {"first": 1, "timeout": 0}


async def test_events_of_messages_trigger_other_campaigns_and_hold_in_conditions(product: Product):
    starter = await product.starter()
    await starter.customer("ann")
    opened = {"type": "event", "event": "Email Opened"}
    when = {"step": "mail", "status": "opened"}
    branch = {"id": "b", "type": "branch", "branches": [{"name": "yes", "when": when, "steps": []}]}
    await starter.campaign(
        "c", frequency=EVERY_TIME, trigger={"type": "event", "event": "c"}, steps=[MAIL, on("Email Opened"), branch]
    )
    await starter.campaign("own", frequency=EVERY_TIME, trigger=opened, steps=[MAIL])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_waiting("c", "on-it")
        await visit(starter, links(product)[1])
        assert (await starter.until_ended("c"))["steps"][2]["branches"] == {"yes": 1, "otherwise": 0}
        await starter.until_ended("own")
        assert len(product.providers.mails) == 2
        # What it has sent itself does not trigger it.
        await visit(starter, links(product)[1])
        assert (await messages(starter, "own", "mail"))["opened"] == 1
        assert (await starter.statistics("own"))["entries"]["entered"] == 1


async def test_what_twilio_tells(product: Product):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", steps=[SMS, on("SMS Delivered")])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_waiting("c", "on-it")
        path = f"/callbacks/twilio/{await message_id(product)}"
        told = {"MessageSid": "SM1", "MessageStatus": "delivered"}
        assert await callback(product, starter, path, token="x" * 32, **told) == 403
        async with httpx2.AsyncClient() as nobody:
            assert (await nobody.post(starter.url + path, data=told)).status_code == 403
        assert await messages(starter, "c", "text") == {"sent": 1}
        # Disordered, and twice.
        for status in ("delivered", "sent", "delivered", "queued"):
            assert await callback(product, starter, path, MessageSid="SM1", MessageStatus=status) == 204
        statistics = await starter.until_ended("c")
    assert statistics["steps"][1]["branches"] == {"it": 1, "timeout": 0}
    assert await messages(starter, "c", "text") == {"sent": 1, "delivered": 1}


async def test_a_number_that_is_none_is_suppressed(product: Product):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", frequency=EVERY_TIME, steps=[{**SMS, "category": "transactional"}])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
        path = f"/callbacks/twilio/{await message_id(product)}"
        await callback(product, starter, path, MessageSid="SM1", MessageStatus="undelivered", ErrorCode="30005")
        assert await messages(starter, "c", "text") == {"sent": 1, "bounced": 1}
        await starter.track("ann", "c")
        assert (await starter.until_ended("c"))["steps"][0]["skipped"] == {"suppressed": 1}


async def test_a_callback_settles_what_nobody_knew(product: Product):
    product.providers.text_faults.append(503)
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", steps=[SMS])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
        assert await messages(starter, "c", "text") == {"unknown": 1}
        path = f"/callbacks/twilio/{await message_id(product)}"
        await callback(product, starter, path, MessageSid="SM9", MessageStatus="sent")
        assert await messages(starter, "c", "text") == {"sent": 1}
        (entry,) = await starter.entries("c")
        timeline = (await starter.call("GET", f"/v1/entries/{entry['id']}"))["timeline"]
        assert timeline[-2]["detail"] == "sent"


@pytest.mark.parametrize("word", ["STOP", " stop. ", "Unsubscribe"])
async def test_stop_unsubscribes(product: Product, word: str):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", frequency=EVERY_TIME, steps=[SMS])

    async def says(body: str) -> None:
        assert (
            await callback(product, starter, "/callbacks/twilio", From="+12025550123", To="+12025550100", Body=body)
            == 200
        )

    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
        await says("what is this?")
        await starter.track("ann", "c")
        await starter.until_ended("c")
        assert len(product.providers.texts) == 2
        await says(word)
        consents = (await starter.call("GET", "/v1/customers/ann"))["consents"]
        assert [(one["channel"], one["status"]) for one in consents] == [("sms", "unsubscribed")]
        await starter.track("ann", "c")
        assert (await starter.until_ended("c"))["steps"][0]["skipped"] == {"unsubscribed": 1}
        # Somebody else with the number gets nothing either.
        await starter.customer("bob")
        await starter.track("bob", "c")
        assert (await starter.until_ended("c"))["steps"][0]["skipped"] == {"unsubscribed": 2}
        await says("START")
        await starter.track("ann", "c")
        await starter.until_ended("c")
    assert len(product.providers.texts) == 3


@pytest.mark.parametrize(("kind", "counted"), [("bounced", "bounced"), ("complained", "complained")])
async def test_bounces_and_complaints_suppress_the_address(product: Product, kind: str, counted: str):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", frequency=EVERY_TIME, steps=[MAIL])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
        known_as = str(product.providers.mails[0]["Message-ID"])
        path = f"/v1/messages/{known_as}/reports"
        await starter.call("POST", path, {"type": "nonsense"}, 400)
        await starter.call("POST", "/v1/messages/nobody/reports", {"type": kind}, 404)
        await starter.call("POST", path, {"type": "bounced", "hard": False}, 204)
        await starter.track("ann", "c")
        await starter.until_ended("c")
        for _ in range(2):
            await starter.call(
                "POST",
                f"/v1/messages/{await message_id(product)}/reports",
                {"type": kind, "reason": "no such user"},
                204,
            )
        await starter.track("ann", "c")
        statistics = await starter.until_ended("c")
        assert statistics["steps"][0]["skipped"] == {"suppressed": 1}
        assert (await messages(starter, "c", "mail"))[counted] >= 1


async def test_an_event_of_a_message_of_one_who_was_erased_only_counts(product: Product):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", steps=[MAIL])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
        link, _ = links(product)
        await starter.call("DELETE", "/v1/customers/ann", status=204)
        assert (await visit(starter, link)).status_code == 302
        assert await messages(starter, "c", "mail") == {"sent": 1, "opened": 1, "clicked": 1}
        await starter.call("GET", "/v1/customers/ann", status=404)

        async def nothing() -> bool:
            return (await starter.entries("c"))[0]["customer_id"] is None

        await until(nothing)


async def test_the_preference_page(product: Product):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.call("PUT", "/v1/topics/news", {"name": "News & more"})
    await starter.call("PUT", "/v1/topics/offers", {"name": "<Offers>", "opt_in": True})
    await starter.campaign("c", frequency=EVERY_TIME, steps=[{**MAIL, "topic": "offers"}, {**MAIL, "id": "plain"}])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
        url = str(product.providers.mails[0]["List-Unsubscribe"]).strip("<>")
        page = (await visit(starter, url)).text
        assert 'value="news" checked' in page
        assert 'value="offers"> &lt;Offers&gt;' in page
        assert (await starter.call("GET", "/v1/customers/ann"))["consents"] == []

        async def says(path: str = "", **form: object) -> int:
            async with httpx2.AsyncClient() as reader:
                return (
                    await reader.post(url.replace("http://campaigns.test", starter.url) + path, data=form)
                ).status_code

        assert await says("/topics", topic=["offers"]) == 200
        page = (await visit(starter, url)).text
        assert ('value="news"> ' in page, 'value="offers" checked' in page) == (True, True)
        await starter.track("ann", "c")
        found = await starter.until_ended("c")
        assert [step["messages"]["sent"] for step in found["steps"]] == [1, 2]
        assert await says(**{"List-Unsubscribe": "One-Click"}) == 200
        await starter.track("ann", "c")
        found = await starter.until_ended("c")
        assert [step["skipped"].get("unsubscribed") for step in found["steps"]] == [2, 1]
        assert "checked" not in (await visit(starter, url)).text
        assert (await messages(starter, "c", "plain"))["unsubscribed"] == 1
        async with httpx2.AsyncClient() as reader:
            forged = url.replace("http://campaigns.test", starter.url)[:-1] + "/topics"
            assert (await reader.post(forged, data={"topic": "news"})).status_code == 404


async def test_who_subscribes_themselves_takes_back_the_opt_out_of_their_address(product: Product):
    """It outlives an erasure, by the address's hash; whoever has the address chooses anew on the preference page."""
    starter = await product.starter()
    await starter.call("PUT", "/v1/customers/ann", {"email": "ann@example.com"})
    gone = {"channel": "email", "status": "unsubscribed", "source": "form"}
    for topic in (None, "news", "tips"):
        await starter.call("PUT", "/v1/customers/ann/consents", {**gone, **({"topic": topic} if topic else {})})
    await starter.call("DELETE", "/v1/customers/ann", status=204)
    await starter.call("PUT", "/v1/customers/eve", {"email": "Ann@example.com"})
    for topic in ("news", "tips"):
        await starter.call("PUT", f"/v1/topics/{topic}", {"name": topic})
    receipt = {**MAIL, "id": "receipt", "category": "transactional"}
    marketing = [
        {**MAIL, "id": "plain"},
        {**MAIL, "id": "news", "topic": "news"},
        {**MAIL, "id": "tips", "topic": "tips"},
    ]
    await starter.campaign("c", frequency=EVERY_TIME, steps=[receipt, *marketing])
    async with product.worker():
        await starter.track("eve", "c")
        before = await starter.until_ended("c")
        assert [step["messages"]["sent"] for step in before["steps"]] == [1, 0, 0, 0]
        token = starter.parts.signing.token("unsubscribe", await message_id(product))
        async with httpx2.AsyncClient() as reader:
            page = f"{starter.url}/u/{token}/topics"
            assert (await reader.post(page, data={"topic": "news"})).status_code == 200
        await starter.track("eve", "c")
        after = await starter.until_ended("c")
        assert [step["messages"]["sent"] for step in after["steps"]] == [2, 1, 1, 0]


BOUNCE = """From: MAILER-DAEMON@mx.example\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r
Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r
--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r
--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r
Final-Recipient: rfc822; ann@example.com\r\nAction: {action}\r\nStatus: {status}\r
Diagnostic-Code: smtp; 550 no such user\r\n\r
--b\r\nContent-Type: {enclosed}\r\n\r\nFrom: shop@example.com\r\nMessage-ID: {id}\r\nSubject: Hi\r\n\r\nHello\r\n--b--\r\n"""
COMPLAINT = """From: fbl@mx.example\r\nMIME-Version: 1.0\r
Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r
--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\n\r
--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: {id}\r\n\r\nHello\r\n--b--\r\n"""


@pytest.mark.parametrize(
    ("report", "counted", "suppressed"),
    [
        (
            BOUNCE.replace("{action}", "failed").replace("{status}", "5.1.1").replace("{enclosed}", "message/rfc822"),
            "bounced",
            True,
        ),
        (
            BOUNCE.replace("{action}", "failed")
            .replace("{status}", "5.2.2 (full)")
            .replace("{enclosed}", "text/rfc822-headers"),
            "bounced",
            False,
        ),
        (
            BOUNCE.replace("{action}", "delivered")
            .replace("{status}", "2.0.0")
            .replace("{enclosed}", "message/rfc822"),
            "delivered",
            False,
        ),
        (COMPLAINT, "complained", True),
    ],
    ids=["no such user", "mailbox full", "delivered", "complaint"],
)
async def test_reports_that_come_by_mail(product: Product, report: str, counted: str, suppressed: bool):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", frequency=EVERY_TIME, steps=[MAIL])

    async def post(raw: str) -> int:
        headers = {"Content-Type": "message/rfc822"}
        return (await starter.api.post("/v1/messages/reports", content=raw.encode(), headers=headers)).status_code

    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
        assert await post("Subject: Hello\r\n\r\nI am away.\r\n") == 400
        assert await post(report.replace("{id}", "<nobody@example.com>")) == 404
        for _ in range(2):
            assert await post(report.replace("{id}", str(product.providers.mails[0]["Message-ID"]))) == 200
        assert await messages(starter, "c", "mail") == {"sent": 1, counted: 1}
        await starter.track("ann", "c")
        statistics = await starter.until_ended("c")
        assert statistics["steps"][0]["skipped"] == ({"suppressed": 1} if suppressed else {})


SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


async def mail_webhook(starter: Starter, type_: str, *, secret: str = SECRET, age_s: int = 0, **data: object) -> int:
    """A mail service's request, signed by Standard Webhooks."""
    body = json.dumps({"type": type_, "timestamp": "2026-01-01T00:00:00Z", "data": data})
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    signature = Webhook(secret).sign("msg_1", at, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
    async with httpx2.AsyncClient() as service:
        return (await service.post(f"{starter.url}/callbacks/mail", content=body, headers=headers)).status_code


async def test_mail_services_tell_by_signed_webhooks(product: Product):
    product.settings = product.settings.model_copy(update={"mail_webhook_secret": SecretStr(SECRET)})
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", frequency=EVERY_TIME, steps=[MAIL])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
        known_as = str(product.providers.mails[0]["Message-ID"])
        other = "whsec_" + base64.b64encode(b"o" * 32).decode()
        assert await mail_webhook(starter, "email.bounced", secret=other, message_id=known_as) == 403
        assert await mail_webhook(starter, "email.bounced", age_s=3600, message_id=known_as) == 403
        assert (await starter.api.post("/callbacks/mail", json={})).status_code == 403
        for headers in ({"webhook-signature": "v1"}, {"webhook-signature": "v1,é"}, {"webhook-timestamp": "x"}):
            whole = {
                "webhook-id": "1",
                "webhook-timestamp": str(int(time.time())),
                "webhook-signature": "v1,x",
                **headers,
            }
            encoded = {name: value.encode() for name, value in whole.items()}
            assert (await starter.api.post("/callbacks/mail", content=b"\xff{}", headers=encoded)).status_code == 403
        assert await messages(starter, "c", "mail") == {"sent": 1}
        assert await mail_webhook(starter, "email.sent", whatever=1) == 204
        assert await mail_webhook(starter, "email.bounced", message_id="<nobody@example.com>") == 204
        assert await mail_webhook(starter, "email.bounced") == 400
        assert await mail_webhook(starter, "email.bounced", message_id="x\u0000") == 400
        for _ in range(2):
            assert await mail_webhook(starter, "email.delivered", message_id=known_as, more=[1]) == 204
        assert await mail_webhook(starter, "email.complained", message_id=known_as) == 204
        assert await messages(starter, "c", "mail") == {"sent": 1, "delivered": 1, "complained": 1}
        await starter.track("ann", "c")
        statistics = await starter.until_ended("c")
    assert statistics["steps"][0]["skipped"] == {"suppressed": 1}


async def test_without_a_secret_no_webhook_is_taken(product: Product):
    starter = await product.starter()
    assert await mail_webhook(starter, "email.bounced", message_id="x") == 403
