"""The starter's HTTP application."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version

import structlog
import uvicorn
from fastapi import Depends, FastAPI
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from campaigns.models.settings import Settings
from campaigns.models.store.database import open_database
from campaigns.starter.composition import Services, make_services
from campaigns.starter.http.bodies import fit_address
from campaigns.starter.http.keys import ApiKey, WriteKey, few_at_once
from campaigns.starter.http.openapi import PROBLEMS, SUMMARY, TAGS, describe
from campaigns.starter.http.problems import install_problem_handlers
from campaigns.starter.routes import (
    callbacks,
    campaigns,
    customers,
    entries,
    health,
    journeys,
    links,
    message_caps,
    messages,
    segments,
    suppressions,
    templates,
    topics,
    tracking,
)
from campaigns.workflows import search_attributes
from campaigns.workflows.client import EntryClient, connect
from campaigns.workflows.existing_members import ExistingMembers, starter_queue

log = structlog.get_logger()


def make_app(parts: Services) -> FastAPI:
    """The application around the services."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        parts.relay.start()
        loops = [
            asyncio.create_task(loop) for loop in (parts.due_entries.run(), parts.rules.run(), parts.housekeeping.run())
        ]
        async with bulk_worker(parts):
            yield
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await parts.relay.stop()

    app = FastAPI(
        title="Campaigns",
        summary=SUMMARY,
        version=version("campaigns"),
        openapi_tags=TAGS,
        responses=PROBLEMS,
        generate_unique_id_function=lambda route: route.name,
        # Requests and answers have shapes of their own; what both hold, such as a step, is one schema.
        separate_input_output_schemas=False,
        lifespan=lifespan,
    )
    app.state.services = parts
    app.add_middleware(tracking.TrackingCors)
    install_problem_handlers(app)
    for open_to_all in (health, links, callbacks):
        app.include_router(open_to_all.router)
    app.include_router(tracking.router, dependencies=[Depends(WriteKey(parts.settings)), Depends(few_at_once())])
    managed = [Depends(ApiKey(parts.settings)), Depends(fit_address)]
    resources = (
        customers, segments, journeys, campaigns, entries, templates, messages, message_caps, topics, suppressions,
    )  # fmt: skip
    for resource in resources:
        app.include_router(resource.router, dependencies=managed)
    describe(app)
    return app


def bulk_worker(parts: Services) -> Worker:
    """Serves the starters' own bulk work."""
    return Worker(
        parts.client.client,
        task_queue=starter_queue(parts.client.task_queue),
        workflows=[ExistingMembers],
        activities=[parts.due_entries.enter_existing],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=100,
        max_concurrent_activities=10,
    )


class _Server(uvicorn.Server):
    """Leaves the signals to us: uvicorn would raise them again after it has shut down cleanly."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


async def run_starter(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM."""
    database = open_database(settings.database_url)
    client = await connect()
    if warning := await search_attributes.register(client):
        log.warning(warning)
    if settings.base_url.startswith("http://"):
        log.warning("CAMPAIGNS_PUBLIC_URL is not https: mailbox providers will not offer one-click unsubscription")
    app = make_app(make_services(settings, database, EntryClient(client)))
    server = _Server(
        uvicorn.Config(app, settings.host, settings.port, log_level="warning", timeout_graceful_shutdown=10)
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    log.info("starter is ready", url=settings.base_url, docs=f"{settings.base_url}/docs")
    await server.serve()
    await database.close()
