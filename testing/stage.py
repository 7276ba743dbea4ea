"""Where a story is told: on skipped time, with a server, a worker and a database of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from campaigns.models.settings import Settings
from campaigns.models.store.database import open_database
from campaigns.models.values import Json, time_moved_to
from campaigns.starter.authoring.checking import checked_definition
from campaigns.testing.story import SECRET, Story
from campaigns.testing.time_skipping import time_skipping_server
from campaigns.workers.worker import make_workers
from campaigns.workflows import search_attributes
from campaigns.workflows.code.journey import Journey
from campaigns.workflows.converter import data_converter
from campaigns.workflows.registry import Journeys, load_journeys


class _SkippedTime(Interceptor):
    """Activities live in the time of the server, not of the machine."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        environment = self._environment

        class Inbound(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:
                with time_moved_to(await environment.get_current_time()):
                    return await self.next.execute_activity(input)

        return Inbound(next)


@asynccontextmanager
async def telling(
    journey: "type[Journey[Any]] | Mapping[str, Any]", *, templates: Mapping[str, Json] | None = None, **settings: Any
) -> AsyncIterator[Story]:
    """A story of a journey, in code or as data; settings of the campaign may be given, in the words of its JSON.

    At its end the story is replayed, so that a journey that would not go on after a worker's restart fails here.
    Raises Unavailable where the time-skipping server cannot be had.
    """
    if isinstance(journey, type):
        journeys, raw = Journeys([journey]), {"workflow": journey.__name__, **settings}
    else:
        journeys, raw = load_journeys(), {**journey, **settings}
    definition = checked_definition(raw, journeys)
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(TemporaryDirectory(prefix="campaigns-story-"))
        environment = await stack.enter_async_context(
            await WorkflowEnvironment.start_time_skipping(
                test_server_existing_path=str(time_skipping_server()),
                test_server_startup_timeout=timedelta(seconds=60),
                data_converter=data_converter,
            )
        )
        await search_attributes.register(environment.client)
        database = open_database(f"sqlite:///{Path(directory) / 'story.db'}")
        stack.push_async_callback(database.close)
        story = Story(environment, database, definition, journeys)
        await story.prepare(templates or {})
        (worker,) = make_workers(
            environment.client,
            database,
            Settings(secret_key=SecretStr(SECRET), public_url="https://campaigns.test", rate_limits=None),
            story.senders,
            journeys=journeys,
            interceptors=[_SkippedTime(environment)],
            task_queue="story",
        )
        async with worker:
            yield story
            if story.entry_id:
                await story.replay(journeys)
