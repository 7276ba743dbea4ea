"""Records the histories that the tests replay: `make histories`, which records those that there are none of yet.

One that is recorded stays: it stands for the entries that are under way. A new kind of step gets a new story.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from temporalio.testing import WorkflowEnvironment

from campaigns.cli.embedded.temporal import temporal_binary
from campaigns.models.store.database import migrate
from campaigns.workflows import search_attributes
from campaigns.workflows.converter import data_converter
from tests.support.product import Product, Starter
from tests.support.providers import Providers, running_providers

HERE = Path(__file__).parent
MAIL = {"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}
TEXT = {"id": "text", "type": "sms", "body": "Hello"}
PAUSE = {"id": "pause", "type": "delay", "for": "PT1S"}
WAIT = {
    "id": "wait",
    "type": "wait",
    "for": [{"name": "go", "event": "Go", "steps": [TEXT]}],
    "timeout": "PT3S",
    "on_timeout": [{"id": "gone", "type": "exit", "reason": "asleep"}],
}
BRANCH = {
    "id": "branch",
    "type": "branch",
    "branches": [{"name": "pro", "when": {"attribute": "plan", "op": "equals", "value": "pro"}, "steps": [MAIL]}],
    "otherwise": [{"id": "mark", "type": "update", "attributes": {"marked": True}}],
}


HOOK = {"id": "hook", "type": "webhook", "url": "{{ customer.hook }}", "save_as": "answer"}
CHAT = {"id": "chat", "type": "whatsapp", "body": "Hello"}
PUSH = {"id": "push", "type": "push", "title": "Hello", "body": "Hello"}
SPLIT = {
    "id": "split",
    "type": "split",
    "variants": [{"name": "a", "weight": 1, "steps": [TEXT]}, {"name": "b", "weight": 0}],
}

LONG_WAIT = {"id": "wait", "type": "wait", "for": [{"name": "go", "event": "Go"}], "timeout": "PT30S"}
MORE = [{"name": "more", "event": "More"}]


def date(attribute: str) -> dict:
    return {"id": attribute, "type": "delay", "until": {"attribute": attribute}}


def around_now() -> dict:
    now = datetime.now(UTC)
    return {"from": f"{now - timedelta(hours=2):%H:%M}", "to": f"{now + timedelta(hours=2):%H:%M}"}


async def _go(starter: Starter, _: Product, __: str) -> None:
    await starter.until_waiting("c", "wait")
    await starter.track("ann", "Go")


async def _exit(starter: Starter, _: Product, entry_id: str) -> None:
    await starter.until_waiting("c", "wait")
    await starter.call("POST", f"/v1/entries/{entry_id}/exit")


async def _skip(starter: Starter, _: Product, entry_id: str) -> None:
    await starter.until_waiting("c", "wait")
    await starter.call("POST", f"/v1/entries/{entry_id}/skip-wait")


async def _pause_and_resume(starter: Starter, _: Product, __: str) -> None:
    await starter.call("POST", "/v1/campaigns/c/pause")
    await starter.until_waiting("c", "mail")
    await asyncio.sleep(0.5)
    await starter.call("POST", "/v1/campaigns/c/resume")


async def _cancel(starter: Starter, product: Product, entry_id: str) -> None:
    await starter.until_waiting("c", "wait")
    await product.client.get_workflow_handle(f"entry-{entry_id}").cancel()


async def _change(starter: Starter, _: Product, __: str) -> None:
    await starter.until_waiting("c", "far")
    await starter.call("PUT", "/v1/customers/ann", {"far": "2034-01-01"})
    await asyncio.sleep(0.5)
    await starter.call("PUT", "/v1/customers/ann", {"far": None})


async def _skip_nine(starter: Starter, _: Product, entry_id: str) -> None:
    await starter.until_waiting("c", "nine")
    await starter.call("POST", f"/v1/entries/{entry_id}/skip-wait")


async def _move(starter: Starter, _: Product, __: str) -> None:
    await starter.until_waiting("c", "mail")
    await asyncio.sleep(0.5)
    await starter.call("PUT", "/v1/customers/ann", {"timezone": "Pacific/Auckland"})


async def _play(starter: Starter, _: Product, __: str) -> None:
    for _ in range(2):
        await starter.track("ann", "Go")


async def _chat(starter: Starter, _: Product, __: str) -> None:
    await starter.until_waiting("c", "wait")
    for number in range(40):
        await starter.track("ann", "More", {"number": number})
        await asyncio.sleep(0.02)
    await starter.track("ann", "Go")


async def _chat_in_code(starter: Starter, _: Product, __: str) -> None:
    for _ in range(14):
        await starter.track("ann", "Go")
        await asyncio.sleep(0.1)


async def _nothing(_: Starter, __: Product, ___: str) -> None:
    return


STORIES = {
    "every-step": ([MAIL, PAUSE, WAIT, {**BRANCH, "branches": [{**BRANCH["branches"][0], "steps": []}]}], _go, {}),
    "timed-out": ([MAIL, WAIT], _nothing, {}),
    "branch-otherwise": ([BRANCH], _nothing, {}),
    "exited-in-a-wait": ([WAIT], _exit, {}),
    "skipped-wait": ([WAIT], _skip, {}),
    "paused-and-resumed": ([PAUSE, MAIL], _pause_and_resume, {}),
    "cancelled": ([WAIT], _cancel, {}),
    "tried-again": ([MAIL, PAUSE], _nothing, {"mail_faults": ["451 later", "451 later"]}),
    "refused": ([{**MAIL, "on_failure": "exit"}, PAUSE], _nothing, {"mail_faults": ["554 no"]}),
    "no-address": ([MAIL, PAUSE], _nothing, {"attributes": {"email": None}}),
    "every-channel": ([HOOK, CHAT, PUSH, SPLIT, MAIL], _nothing, {"attributes": {"pushToken": "t"}}),
    "until-dates": ([date("none"), date("past"), date("soon"), MAIL], _nothing, {}),
    "rescheduled": ([date("far"), date("none"), MAIL], _change, {}),
    "until-a-time": ([{"id": "nine", "type": "delay", "until": {"time": "09:00"}}, MAIL], _skip_nine, {}),
    "quiet-hours": ([MAIL], _move, {"settings": {"quiet_hours": "now", "timezone": "UTC"}}),
    "expired": ([{**MAIL, "expires_after": "PT1S"}, PAUSE], _nothing, {"settings": {"quiet_hours": "now"}}),
    "in-code": (None, _play, {"attributes": {"plan": "pro", "pushToken": "t"}}),
    "in-code-timed-out": (None, _nothing, {"trigger": {"rounds": 1}}),
    "continued-as-new": ([PAUSE, LONG_WAIT, {**LONG_WAIT, "id": "more", "for": MORE}, MAIL], _chat, {"suggest": 30}),
    "in-code-continued-as-new": (None, _chat_in_code, {"suggest": 30, "trigger": {"rounds": 14}}),
}


async def record() -> None:
    """Plays each story that has no history yet on a real server, and writes it."""
    with TemporaryDirectory() as directory:
        async with running_providers(Path(directory)) as providers:
            for name, (steps, act, more) in STORIES.items():
                if not (HERE / f"{name}.json").exists():
                    await _record(Path(directory), providers, name, steps, act, more)
                    print(f"{name}.json")


async def _record(directory: Path, providers: Providers, name: str, steps, act, more: dict) -> None:
    suggest = f"limit.historyCount.suggestContinueAsNew={more.get('suggest', 4096)}"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(temporal_binary(print)),
        data_converter=data_converter,
        dev_server_extra_args=["--dynamic-config-value", suggest],
    ) as environment:
        await search_attributes.register(environment.client)
        url = f"sqlite:///{directory}/{name}.db"
        await asyncio.to_thread(migrate, url)
        product = Product(url, environment.client, providers)
        providers.clear()
        providers.mail_faults += more.get("mail_faults", [])
        async with product.stack, product.worker():
            starter = await product.starter()
            soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
            dates = {"past": "2020-01-01", "soon": soon, "far": "2035-01-01"}
            hook = f"http://127.0.0.1:{providers.twilio_port}/hook"
            await starter.customer("ann", hook=hook, **dates, **more.get("attributes", {}))
            settings = dict(more.get("settings", {}))
            if "quiet_hours" in settings:
                settings["quiet_hours"] = around_now()
            if steps is None:
                await starter.call("PUT", "/v1/campaigns/c", {"workflow": "Quick"})
                await starter.call("POST", "/v1/campaigns/c/start")
                event = "Quick Started"
            else:
                await starter.campaign("c", steps=steps, **settings)
                event = "c"
            answer = await starter.track("ann", event, more.get("trigger", {"rounds": 2}))
            entry_id = answer["decisions"][0]["entry_id"]
            await act(starter, product, entry_id)
            await starter.until_ended("c", 60)
            handle = environment.client.get_workflow_handle(f"entry-{entry_id}")
            await handle.result()
            history = (await handle.fetch_history()).to_json()
            (HERE / f"{name}.json").write_text(history.replace(f"{HERE.parents[1]}/", ""))


if __name__ == "__main__":
    asyncio.run(record())
