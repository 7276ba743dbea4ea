"""Services that signal entries by Temporal itself, as the documentation says."""

import re
from pathlib import Path

import pytest
from temporalio.service import RPCError, RPCStatusCode

from tests.support.product import Product, until

PAGE = Path(__file__).parents[2] / "docs" / "signals.md"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_the_example_of_the_documentation(product: Product, monkeypatch: pytest.MonkeyPatch):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert code
    namespace: dict = {}
    exec(code[1], namespace)  # the example itself
    monkeypatch.setenv("TEMPORAL_ADDRESS", product.client.service_client.config.target_host)
    starter = await product.starter()
    wait = {"id": "delivery", "type": "wait", "timeout": "P1D", "for": [{"name": "shipped", "event": "Order Shipped"}]}
    async with product.worker():
        await starter.campaign("orders", steps=[wait])
        await starter.track("ann", "orders")
        await starter.until_waiting("orders", "delivery")

        async def signalled() -> bool:
            # The list of workflows follows a moment later, when an entry starts and when it has ended.
            try:
                await namespace["shipped"]("o-1")
            except RPCError as error:
                assert error.status == RPCStatusCode.NOT_FOUND  # noqa: PT017 - it may raise or not
            return (await starter.statistics("orders"))["entries"]["completed"] == 1

        await until(signalled)
        statistics = await starter.statistics("orders")
    assert statistics["steps"][0]["branches"] == {"shipped": 1, "timeout": 0}
