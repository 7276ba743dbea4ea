"""The Temporal client, and the one way in which entries are started and signalled."""

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest, SignalWorkflowExecutionRequest
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from campaigns.activities.contract import SendResult
from campaigns.workflows import search_attributes
from campaigns.workflows.contract import EntryInput
from campaigns.workflows.converter import data_converter
from campaigns.workflows.existing_members import ExistingMembers, starter_queue
from campaigns.workflows.proof import PROOF_TIMEOUT, Proof

TASK_QUEUE = "campaigns"
CLOSING_PAUSES_S = (0.02, 0.05, 0.1, 0.3, 1.0)
DECLARED = "Entry"
"""The workflow type of entries whose steps are data; a journey in code has its class's name."""


async def connect() -> Client:
    """A client by Temporal's own settings (environment, profiles)."""
    settings: dict[str, Any] = {"target_host": "localhost:7233", **ClientConfig.load_client_connect_config()}
    return await Client.connect(**settings, data_converter=data_converter)


def workflow_id(entry_id: str) -> str:
    """The id of an entry's workflow."""
    return f"entry-{entry_id}"


@dataclass(frozen=True)
class Signal:
    """A signal with the id by which doubles of it are known."""

    name: str
    request_id: str
    argument: Any = None


class EntryClient:
    """Starts, signals and deletes the workflows of entries. Doing any of it twice is harmless."""

    def __init__(self, client: Client, task_queue: str = TASK_QUEUE) -> None:
        self.client = client
        self.task_queue = task_queue

    async def start(self, entry: EntryInput, signal: Signal | None = None) -> bool:
        """Starts the entry's workflow, with a first signal if one came before it; False where it was started before."""
        extra: dict[str, Any] = {}
        if signal:
            arguments = [] if signal.argument is None else [signal.argument]
            extra = {"start_signal": signal.name, "start_signal_args": arguments}
        try:
            await self.client.start_workflow(
                entry.workflow or DECLARED,
                entry,
                id=workflow_id(entry.entry_id),
                task_queue=self.task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING if signal else WorkflowIDConflictPolicy.FAIL,
                search_attributes=search_attributes.of_entry(entry),
                static_summary=_summary(entry),
                # Its workflow tasks, and with them the first tries of its messages, take turns with other campaigns'.
                priority=Priority(fairness_key=entry.campaign),
                **extra,
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def enter_existing(self, campaign: str, begin: datetime) -> None:
        """Starts the workflow that enters a campaign's existing members, at that time; once."""
        delay = begin - datetime.now(UTC)
        with suppress(WorkflowAlreadyStartedError):
            await self.client.start_workflow(
                ExistingMembers.run,
                campaign,
                id=f"existing-members-{campaign}-{begin:%Y%m%dT%H%M%S.%f}",
                task_queue=starter_queue(self.task_queue),
                start_delay=delay if delay > timedelta(0) else None,
                static_summary=f"existing members of {campaign}",
            )

    async def send_proof(self, sealed: str) -> SendResult:
        """What came of a template's test; TimeoutError where no worker does it in time."""
        try:
            async with asyncio.timeout(PROOF_TIMEOUT.total_seconds()):
                return await self.client.execute_workflow(
                    Proof.run,
                    sealed,
                    id=f"proof-{uuid.uuid4().hex}",
                    task_queue=self.task_queue,
                    execution_timeout=PROOF_TIMEOUT,
                    static_summary="proof",
                )
        except WorkflowFailureError as error:
            raise TimeoutError("no worker has sent it in time") from error

    async def signal(self, entry_id: str, signal: Signal) -> bool:
        """Signals the entry once by the signal's request id; False where no such workflow runs."""
        arguments = [] if signal.argument is None else [signal.argument]
        payloads = await self.client.data_converter.encode(arguments)
        request = SignalWorkflowExecutionRequest(
            namespace=self.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id(entry_id)),
            signal_name=signal.name,
            input=Payloads(payloads=payloads),
            identity=self.client.identity,
            request_id=str(uuid.uuid5(uuid.NAMESPACE_OID, signal.request_id)),
        )
        for pause_s in (*CLOSING_PAUSES_S, None):
            try:
                await self.client.workflow_service.signal_workflow_execution(request)
            except RPCError as error:
                if error.status == RPCStatusCode.NOT_FOUND:
                    return False
                if pause_s is None or "closing" not in error.message:
                    raise
                # It ends, or continues as new: in a moment it is known which.
                await asyncio.sleep(pause_s)
            else:
                return True
        raise AssertionError("the last try returns or raises")

    async def delete(self, entry_id: str) -> None:
        """Ends the execution if it runs, and deletes it with its history, that of its earlier runs too."""
        await self._delete_run(entry_id, "")
        async for run in self.client.list_workflows(f"WorkflowId = '{workflow_id(entry_id)}'"):
            await self._delete_run(entry_id, run.run_id)

    async def _delete_run(self, entry_id: str, run_id: str) -> None:
        request = DeleteWorkflowExecutionRequest(
            namespace=self.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id(entry_id), run_id=run_id),
        )
        try:
            await self.client.workflow_service.delete_workflow_execution(request)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise


def _summary(entry: EntryInput) -> str:
    """Campaign and customer, within Temporal's 400 bytes."""
    return f"{entry.campaign}: {entry.customer_id}".encode()[:390].decode(errors="ignore")
