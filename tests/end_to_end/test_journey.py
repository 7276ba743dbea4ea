"""The main job, through HTTP, on both databases."""

import base64
import re

from temporalio.client import Client

from campaigns.cli.demo import inconsistencies
from tests.support.product import Product, until

STEPS = [
    {
        "id": "hello",
        "type": "email",
        "subject": "Hello {{ customer.name }}",
        "html": "<p>{{ customer.name }}</p>",
        "text": "Hello {{ customer.name }}, {{ event.total }}",
    },
    {"id": "pause", "type": "delay", "for": "PT1S"},
    {
        "id": "reaction",
        "type": "wait",
        "timeout": "PT20S",
        "for": [
            {
                "name": "big",
                "event": "Clicked",
                "where": {"property": "total", "op": "at_least", "value": 10},
                "steps": [{"id": "note", "type": "update", "attributes": {"clicked": True}}],
            }
        ],
        "on_timeout": [{"id": "too-slow", "type": "exit", "reason": "slow"}],
    },
    {
        "id": "by-plan",
        "type": "branch",
        "branches": [
            {
                "name": "pro",
                "when": {
                    "all": [{"attribute": "plan", "op": "equals", "value": "pro"}, {"step": "hello", "status": "sent"}]
                },
                "steps": [{"id": "text", "type": "sms", "body": "Thanks, {{ customer.name }}"}],
            }
        ],
    },
]


async def test_one_customer_goes_all_the_way(product: Product, client: Client):
    starter = await product.starter()
    async with product.worker():
        await starter.customer("ann", plan="pro", name="Ann <3")
        await starter.campaign("welcome", trigger={"type": "event", "event": "Signed Up"}, steps=STEPS)
        answer = await starter.track("ann", "Signed Up", {"total": 7})
        (decision,) = answer["decisions"]
        assert decision["campaign"] == "welcome"
        assert decision["outcome"] == "entered"
        await starter.until_waiting("welcome", "reaction")
        assert (await starter.track("ann", "Clicked", {"total": 9}))["signalled"] == []
        assert (await starter.track("ann", "Clicked", {"total": 10}))["signalled"] == [decision["entry_id"]]
        statistics = await starter.until_ended("welcome")

    assert statistics["entries"] == {
        "entered": 1, "running": 0, "completed": 1, "exited": 0, "failed": 0, "converted": 0
    }  # fmt: skip
    assert inconsistencies(statistics) == []
    steps = {step["id"]: step for step in statistics["steps"]}
    assert list(steps) == ["hello", "pause", "reaction", "note", "too-slow", "by-plan", "text"]
    assert steps["reaction"]["branches"] == {"big": 1, "timeout": 0}
    assert steps["by-plan"]["branches"] == {"pro": 1, "otherwise": 0}
    assert steps["hello"]["messages"]["sent"] == steps["text"]["messages"]["sent"] == 1
    assert await starter.timeline(decision["entry_id"]) == [
        (None, "entered"), ("hello", "waiting"), ("hello", "completed"), ("pause", "waiting"), ("pause", "completed"),
        ("reaction", "waiting"), ("reaction", "completed"), ("note", "waiting"), ("note", "completed"),
        ("by-plan", "waiting"), ("by-plan", "completed"), ("text", "waiting"), ("text", "completed"),
        (None, "completed"),
    ]  # fmt: skip

    (mail,) = product.providers.mails
    assert mail["Subject"] == "Hello Ann <3"
    assert mail["To"] == "ann@example.com"
    assert mail.get_body(("plain",)).get_content().strip() == "Hello Ann <3, 7"
    assert mail.get_body(("html",)).get_content().startswith("<p>Ann &lt;3</p><img src=")
    (text,) = product.providers.texts
    assert (text["to"], text["body"]) == ("+12025550123", "Thanks, Ann <3")
    customer = await starter.call("GET", "/v1/customers/ann")
    assert customer["clicked"] is True
    assert [entry["id"] for entry in customer["entries"]] == [decision["entry_id"]]


async def test_what_an_operator_sees_in_temporal(product: Product, client: Client):
    starter = await product.starter()
    async with product.worker():
        await starter.customer("ann")
        await starter.campaign("welcome", steps=STEPS)
        answer = await starter.track("ann", "welcome", {"secret": "not-for-histories"})
        entry_id = answer["decisions"][0]["entry_id"]
        await starter.until_waiting("welcome", "reaction")
        handle = client.get_workflow_handle(f"entry-{entry_id}")
        description = await handle.describe()
        assert await description.static_summary() == "welcome: ann"
        attributes = {pair.key.name: pair.value for pair in description.typed_search_attributes}
        assert attributes["CampaignKey"] == "welcome"
        assert attributes["CustomerId"] == "ann"
        assert attributes["CampaignVersion"] == 1

        async def current_details() -> str:
            metadata = await handle.query("__temporal_workflow_metadata")
            return metadata["currentDetails"] if isinstance(metadata, dict) else metadata.current_details

        assert "wait **reaction** for big, until 20" in await current_details()
        history = await handle.fetch_history()
        payloads = re.findall(r'"data": *"([^"]+)"', history.to_json())
        readable = "".join(base64.b64decode(payload).decode(errors="replace") for payload in payloads)
        assert "ann" in readable
        for private in ("not-for-histories", "ann@example.com", "Ann"):
            assert private not in readable + history.to_json()
        timers = [event for event in history.events if event.HasField("timer_started_event_attributes")]
        assert [event.user_metadata.summary.data for event in timers] == [b'"pause"', b'"reaction"']
        await starter.call("POST", f"/v1/entries/{entry_id}/exit", status=202)
        statistics = await starter.until_ended("welcome")
        assert statistics["entries"]["exited"] == 1
        (entry,) = await starter.entries("welcome")
        assert (entry["status"], entry["ended_by"]) == ("exited", "operator")

        async def found() -> bool:
            query = "CampaignKey = 'welcome' AND CustomerId = 'ann'"
            return [one.id async for one in client.list_workflows(query)] != []

        await until(found)
