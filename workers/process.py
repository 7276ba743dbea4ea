"""The worker process: it runs until it is told to stop, and waits for messages on their way."""

import asyncio
import signal
from contextlib import AsyncExitStack

import structlog
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from campaigns.models.channels import PERSONAL
from campaigns.models.settings import Settings
from campaigns.models.store.database import open_database
from campaigns.workers.senders import make_senders
from campaigns.workers.worker import make_workers
from campaigns.workflows import search_attributes
from campaigns.workflows.client import TASK_QUEUE, connect

log = structlog.get_logger()


async def run_worker(settings: Settings) -> None:
    """Runs until SIGINT or SIGTERM; a message on its way is waited for."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if settings.worker_metrics_port:
        metrics = PrometheusConfig(bind_address=f"0.0.0.0:{settings.worker_metrics_port}")
        Runtime.set_default(Runtime(telemetry=TelemetryConfig(metrics=metrics)))
    database = open_database(settings.database_url)
    senders = make_senders(settings)
    for channel in sorted(set(PERSONAL) - set(senders)):
        log.warning("channel is not set up, its messages wait for a worker that has it", channel=channel)
    client = await connect()
    if warning := await search_attributes.register(client):
        log.warning(warning)
    async with AsyncExitStack() as running:
        for worker in make_workers(client, database, settings, senders):
            await running.enter_async_context(worker)
        log.info("worker is ready", task_queue=TASK_QUEUE)
        await stop.wait()
    for sender in senders.values():
        await sender.close()
    await database.close()
