"""The workers of one process: the only place that names activities and tuning."""

import os
from collections.abc import Sequence
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Interceptor, Worker, WorkerDeploymentConfig

from campaigns.activities.delivery.activity import DeliveryActivities
from campaigns.activities.delivery.proofs import ProofActivities
from campaigns.activities.progress import ProgressActivities
from campaigns.activities.senders.base import Sender
from campaigns.models.settings import RATED, Settings
from campaigns.models.signing import Signing
from campaigns.models.store.database import Database
from campaigns.models.store.definitions import Definitions
from campaigns.workflows.client import TASK_QUEUE
from campaigns.workflows.registry import Journeys, all_workflows, load_journeys

MAX_CACHED_WORKFLOWS = 5_000
WORKFLOW_TASKS = 30
"""More at once would only make each take longer, up to its time-out."""
ACTIVITIES = 200
"""They wait for providers."""


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
