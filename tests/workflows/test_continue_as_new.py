"""Entries whose history grows long go on in a new run, and lose nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from campaigns.cli.embedded.temporal import temporal_binary
from campaigns.models.store.database import migrate
from campaigns.workflows import search_attributes
from campaigns.workflows.converter import data_converter
from tests.support.product import Product, Starter
from tests.support.providers import Providers

MAIL = {"type": "email", "subject": "Hello", "text": "Hello"}


@pytest.fixture(scope="module")
async def impatient() -> AsyncIterator[WorkflowEnvironment]:
    """A server that suggests a new run after 40 events, rather than after 4,096."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(temporal_binary(print)),
        data_converter=data_converter,
        dev_server_log_level="error",
        dev_server_extra_args=["--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=40"],
    ) as environment:
        await search_attributes.register(environment.client)
        yield environment


@pytest.fixture
async def product(impatient: WorkflowEnvironment, tmp_path: Path, providers: Providers) -> AsyncIterator[Product]:
    url = f"sqlite:///{tmp_path / 'campaigns.db'}"
    await asyncio.to_thread(migrate, url)
    product = Product(url, impatient.client, providers)
    async with product.stack:
        yield product


async def runs_of(product: Product, entry_id: str) -> int:
    """How many runs the entry has had: counted along the chain."""
    handle, runs = product.client.get_workflow_handle(f"entry-{entry_id}"), 1
    while True:
        first = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
        if not first.continued_execution_run_id:
            return runs
        handle = product.client.get_workflow_handle(f"entry-{entry_id}", run_id=first.continued_execution_run_id)
        runs += 1


async def chat(starter: Starter, event: str, times: int) -> None:
    for number in range(times):
        await starter.track("ann", event, {"number": number})
        await asyncio.sleep(0.01)


async def test_hundreds_of_events_in_a_delay_and_none_is_lost(product: Product):
    starter = await product.starter()
    ways = [{"name": "three", "event": "Said", "where": {"property": "number", "op": "equals", "value": 3}}]
    last = [{"name": "last", "event": "Said", "where": {"property": "number", "op": "equals", "value": 199}}]
    any_ = [{"name": "any", "event": "Said"}]
    wait = {"type": "wait", "timeout": "PT1S"}
    async with product.worker():
        await starter.campaign(
            "c",
            steps=[
                {"id": "mail", **MAIL},
                {"id": "rest", "type": "delay", "for": "P30D"},
                {"id": "one", **wait, "for": ways},
                {"id": "two", **wait, "for": last},
                {"id": "three", **wait, "for": any_},
                {"id": "four", **wait, "for": [{"name": "never", "event": "Said", "where": {"property": "number", "op": "equals", "value": -1}}]},
                {"id": "again", **MAIL},
            ],
        )  # fmt: skip
        await starter.customer("ann")
        (decision,) = (await starter.track("ann", "c"))["decisions"]
        await starter.until_waiting("c", "rest")
        await chat(starter, "Said", 200)
        await starter.call("POST", f"/v1/entries/{decision['entry_id']}/skip-wait")
        statistics = await starter.until_ended("c", 60)
        chosen = {one["id"]: one["branches"] for one in statistics["steps"] if one["branches"]}
        entry = await starter.call("GET", f"/v1/entries/{decision['entry_id']}")
        assert await runs_of(product, decision["entry_id"]) > 3
    assert chosen == {
        "one": {"three": 1, "timeout": 0},
        "two": {"last": 1, "timeout": 0},
        "three": {"any": 1, "timeout": 0},
        "four": {"never": 0, "timeout": 1},
    }
    assert len(product.providers.mails) == 2
    assert entry["status"] == "completed"
    # It waited once, however many runs that took.
    assert [line["step"] for line in entry["timeline"]].count("rest") == 2


async def test_goal_skip_and_exit_act_in_a_later_run(product: Product):
    starter = await product.starter()
    async with product.worker():
        await starter.campaign(
            "c",
            goal={"event": "Bought"},
            steps=[
                {"id": "wait", "type": "wait", "timeout": "P30D", "for": [{"name": "go", "event": "Go"}]},
                {"id": "other", "type": "wait", "timeout": "P30D", "for": [{"name": "said", "event": "Said"}]},
            ],
        )
        await starter.customer("ann")
        (decision,) = (await starter.track("ann", "c"))["decisions"]
        await starter.until_waiting("c", "wait")
        await chat(starter, "Said", 60)
        await starter.track("ann", "Bought")
        await starter.until_ended("c")
        assert await runs_of(product, decision["entry_id"]) > 1
        (entry,) = await starter.entries("c")
    assert entry["ended_by"] == "goal"


async def test_a_message_on_hold_for_many_events(product: Product):
    starter = await product.starter()
    async with product.worker():
        await starter.campaign(
            "c",
            steps=[
                {"id": "mail", **MAIL},
                {"id": "wait", "type": "wait", "timeout": "PT10S", "for": [{"name": "said", "event": "Said"}]},
            ],
        )
        await starter.customer("ann")
        await starter.call("POST", "/v1/campaigns/c/pause")
        await starter.call("POST", "/v1/campaigns/c/resume")
        (decision,) = (await starter.track("ann", "c"))["decisions"]
        await starter.call("POST", "/v1/campaigns/c/pause")
        await chat(starter, "Said", 60)
        await starter.call("POST", "/v1/campaigns/c/resume")
        statistics = await starter.until_ended("c")
    assert statistics["steps"][1]["branches"] == {"said": 1, "timeout": 0}
    assert len(product.providers.mails) == 1
    assert decision["outcome"] == "entered"


async def test_a_journey_in_code_goes_on_where_it_was(product: Product):
    starter = await product.starter()
    async with product.worker():
        await starter.call("PUT", "/v1/campaigns/quick", {"workflow": "Quick"})
        await starter.call("POST", "/v1/campaigns/quick/start")
        await starter.customer("ann", plan="pro")
        (decision,) = (await starter.track("ann", "Quick Started", {"rounds": 40}))["decisions"]
        for _ in range(40):
            await starter.track("ann", "Go")
            await asyncio.sleep(0.05)
        statistics = await starter.until_ended("quick", 60)
        assert await runs_of(product, decision["entry_id"]) > 1
    again = next(one for one in statistics["steps"] if one["id"] == "again")
    assert again["branches"] == {"go": 40, "timeout": 0}
    assert again["entered"] == 40
    # Nothing was done twice on the way.
    assert len(product.providers.mails) == 1


async def test_erasing_leaves_no_run_behind(product: Product):
    starter = await product.starter()
    async with product.worker():
        rest = {"id": "rest", "type": "delay", "for": "P30D"}
        wait = {"id": "wait", "type": "wait", "timeout": "P1D", "for": [{"name": "said", "event": "Said"}]}
        await starter.campaign("c", steps=[rest, wait])
        await starter.customer("ann")
        (decision,) = (await starter.track("ann", "c"))["decisions"]
        await starter.until_waiting("c", "rest")
        await chat(starter, "Said", 60)
        assert await runs_of(product, decision["entry_id"]) > 1
        await starter.call("DELETE", "/v1/customers/ann")
        query = f"WorkflowId = 'entry-{decision['entry_id']}'"
        async with asyncio.timeout(60):  # at the pace of the server
            while [one async for one in product.client.list_workflows(query)]:
                await asyncio.sleep(0.2)
