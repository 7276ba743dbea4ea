"""Records the histories that the tests replay: `make histories`.

Run it before a change of workflow code, never after one: the histories stand for the entries that are under way.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from campaigns.cli.embedded.temporal import temporal_binary
from campaigns.models.database import migrate
from campaigns.workflows import search_attributes
from tests.support.product import Product, Starter
from tests.support.providers import running_providers

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
}


async def record() -> None:
    """Plays each story on a real server, and writes its history."""
    with TemporaryDirectory() as directory:
        async with (
            running_providers(Path(directory)) as providers,
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=str(temporal_binary(print)), data_converter=pydantic_data_converter
            ) as environment,
        ):
            await search_attributes.register(environment.client)
            for name, (steps, act, more) in STORIES.items():
                url = f"sqlite:///{directory}/{name}.db"
                await asyncio.to_thread(migrate, url)
                product = Product(url, environment.client, providers)
                providers.clear()
                providers.mail_faults += more.get("mail_faults", [])
                async with product.stack, product.worker():
                    starter = await product.starter()
                    await starter.customer("ann", **more.get("attributes", {}))
                    await starter.campaign("c", steps=steps)
                    entry_id = (await starter.track("ann", "c"))["decisions"][0]["entry_id"]
                    await act(starter, product, entry_id)
                    await starter.until_ended("c")
                    handle = environment.client.get_workflow_handle(f"entry-{entry_id}")
                    await handle.result()
                    history = (await handle.fetch_history()).to_json()
                    (HERE / f"{name}.json").write_text(history.replace(f"{HERE.parents[1]}/", ""))
                print(f"{name}.json")


if __name__ == "__main__":
    asyncio.run(record())
