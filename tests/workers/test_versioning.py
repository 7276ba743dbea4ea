"""A deployment of new workflow code: worker versioning, with entries under way."""

import asyncio

import pytest
from temporalio.api.workflowservice.v1 import SetWorkerDeploymentCurrentVersionRequest
from temporalio.service import RPCError

from tests.support.product import Product

DEPLOYMENT = "campaigns-test"


async def make_current(product: Product, build: str) -> None:
    """As `temporal worker deployment set-current-version` does, once the server knows the version."""
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace="default", deployment_name=DEPLOYMENT, build_id=build, ignore_missing_task_queues=True
    )
    async with asyncio.timeout(30):
        while True:
            try:
                await product.client.workflow_service.set_worker_deployment_current_version(request)
            except RPCError:
                await asyncio.sleep(0.2)
            else:
                return


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_entries_go_on_in_the_newest_version(product: Product, monkeypatch: pytest.MonkeyPatch):
    starter = await product.starter()
    wait = {"id": "wait", "type": "wait", "timeout": "P1D", "for": [{"name": "go", "event": "Go"}]}
    mail = {"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}
    await starter.campaign("c", steps=[wait, mail])
    await starter.customer("ann")
    monkeypatch.setenv("TEMPORAL_DEPLOYMENT_NAME", DEPLOYMENT)
    monkeypatch.setenv("TEMPORAL_WORKER_BUILD_ID", "one")
    async with product.worker():
        await starter.track("ann", "c")
        await make_current(product, "one")
        await starter.until_waiting("c", "wait", 30)
    monkeypatch.setenv("TEMPORAL_WORKER_BUILD_ID", "two")
    async with product.worker():
        await make_current(product, "two")
        await starter.track("ann", "Go")
        statistics = await starter.until_ended("c", 30)
        (entry,) = await starter.entries("c")
        description = await product.client.get_workflow_handle(entry["workflow_id"]).describe()
    info = description.raw_description.workflow_execution_info.versioning_info
    assert statistics["entries"]["completed"] == 1
    assert info.deployment_version.build_id == "two"
