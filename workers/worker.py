"""The worker process: the only place that names concrete senders, activities and tuning."""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from urllib.parse import urlsplit

import structlog
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import Interceptor, Worker, WorkerDeploymentConfig

from campaigns.activities.delivery.activity import DeliveryActivities
from campaigns.activities.delivery.proofs import ProofActivities
from campaigns.activities.progress import ProgressActivities
from campaigns.activities.senders.base import Sender
from campaigns.activities.senders.fcm import FcmSender, read_credentials
from campaigns.activities.senders.smtp import Dkim, SmtpSender
from campaigns.activities.senders.twilio.send import TwilioSender
from campaigns.activities.senders.webhook import WebhookSender
from campaigns.models.settings import RATED, Settings, SmtpServer
from campaigns.models.signing import Signing
from campaigns.models.store.database import Database, open_database
from campaigns.models.store.definitions import Definitions
from campaigns.workflows import search_attributes
from campaigns.workflows.client import TASK_QUEUE, connect
from campaigns.workflows.registry import Journeys, all_workflows, load_journeys

MAX_CACHED_WORKFLOWS = 5_000
WORKFLOW_TASKS = 30
"""More at once would only make each take longer, up to its time-out."""
ACTIVITIES = 200
"""They wait for providers."""

log = structlog.get_logger()


def make_senders(settings: Settings) -> dict[str, Sender]:
    """A sender for each channel that is set up; inside a running loop."""
    senders: dict[str, Sender] = {}
    if settings.smtp_url:
        settings.require("mail_from")
        senders["email"] = SmtpSender(SmtpServer(settings.smtp_url), settings.mail_from or "", _dkim(settings))
    if settings.twilio_account_sid:
        settings.require("twilio_auth_token", "twilio_from")
        for channel, prefix in (("sms", ""), ("whatsapp", "whatsapp:")):
            senders[channel] = TwilioSender(
                settings.twilio_account_sid,
                settings.secret("twilio_auth_token"),
                settings.twilio_from or "",
                settings.twilio_base_url,
                prefix=prefix,
                callbacks=_callbacks(settings),
            )
    if settings.fcm_credentials:
        try:
            credentials = read_credentials(settings.fcm_credentials)
        except (OSError, ValueError) as error:
            raise SystemExit(f"campaigns: CAMPAIGNS_FCM_CREDENTIALS: {error}") from None
        senders["push"] = FcmSender(credentials, settings.fcm_base_url)
    senders["webhook"] = WebhookSender(
        allow_internal=settings.webhook_allow_internal,
        secret=settings.webhook_secret.get_secret_value() if settings.webhook_secret else None,
    )
    return senders


def _dkim(settings: Settings) -> Dkim | None:
    if settings.dkim_key is None and settings.dkim_selector is None:
        return None
    settings.require("dkim_key", "dkim_selector")
    try:
        return Dkim(settings.dkim_selector or "", settings.secret("dkim_key"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"campaigns: CAMPAIGNS_DKIM_KEY: {error}") from None


def _callbacks(settings: Settings) -> str | None:
    """Where Twilio tells what came of messages; it refuses to send where it could not reach that (error 21609)."""
    host = urlsplit(settings.base_url).hostname or ""
    reached = settings.twilio_base_url or (settings.public_url and host not in ("localhost", "127.0.0.1", "::1"))
    return f"{settings.base_url}/callbacks/twilio" if reached else None


def deployment() -> WorkerDeploymentConfig | None:
    """Versioned where the deployment says which version this is, as Temporal's worker controller does.

    https://docs.temporal.io/worker-versioning: entries run for months, so each goes on in the newest version.
    """
    name, build = os.environ.get("TEMPORAL_DEPLOYMENT_NAME"), os.environ.get("TEMPORAL_WORKER_BUILD_ID")
    if not name or not build:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name=name, build_id=build),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


def make_workers(
    client: Client,
    database: Database,
    settings: Settings,
    senders: dict[str, Sender],
    *,
    journeys: Journeys | None = None,
    interceptors: Sequence[Interceptor] = (),
    task_queue: str = TASK_QUEUE,
    max_cached_workflows: int = MAX_CACHED_WORKFLOWS,
) -> list[Worker]:
    """A worker of all workflows and activities on the one task queue, and one for each provider with a limited rate."""
    signing = Signing(settings.secret("secret_key"))
    journeys = journeys or load_journeys(settings.journeys)
    definitions = Definitions(journeys)
    queues = {name: f"{task_queue}-{name}" for name in settings.rates}
    rated = {channel: queue for name, queue in queues.items() for channel in RATED[name]}
    delivery = DeliveryActivities(database, definitions, senders, signing, settings.base_url, rated=rated)
    progress = ProgressActivities(database, definitions)
    main = Worker(
        client,
        task_queue=task_queue,
        workflows=all_workflows(journeys, signing),
        activities=[
            delivery.send_message,
            delivery.give_up_message,
            ProofActivities(database, senders, signing).send_proof,
            progress.begin_delay,
            progress.begin_wait,
            progress.choose_branch,
            progress.plan_delay,
            progress.update_customer,
            progress.end_entry,
        ],
        max_cached_workflows=max_cached_workflows,
        max_concurrent_workflow_tasks=WORKFLOW_TASKS,
        max_concurrent_local_activities=WORKFLOW_TASKS,
        max_concurrent_activities=ACTIVITIES,
        graceful_shutdown_timeout=timedelta(seconds=30),
        interceptors=interceptors,
        deployment_config=deployment(),
    )
    # A limit of a task queue is Temporal's, and holds over all workers (temporalio.worker.Worker).
    limited = [
        Worker(
            client,
            task_queue=queue,
            activities=[delivery.send_message],
            max_task_queue_activities_per_second=settings.rates[name],
            max_concurrent_activities=ACTIVITIES,
            graceful_shutdown_timeout=timedelta(seconds=30),
        )
        for name, queue in queues.items()
        if set(RATED[name]) & set(senders)
    ]
    return [main, *limited]


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
    for channel in sorted({"email", "sms", "whatsapp", "push"} - set(senders)):
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
