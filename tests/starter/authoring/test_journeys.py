"""Simulations, drawings, warnings and versions, through the API."""

import json
from xml.etree import ElementTree

import pytest

from campaigns.starter.authoring.advice import advise
from campaigns.starter.authoring.checking import checked_definition
from campaigns.workflows.registry import load_journeys
from tests.support.product import Product, Starter

AT = "2027-03-27T10:00:00Z"
MAIL = {"type": "email", "subject": "Hello {{ customer.name }}", "text": "{{ event.total }} {{ unsubscribe_url }}"}


def definition(**fields) -> dict:
    return {"key": "c", "name": "C", "trigger": {"type": "event", "event": "Started"}, **fields}


async def simulated(starter: Starter, **body) -> dict:
    return await starter.call("POST", "/v1/campaigns/c/simulate", {"at": AT, **body})


def path(answer: dict) -> list[tuple[str, str, str]]:
    return [(step["id"], step["outcome"], step["at"]) for step in answer["steps"]]


async def test_a_simulation_sends_nothing_and_leaves_nothing(product: Product):
    starter = await product.starter()
    steps = [
        {"id": "hello", **MAIL},
        {"id": "nine", "type": "delay", "until": {"time": "09:00"}},
        {"id": "reaction", "type": "wait", "timeout": "P2D",
         "for": [{"name": "much", "event": "Bought", "where": {"property": "total", "op": "at_least", "value": 10},
                  "steps": [{"id": "thanks", "type": "sms", "body": "Thanks"}]}],
         "on_timeout": [{"id": "bye", "type": "exit", "reason": "asleep"}]},
        {"id": "hook", "type": "webhook", "url": "https://example.com/{{ customer.id }}", "body": {"a": "{{ customer.name }}"}},
        {"id": "done", "type": "update", "attributes": {"done": True}},
    ]  # fmt: skip
    await starter.call("POST", "/v1/campaigns", definition(steps=steps), 201)
    ann = {"id": "ann", "name": "Ann", "email": "ann@example.com", "phone": "+12025550123", "timezone": "Europe/Athens"}
    answer = await simulated(starter, customer=ann, trigger={"total": 5}, events=[
        {"event": "Bought", "properties": {"total": 5}, "at": "2027-03-27T12:00:00Z"},
        {"event": "Bought", "properties": {"total": 50}, "at": "2027-03-27T13:00:00Z"},
    ])  # fmt: skip
    # 09:00 in Athens the morning after, when clocks have gone forward; the event came before the wait, and counts.
    nine = "2027-03-28T06:00:00Z"
    assert path(answer) == [
        ("hello", "sent", AT), ("nine", "completed", nine), ("reaction", "completed", nine), ("thanks", "sent", nine),
        ("hook", "sent", nine), ("done", "completed", nine),
    ]  # fmt: skip
    assert answer["ended"] == {"at": nine, "how": "completed", "status": "completed"}
    hello, hook = answer["steps"][0]["message"], answer["steps"][4]["message"]
    assert (hello["channel"], hello["to"], hello["subject"]) == ("email", "ann@example.com", "Hello Ann")
    assert hello["text"].startswith("5 https://")
    assert (hook["url"], hook["method"], hook["body"]) == ("https://example.com/ann", "POST", '{"a":"Ann"}')
    assert answer["steps"][2]["reason"] == "much"
    late = await simulated(starter, customer=ann)
    assert late["ended"]["how"] == "exit_step"
    # Nothing of it has happened.
    assert (await starter.statistics("c"))["entries"]["entered"] == 0
    assert (await starter.api.get("/v1/customers/ann")).status_code == 404
    assert product.providers.mails == product.providers.texts == []


async def test_a_simulation_for_a_customer_we_know(product: Product):
    starter = await product.starter()
    await starter.call("PUT", "/v1/segments/vip", {"name": "VIP"})
    branch = {"id": "by", "type": "branch", "branches": [
        {"name": "vip", "when": {"all": [{"segment": "vip"}, {"event": "Bought", "count": {"op": "at_least", "value": 2}}]},
         "steps": [{"id": "mail", **MAIL}, {"id": "text", "type": "sms", "template": "thanks"}]}]}  # fmt: skip
    await starter.call("PUT", "/v1/templates/thanks", {"body": "Thanks, {{ customer.name }}"})
    await starter.call("POST", "/v1/campaigns", definition(steps=[branch], goal={"event": "Paid"}), 201)
    await starter.customer("ann")
    await starter.call("POST", "/v1/segments/vip/members", {"customer_ids": ["ann"]})
    for _ in range(2):
        await starter.track("ann", "Bought")
    await starter.call(
        "PUT", "/v1/customers/ann/consents", {"channel": "email", "status": "unsubscribed", "source": "x"}
    )
    answer = await starter.call("POST", "/v1/campaigns/c/simulate", {"customer_id": "ann"})
    assert [(step["id"], step["outcome"]) for step in answer["steps"]] == [
        ("by", "completed"), ("mail", "skipped"), ("text", "sent"),
    ]  # fmt: skip
    assert answer["steps"][1]["reason"] == "unsubscribed"
    assert answer["steps"][2]["message"]["body"] == "Thanks, Ann"


async def test_a_simulated_goal_and_a_journey_in_code(product: Product):
    starter = await product.starter()
    await starter.call("PUT", "/v1/campaigns/c", {"workflow": "AbandonedCart"})
    cart = {"order_id": "o-1", "total": 45}
    answer = await simulated(starter, customer={"email": "a@example.com"}, trigger=cart, events=[
        {"event": "Order Completed", "properties": {"order_id": "o-1"}, "at": "2027-03-28T10:00:00Z"}])  # fmt: skip
    assert path(answer)[:2] == [
        ("cool-off", "completed", "2027-03-27T11:00:00Z"),
        ("reminder", "sent", "2027-03-27T11:00:00Z"),
    ]
    assert answer["ended"] == {"at": "2027-03-28T10:00:00Z", "how": "goal", "status": "exited"}
    refused = await starter.api.post("/v1/campaigns/c/simulate", json={"customer": {}, "trigger": {"total": 3}})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "trigger"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "customer_id"),
        ({"customer": {}, "customer_id": "ann"}, "customer_id"),
        ({"customer": {"id": ""}}, "customer.id"),
        ({"customer": {"id": 5}}, "customer.id"),
        ({"customer": {"email": 5}}, "customer.email"),
        ({"customer": {}, "at": "1970-01-01T00:00:00Z"}, "at"),
        ({"customer": {}, "at": "soon"}, "at"),
        ({"customer": {}, "trigger": 5}, "trigger"),
        ({"customer": {}, "events": [{"event": "E"}]}, "events[0].at"),
        ({"customer": {}, "events": [{"event": "E", "at": "9999-01-01T00:00:00Z"}]}, "events[0].at"),
        ({"customer": {}, "extra": 1}, "extra"),
    ],
)
async def test_what_a_simulation_refuses(product: Product, body: dict, field: str):
    starter = await product.starter()
    await starter.call("POST", "/v1/campaigns", definition(steps=[MAIL]), 201)
    answer = await starter.api.post("/v1/campaigns/c/simulate", json=body)
    assert answer.status_code == 400
    assert field in [one["field"] for one in answer.json()["errors"]]


async def test_a_simulation_of_nobody(product: Product):
    starter = await product.starter()
    assert (await starter.api.post("/v1/campaigns/c/simulate", json={"customer": {}})).status_code == 404
    await starter.call("POST", "/v1/campaigns", definition(steps=[MAIL]), 201)
    assert (await starter.api.post("/v1/campaigns/c/simulate", json={"customer_id": "x"})).status_code == 404


async def test_a_drawing(product: Product):
    starter = await product.starter()
    steps = [
        {"id": "hello", "type": "email", "subject": "<script>alert(1)</script> & more", "text": "x"},
        {"id": "by", "type": "branch", "branches": [{"name": "a<b", "when": {"attribute": "x", "op": "exists"}, "steps": []}],
         "otherwise": [{"id": "out", "type": "exit"}]},
    ]  # fmt: skip
    await starter.call("POST", "/v1/campaigns", definition(steps=steps), 201)
    answer = await starter.api.get("/v1/campaigns/c/journey.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    texts = "".join(ElementTree.fromstring(answer.text).itertext())
    for text in ("Started", "hello", "<script>", "by", "a<b", "otherwise", "out"):
        assert text in texts
    assert "<script>" not in answer.text
    await starter.call("PUT", "/v1/segments/subscribers", {"name": "Subscribers"})
    for name in ("AbandonedCart", "Onboarding", "RenewalReminder", "Quick"):
        await starter.call("PUT", "/v1/campaigns/code", {"workflow": name})
        drawn = await starter.api.get("/v1/campaigns/code/journey.svg")
        texts = "".join(ElementTree.fromstring(drawn.text).itertext())
        journey = starter.parts.journeys.get(name)
        assert journey
        for step in journey.steps:
            assert step in texts


async def test_statistics_by_version_and_in_sum(product: Product):
    starter = await product.starter()
    async with product.worker():
        one, two = {"id": "one", **MAIL}, {"id": "two", **MAIL}
        await starter.campaign("c", steps=[one], frequency={"type": "every_time"})
        await starter.customer("ann")
        await starter.track("ann", "c", {"total": 1})
        await starter.until_ended("c")
        current = await starter.call("GET", "/v1/campaigns/c")
        edited = definition(steps=[one, two], frequency={"type": "every_time"}, trigger={"type": "event", "event": "c"})
        await starter.call("PUT", "/v1/campaigns/c", edited)
        assert current["version"] == 1
        await starter.track("ann", "c", {"total": 1})
        await starter.until_ended("c")
        both = await starter.statistics("c")
        first = await starter.call("GET", "/v1/campaigns/c/statistics?version=1")
        second = await starter.call("GET", "/v1/campaigns/c/statistics?version=2")
        assert (await starter.api.get("/v1/campaigns/c/statistics?version=3")).status_code == 400
    assert [step["messages"]["sent"] for step in both["steps"]] == [2, 1]
    assert [step["messages"]["sent"] for step in first["steps"]] == [1]
    assert [step["messages"]["sent"] for step in second["steps"]] == [1, 1]
    assert [(one["version"], one["entries"]["completed"]) for one in both["versions"]] == [(1, 1), (2, 1)]


WAIT = {"type": "wait", "timeout": "P1D"}
EXISTS = {"attribute": "x", "op": "exists"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"steps": [{"type": "email", "subject": "x", "html": "{{ unsubscribe_url }}"}]}, "without a text part"),
        ({"steps": [{"type": "email", "subject": "x", "text": "x"}]}, "link to unsubscribe"),
        ({"steps": [{"type": "sms", "body": "x" * 161}]}, "more than the 160"),
        ({"steps": [{"type": "sms", "body": "ж" * 71}]}, "more than the 70"),
        ({"steps": [{"type": "sms", "body": "x"}]}, "quiet_hours: there are none"),
        ({"steps": [{"type": "exit"}, MAIL]}, "steps[1]: is never reached"),
        ({"steps": [{"type": "branch", "branches": [{"name": "a", "when": EXISTS, "steps": [{"type": "exit"}]}], "otherwise": [{"type": "exit"}]}, MAIL]}, "steps[1]: is never reached"),
        ({"steps": [{"type": "branch", "branches": [{"name": "a", "when": EXISTS}, {"name": "b", "when": EXISTS}]}]}, "'b' can't be reached"),
        ({"steps": [{"type": "branch", "branches": [{"name": "a", "when": {"all": [{"attribute": "x", "op": "equals", "value": 1}, {"attribute": "x", "op": "equals", "value": 2}]}}]}]}, "never holds"),
        ({"steps": [{"type": "branch", "branches": [{"name": "a", "when": {"all": [EXISTS, {"not": EXISTS}]}}]}]}, "never holds"),
        ({"steps": [{**WAIT, "for": [{"name": "a", "event": "E"}, {"name": "b", "event": "E", "where": {"property": "x", "op": "exists"}}]}]}, "'b' can't happen"),
        ({"steps": [{**WAIT, "for": [{"name": "a", "event": "Email Opened"}]}]}, "nobody sends 'Email Opened'"),
        ({"steps": [{"type": "split", "variants": [{"name": "a", "weight": 1}, {"name": "b", "weight": 0}]}]}, "nobody gets there"),
        ({"steps": [MAIL, MAIL]}, "with no delay between"),
        ({"steps": [{"type": "sms", "body": "{{ custmer.name }}"}]}, "no variable 'custmer'"),
        ({"steps": [{"type": "sms", "body": "{{ steps.ask.code }}"}]}, "no webhook saves its answer as 'ask'"),
        ({"steps": [{"type": "delay", "for": "PT1S"}]}, "nothing is sent"),
        ({"steps": [MAIL], "frequency": {"type": "every_time"}}, "frequency: every event"),
        ({"steps": [MAIL], "goal": {"event": "Started"}}, "goal.event: is the event that triggers"),
    ],
)  # fmt: skip
def test_what_a_careful_colleague_says(fields, expected):
    said = advise(checked_definition(definition(**fields), load_journeys()))
    assert any(expected in one for one in said), said


def test_nothing_is_said_of_a_good_campaign():
    steps = [MAIL, {**WAIT, "for": [{"name": "a", "event": "E"}]}, MAIL]
    assert advise(checked_definition(definition(steps=steps), load_journeys())) == []


async def test_an_event_that_nobody_has_sent(product: Product):
    starter = await product.starter()
    steps = [MAIL, {**WAIT, "for": [{"name": "a", "event": "Never Heard Of"}]}]
    created = await starter.call("POST", "/v1/campaigns", definition(steps=steps), 201)
    assert "nobody has sent the event 'Never Heard Of' so far" in created["advice"]
    await starter.track("ann", "Never Heard Of")
    assert (await starter.call("GET", "/v1/campaigns/c"))["advice"] == []


def test_the_proposed_quiet_hours_can_be_taken():
    texts = definition(steps=[{"type": "sms", "body": "Hi"}])
    (said,) = [one for one in advise(checked_definition(texts, load_journeys())) if one.startswith("quiet_hours")]
    proposed = json.loads(said[said.index("{") :])
    taken = checked_definition({**texts, "quiet_hours": proposed}, load_journeys())
    assert advise(taken) == []
    assert taken.quiet_hours is not None
    assert taken.quiet_hours.of("email").from_ is None
