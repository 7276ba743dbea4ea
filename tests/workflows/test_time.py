"""Journeys of months, in seconds: on the time-skipping server."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from campaigns.activities.contract import SendResult
from campaigns.models.journey.definition import parse_definition
from campaigns.models.journey.outline import outline
from campaigns.testing.time_skipping import time_skipping_server
from campaigns.workflows import search_attributes
from campaigns.workflows.contract import EntryInput, EventSignal, ExitSignal
from campaigns.workflows.converter import data_converter
from campaigns.workflows.declared import DeclaredJourney
from tests.support.stand_ins import StandIns

MAIL = {"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}


class Story:
    """One journey that runs while its customer's time is skipped."""

    def __init__(self, environment: WorkflowEnvironment, activities: StandIns, handle: WorkflowHandle) -> None:
        self.environment, self.activities, self.handle = environment, activities, handle

    async def after(self, duration: timedelta) -> None:
        await self.environment.sleep(duration)

    async def event(self, *matches: str, event_id: str | None = None, at: datetime | None = None) -> None:
        now = at or await self.environment.get_current_time()
        await self.handle.signal("event", EventSignal(event_id or uuid4().hex, "E", now, list(matches)))

    async def end(self) -> str:
        return await self.handle.result()


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """One server a test, for two tests on one disturb each other's time."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(time_skipping_server()),
        test_server_startup_timeout=timedelta(seconds=60),
        data_converter=data_converter,
    ) as environment:
        await search_attributes.register(environment.client)
        yield environment


@pytest.fixture
async def begin(skipping: WorkflowEnvironment):
    activities = StandIns()
    workers = []

    async def start(*steps: dict) -> Story:
        worker = Worker(
            skipping.client,
            task_queue="story",
            workflows=[DeclaredJourney],
            activities=activities.activities,
        )
        workers.append(worker)
        await worker.__aenter__()
        definition = parse_definition(
            {"key": "c", "name": "C", "trigger": {"type": "event", "event": "T"}, "steps": list(steps)}
        )
        entry = EntryInput(uuid4().hex, "c", 1, "ann", outline(definition))
        handle = await skipping.client.start_workflow(
            DeclaredJourney.run, entry, id=f"entry-{entry.entry_id}", task_queue="story",
            search_attributes=search_attributes.of_entry(entry),
        )  # fmt: skip
        return Story(skipping, activities, handle)

    yield start
    for worker in workers:
        await worker.__aexit__(None, None, None)


async def test_a_delay_of_months(begin):
    story = await begin({"id": "rest", "type": "delay", "for": "P90D"}, MAIL)
    began = await story.environment.get_current_time()
    assert await story.end() == "completed: completed"
    (mail,) = story.activities.sent
    assert mail.step == "mail"
    assert timedelta(days=90) <= mail.entered_at - began < timedelta(days=90, minutes=1)
    assert story.activities.outcomes("rest") == [("waiting", None), ("completed", None)]


def wait(timeout: str = "P30D", **more) -> dict:
    awaited = [{"name": "opened", "event": "E", "steps": [MAIL]}, {"name": "bought", "event": "E"}]
    return {"id": "wait", "type": "wait", "for": awaited, "timeout": timeout, **more}


async def test_a_wait_that_is_met_after_weeks(begin):
    story = await begin(wait())
    await story.after(timedelta(days=20))
    await story.event("wait/opened")
    assert await story.end() == "completed: completed"
    assert [task.step for task in story.activities.sent] == ["mail"]
    assert story.activities.outcomes("wait")[-1] == ("completed", "opened")


async def test_a_wait_that_times_out(begin):
    story = await begin(wait(on_timeout=[{"id": "gone", "type": "exit", "reason": "asleep"}]))
    assert await story.end() == "exited: exit_step"
    assert story.activities.sent == []
    assert story.activities.outcomes("wait")[-1] == ("completed", "timeout")
    assert story.activities.outcomes("gone") == [("exited", None)]


async def test_an_event_between_two_steps_is_kept(begin):
    story = await begin(
        {"id": "rest", "type": "delay", "for": "P10D"},
        wait(),
        {**wait(), "id": "next", "for": [{"name": "again", "event": "E"}]},
    )
    await story.after(timedelta(days=1))
    await story.event("wait/bought", "next/again")
    assert await story.end() == "completed: completed"
    # Each event counts once: the second wait is not met by what the first has used.
    assert story.activities.outcomes("wait")[-1] == ("completed", "bought")
    assert story.activities.outcomes("next")[-1] == ("completed", "timeout")


async def test_the_first_event_wins_and_a_double_changes_nothing(begin):
    story = await begin(
        {"id": "rest", "type": "delay", "for": "P10D"},
        wait(),
        {**wait(), "id": "next", "for": [{"name": "again", "event": "E"}]},
    )
    now = await story.environment.get_current_time()
    await story.event("wait/bought", event_id="late", at=now + timedelta(hours=2))
    for _ in range(3):
        await story.event("wait/opened", "next/again", event_id="early", at=now + timedelta(hours=1))
    await story.end()
    assert story.activities.outcomes("wait")[-1] == ("completed", "opened")
    assert story.activities.outcomes("next")[-1] == ("completed", "timeout")


async def test_since_step_counts_from_the_wait_on(begin):
    story = await begin({"id": "rest", "type": "delay", "for": "P10D"}, wait(since="step"))
    await story.event("wait/opened")
    await story.end()
    assert story.activities.outcomes("wait")[-1] == ("completed", "timeout")


async def test_exit_and_skip_act_in_the_middle_of_a_delay(begin):
    story = await begin(
        {"id": "one", "type": "delay", "for": "P300D"}, {"id": "two", "type": "delay", "for": "P300D"}, MAIL
    )
    await story.after(timedelta(days=1))
    await story.handle.signal("skip_wait")
    await story.after(timedelta(days=1))
    await story.handle.signal("exit", ExitSignal("goal"))
    assert await story.end() == "exited: goal"
    description = await story.handle.describe()
    assert description.close_time - description.start_time < timedelta(days=3)
    assert story.activities.outcomes("one")[-1] == ("completed", None)
    assert story.activities.sent == []


async def test_a_held_message_goes_on_after_resume(begin):
    story = await begin({"id": "rest", "type": "delay", "for": "P1D"}, MAIL)
    story.activities.results += [SendResult("hold", "paused"), SendResult("hold", "paused")]
    await story.after(timedelta(days=2))
    await story.handle.signal("resume")
    await story.after(timedelta(days=2))
    await story.handle.signal("resume")
    assert await story.end() == "completed: completed"
    assert [task.step for task in story.activities.sent] == ["mail"]


async def test_an_unknown_cause_is_an_operators(begin):
    story = await begin({"id": "rest", "type": "delay", "for": "P1D"})
    await story.handle.signal("exit", ExitSignal("whatever"))
    assert await story.end() == "exited: operator"
