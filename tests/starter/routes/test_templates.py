"""Templates: locales, MJML, inlined styles, a made text part, previews and test sends."""

import pytest

from tests.support.product import Product, Starter

MJML = "<mjml><mj-body><mj-section><mj-column><mj-text>Hello {{ customer.name }}</mj-text></mj-column></mj-section></mj-body></mjml>"
TEXT = {"type": "sms", "body": "Hi {{ customer.name }}"}
STYLED = '<style>p { color: red } @media (max-width: 9px) { p { color: blue } }</style><p>Hello {{ customer.name }}, <a href="https://shop.example">go</a></p>'


@pytest.fixture
async def starter(product: Product) -> Starter:
    return await product.starter()


async def put(starter: Starter, key: str, status: int = 200, **content: object) -> dict:
    return await starter.call("PUT", f"/v1/templates/{key}", content, status)


async def preview(starter: Starter, key: str, **customer: object) -> dict:
    return await starter.call("POST", f"/v1/templates/{key}/preview", {"customer": customer})


async def test_a_locale_chooses_the_variant(starter: Starter):
    locales = {"de": {"subject": "Hallo {{ customer.name }}"}, "pt-BR": {"subject": "Oi", "text": "Tchau"}}
    await put(starter, "hi", subject="Hi", text="Bye", locales=locales)
    expected = {
        "de": ("Hallo Ann", "Bye"),
        "de-AT": ("Hallo Ann", "Bye"),
        "pt_br": ("Oi", "Tchau"),
        "pt": ("Hi", "Bye"),
        "": ("Hi", "Bye"),
    }
    for locale, (subject, text) in expected.items():
        found = await preview(starter, "hi", name="Ann", locale=locale)
        assert (found["subject"], found["text"]) == (subject, text), locale
    assert (await starter.call("GET", "/v1/templates/hi"))["locales"] == locales
    problem = await put(starter, "hi", 400, subject="Hi", text="Bye", locales={"de": {"subject": "{% if"}})
    assert problem["errors"][0]["field"] == "locales.de.subject"
    await put(starter, "hi", 400, subject="Hi", text="Bye", locales={"../de": {}})
    await put(starter, "hi", 400, subject="Hi", text="Bye", locales={"de": {"body": "of a text message"}})


async def test_styles_are_inlined_and_a_text_part_is_made(product: Product, starter: Starter):
    await starter.customer("ann")
    await put(starter, "styled", subject="Hi", html=STYLED)
    await put(starter, "mjml", subject="Hi", html=MJML)
    await starter.campaign("c", steps=[{"type": "email", "template": key} for key in ("styled", "mjml")])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
    styled, mjml = product.providers.mails
    html = styled.get_body(("html",)).get_content()
    assert '<p style="color: red;">Hello Ann' in html
    assert "@media" in html
    assert styled.get_body(("plain",)).get_content().strip() == "Hello Ann, [go](https://shop.example)"
    assert "mjml" not in mjml.get_body(("html",)).get_content().lower()
    assert mjml.get_body(("plain",)).get_content().strip() == "Hello Ann"


async def test_bad_mjml_is_said(starter: Starter):
    for html in (
        "<mjml><mj-head></mj-head></mjml>",
        '<mjml><mj-body><mj-include path="/etc/passwd" /></mj-body></mjml>',
    ):
        problem = await put(starter, "bad", 400, subject="Hi", html=html)
        assert problem["errors"][0]["field"] == "html"
        assert "MJML" in problem["errors"][0]["detail"]


async def test_test_sends(product: Product, starter: Starter):
    await starter.customer("ann", locale="de")
    await put(
        starter,
        "hi",
        subject="Hi {{ event.total }}",
        html="<p>{{ customer.name }}</p>",
        locales={"de": {"subject": "Hallo {{ event.total }}"}},
    )
    await put(starter, "text", body="Hi {{ customer.name }}")
    async with product.worker():
        wanted = {"to": "me@example.com", "customer_id": "ann", "event": {"total": 7}}
        assert (await starter.call("POST", "/v1/templates/hi/test-send", wanted))["outcome"] == "sent"
        (mail,) = product.providers.mails
        assert (mail["To"], mail["Subject"]) == ("me@example.com", "Hallo 7")
        for channel in ("sms", "whatsapp"):
            sent = {"to": "+12025550177", "customer": {"name": "Bob"}, "channel": channel}
            assert (await starter.call("POST", "/v1/templates/text/test-send", sent))["outcome"] == "sent"
        assert [one["to"] for one in product.providers.texts] == ["+12025550177", "whatsapp:+12025550177"]
        product.providers.mail_faults.append("rcpt 550 5.1.1 nobody")
        refused = await starter.call("POST", "/v1/templates/hi/test-send", wanted)
        assert (refused["outcome"], refused["reason"]) == ("failed", "refused")
        for body, field in (({}, "to"), ({"to": "x"}, "to"), ({"to": "a@example.com", "channel": "sms"}, "channel")):
            problem = await starter.call("POST", "/v1/templates/hi/test-send", body, 400)
            assert problem["errors"][0]["field"] == field
        await starter.call("POST", "/v1/templates/none/test-send", {"to": "a@example.com"}, 404)
        # Temporal's history shows nobody's address.
        async for execution in product.client.list_workflows(
            f"TaskQueue = '{product.task_queue}' AND WorkflowType = 'Proof'"
        ):
            history = (await product.client.get_workflow_handle(execution.id).fetch_history()).to_json()
            assert "me@example.com" not in history


async def test_who_lacks_a_value_is_skipped_and_goes_on(product: Product, starter: Starter):
    await put(starter, "hi", subject="Hi {{ customer.nickname | default: 'you' }}", text="Since {{ customer.since }}")
    await starter.campaign("c", steps=[{"id": "mail", "type": "email", "template": "hi"}, {"id": "text", **TEXT}])
    await starter.customer("ann", since="May")
    await starter.customer("bob")
    simulated = await starter.call("POST", "/v1/campaigns/c/simulate", {"customer_id": "bob"})
    assert (simulated["steps"][0]["outcome"], simulated["steps"][0]["reason"]) == ("skipped", "missing_value")
    assert (await preview(starter, "hi", since="May"))["missing"] == []
    found = await preview(starter, "hi")
    assert (found["subject"], found["text"], found["missing"]) == ("Hi you", "Since ", ["customer.since"])
    async with product.worker():
        for customer in ("ann", "bob"):
            await starter.track(customer, "c")
        statistics = await starter.until_ended("c")
        (entry,) = [one for one in await starter.entries("c") if one["customer_id"] == "bob"]
        whole = await starter.call("GET", f"/v1/entries/{entry['id']}")
    assert [mail["To"] for mail in product.providers.mails] == ["ann@example.com"]
    assert len(product.providers.texts) == 2
    mail, _ = statistics["steps"]
    assert (mail["skipped"], statistics["entries"]["completed"]) == ({"missing_value": 1}, 2)
    skipped = next(one for one in whole["timeline"] if (one["step"], one["outcome"]) == ("mail", "skipped"))
    assert skipped["detail"] == "missing_value, customer.since"


async def test_a_hostile_template_fails_alone(product: Product, starter: Starter):
    endless = (
        "{% assign a = 'xxxxxxxxxx' %}{% for i in (1..15) %}{% assign a = a | append: a %}{% endfor %}"
        "{% for i in (1..9000) %}{% assign b = a | replace: 'x', 'y' | split: 'y' | size %}{% endfor %}"
    )
    await put(starter, "endless", body=endless)
    await starter.campaign("bad", steps=[{"type": "sms", "template": "endless"}, {"id": "text", **TEXT}])
    await starter.campaign("good", steps=[{"id": "text", **TEXT}])
    async with product.worker():
        for number in range(3):
            await starter.customer(f"bad-{number}")
            await starter.track(f"bad-{number}", "bad")
        await starter.customer("good")
        await starter.track("good", "good")
        await starter.until_ended("good")
        statistics = await starter.until_ended("bad", 60)
    assert (statistics["steps"][0]["failed"], statistics["steps"][1]["messages"]["sent"]) == (3, 3)
    assert "too long" in str((await starter.api.post("/v1/templates/endless/preview", json={})).json())
