"""A journey whose steps were reordered does not replay over the history of an entry, and the error names the step."""

import base64
import json
import re
from dataclasses import asdict
from types import new_class
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel
from temporalio import workflow
from temporalio.client import Client, WorkflowHistory
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from campaigns.journeys import Journey, campaign, delay, email, event, on_event, push, seconds, sms, wait
from campaigns.models.journey.outline import OutlineStep
from campaigns.models.signing import Signing
from campaigns.workflows.contract import EntryInput
from campaigns.workflows.converter import data_converter
from campaigns.workflows.declared import DeclaredJourney
from tests.support.product import SECRET_KEY
from tests.support.stand_ins import StandIns

SIGNING = Signing(SECRET_KEY)
TRIGGER = SIGNING.seal({})
STEPS = {
    "one": lambda: email("One", text="One"),
    "two": lambda: sms("Two"),
    "three": lambda: push("Three", "Three"),
    "other": lambda: sms("Other"),
    "short": lambda: delay(seconds(0.01)),
    "long": lambda: delay(seconds(0.02)),
    "listen": lambda: wait(go=event("Go"), timeout=seconds(0.01)),
}
ORIGINAL = "one short two long three"
REORDERED = {
    "two messages swapped over a delay": ("two short one long three", "one.send_message.1", "two.send_message.1"),
    "a message replaced by another": ("one short other long three", "two.send_message.1", "other.send_message.1"),
    "the last message replaced": ("one short two long other", "three.send_message.1", "other.send_message.1"),
    "two delays swapped": ("one long two short three", "short.begin_delay.1", "long.begin_delay.1"),
    "a delay that becomes a wait": ("one listen two long three", "short.begin_delay.1", "listen.begin_wait.1"),
    "a message inserted": ("one short two other long three", "long.begin_delay.1", "other.send_message.1"),
    "a delay inserted": ("one short two long short three", "three.send_message.1", "short.begin_delay.2"),
    "a message removed": ("one short long three", "two.send_message.1", "long.begin_delay.1"),
    "a delay removed": ("one short two three", "long.begin_delay.1", "three.send_message.1"),
    "the last message removed": ("one short two long", "three.send_message.1", "end.end_entry.1"),
}


class Started(BaseModel):
    pass


def told(names: str, **others: Any) -> type[Journey[Started]]:
    """A journey in code that does the steps of these names, one after the other."""

    async def story(self: Journey[Started], trigger: Started) -> None:
        for name in names.split():
            await self.do(self.steps[name].outline)

    body = {**{name: make() for name, make in STEPS.items()}, **others, "story": story, "__module__": __name__}
    journey = new_class("Told", (Journey[Started],), exec_body=lambda namespace: namespace.update(body))
    journey.signing = SIGNING
    return campaign(trigger=on_event("Told", Started))(journey)


async def recorded(client: Client, journey: type, entry: EntryInput) -> WorkflowHistory:
    queue = uuid4().hex
    async with Worker(client, task_queue=queue, workflows=[journey], activities=StandIns().activities):
        handle = await client.start_workflow(journey.run, entry, id=f"entry-{entry.entry_id}", task_queue=queue)
        assert await handle.result() == "completed: completed"
    return await handle.fetch_history()


async def replay(journey: type, history: WorkflowHistory) -> None:
    await Replayer(workflows=[journey], data_converter=data_converter).replay_workflow(history)


@pytest.fixture(scope="module")
async def in_code(temporal: WorkflowEnvironment) -> WorkflowHistory:
    return await recorded(temporal.client, told(ORIGINAL), EntryInput(uuid4().hex, "c", 1, "ann", trigger=TRIGGER))


async def test_a_story_that_is_the_same_replays(in_code: WorkflowHistory):
    await replay(told(ORIGINAL), in_code)
    await replay(told(ORIGINAL, one=sms("Another text"), short=delay(seconds(9))), in_code)


@pytest.mark.parametrize("case", REORDERED)
async def test_a_story_that_is_reordered_does_not(case: str, in_code: WorkflowHistory):
    names, recorded_id, id_now = REORDERED[case]
    with pytest.raises(workflow.NondeterminismError, match=f"'{recorded_id}' does not match .*'{id_now}'"):
        await replay(told(names), in_code)


async def test_a_delay_that_becomes_a_wait_of_the_same_name(in_code: WorkflowHistory):
    with pytest.raises(
        workflow.NondeterminismError, match=r"'short\.begin_delay\.1' does not .*'short\.begin_wait\.1'"
    ):
        await replay(told(ORIGINAL, short=wait(go=event("Go"), timeout=seconds(0.01))), in_code)


# The same as data: a delay's beginning and the end are written with the message before them.


def outlines(names: str) -> list[OutlineStep]:
    return [told(ORIGINAL).steps[name].outline for name in names.split()]


@pytest.fixture(scope="module")
async def as_data(temporal: WorkflowEnvironment) -> WorkflowHistory:
    entry = EntryInput(uuid4().hex, "c", 1, "ann", outlines(ORIGINAL))
    return await recorded(temporal.client, DeclaredJourney, entry)


def with_steps(history: WorkflowHistory, steps: list[OutlineStep]) -> WorkflowHistory:
    """The history, as if its entry had begun with these steps."""
    changed = json.loads(history.to_json())
    payload = changed["events"][0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"][0]
    entry = {**json.loads(base64.b64decode(payload["data"])), "steps": [asdict(step) for step in steps]}
    payload["data"] = base64.b64encode(json.dumps(entry).encode()).decode()
    return WorkflowHistory.from_json("changed", changed)


async def test_steps_that_are_the_same_replay(as_data: WorkflowHistory):
    await replay(DeclaredJourney, with_steps(as_data, outlines(ORIGINAL)))


@pytest.mark.parametrize("case", REORDERED)
async def test_steps_that_are_reordered_do_not(case: str, as_data: WorkflowHistory):
    names, recorded_id, id_now = REORDERED[case]
    with pytest.raises((workflow.NondeterminismError, RuntimeError)) as error:
        await replay(DeclaredJourney, with_steps(as_data, outlines(names)))
    said = str(error.value)
    assert re.search(f"'{recorded_id}' does not match .*'{id_now}'|came to .*, where delay .* had begun", said), said
