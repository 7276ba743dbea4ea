"""/openapi.json says the shape of every answer, so that a client made from it by a generator is typed."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import Product, Starter

USE = """
from datetime import datetime

from client import CampaignShown, CustomerShown, DecisionPage, EntryPage, StatisticsShown


def reads(
    customer: CustomerShown, campaign: CampaignShown, entries: EntryPage, decisions: DecisionPage, counted: StatisticsShown
) -> tuple[str, datetime, int, str | None]:
    decided: datetime = decisions.decisions[0].decided_at
    entered: int = counted.entries.entered + counted.steps[0].messages.sent
    status: str = campaign.status.value + entries.entries[0].status.value + customer.id
    return status, decided, entered, entries.next


def misreads(entries: EntryPage) -> int:
    return entries.entries[0].entered_at  # wrong
"""


@pytest.fixture
async def starter(product: Product) -> Starter:
    return await product.starter()


async def document(starter: Starter) -> dict[str, Any]:
    return (await starter.api.get("/openapi.json")).json()


async def test_every_answer_has_a_shape(starter: Starter):
    shaped = 0
    for path, operations in (await document(starter))["paths"].items():
        for method, operation in operations.items():
            good = {code: answer for code, answer in operation["responses"].items() if code.startswith("2")}
            assert good, (method, path)
            for code, answer in good.items():
                if code == "204" or path in ("/metrics", "/v1/campaigns/{key}/journey.svg"):
                    assert "application/json" not in answer.get("content", {}), (method, path)
                    continue
                schema = answer["content"]["application/json"]["schema"]
                assert "$ref" in schema or "$ref" in schema["items"], (method, path)
                shaped += 1
            assert "application/problem+json" in operation["responses"]["default"]["content"], (method, path)
            if path.startswith("/v1"):
                assert len(operation["security"]) == 1, (method, path)
            if method in ("put", "post") and path.startswith("/v1"):
                assert "requestBody" in operation or path.endswith(("/{move}", "/exit", "/skip-wait")), (method, path)
    assert shaped > 40


async def test_a_client_that_a_generator_makes_is_typed(
    starter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    await starter.campaign("c", steps=[{"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}])
    await starter.customer("ann", tags=["a"])
    await starter.track("ann", "c")
    (tmp_path / "openapi.json").write_text(json.dumps(await document(starter)))
    generate = [
        sys.executable, "-W", "ignore", "-m", "datamodel_code_generator", "--input", "openapi.json", "--input-file-type", "openapi",
        "--output", "client.py", "--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.11",
        "--use-annotated", "--set-default-enum-member",
    ]  # fmt: skip
    subprocess.run(generate, cwd=tmp_path, check=True)
    spec = importlib.util.spec_from_file_location("client", tmp_path / "client.py")
    assert spec is not None
    assert spec.loader is not None
    client = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "client", client)
    spec.loader.exec_module(client)

    async def get(path: str, shape: str) -> Any:
        return getattr(client, shape).model_validate_json((await starter.api.get(path)).content)

    customer = await get("/v1/customers/ann", "CustomerShown")
    assert (customer.id, customer.model_extra["tags"], len(customer.entries)) == ("ann", ["a"], 1)
    entries = await get("/v1/campaigns/c/entries", "EntryPage")
    assert (entries.entries[0].status.value, entries.next) == ("running", None)
    campaign = await get("/v1/campaigns/c", "CampaignShown")
    assert campaign.model_dump()["steps"][0]["subject"] == "Hello"
    counted = await get("/v1/campaigns/c/statistics", "StatisticsShown")
    assert (counted.entries.entered, counted.steps[0].id) == (1, "mail")
    decisions = await get("/v1/customers/ann/decisions", "DecisionPage")
    assert decisions.decisions[0].outcome.value == "entered"

    (tmp_path / "use.py").write_text(USE)
    # What the generator writes is its own; what is made of it must be typed.
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = True\n[mypy-client]\nignore_errors = True\n")
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--config-file", "mypy.ini", "use.py"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    wrong = next(number for number, line in enumerate(USE.split("\n"), 1) if line.endswith("# wrong"))
    assert [line.split(":")[:2] for line in checked.stdout.splitlines() if "error" in line and ":" in line] == [
        ["use.py", str(wrong)]
    ], checked.stdout
