"""Recorded histories replay: a change of workflow code does not break the entries that are under way."""

import base64
import json
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from campaigns.models.signing import Signing
from campaigns.workflows.registry import load_journeys
from campaigns.workflows.replay import make_replayer
from tests.histories.record import STORIES
from tests.support.product import SECRET_KEY

JOURNEYS = Path(__file__).parents[1] / "support" / "journeys"
HISTORIES = sorted((Path(__file__).parents[1] / "histories").glob("*.json"))


def replayer() -> Replayer:
    return make_replayer(load_journeys(JOURNEYS), Signing(SECRET_KEY))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_replays(path: Path):
    await replayer().replay_workflow(WorkflowHistory.from_json(path.stem, path.read_text()))


def test_every_story_is_recorded():
    assert {path.stem for path in HISTORIES} == set(STORIES)


async def test_a_change_would_be_noticed():
    """The check itself: of a journey whose steps are others now, the history does not replay."""
    history = json.loads(next(path for path in HISTORIES if path.stem == "every-step").read_text())
    payload = history["events"][0]["workflowExecutionStartedEventAttributes"]["input"]["payloads"][0]
    entry = json.loads(base64.b64decode(payload["data"]))
    entry["steps"].pop(2)
    payload["data"] = base64.b64encode(json.dumps(entry).encode()).decode()
    with pytest.raises(workflow.NondeterminismError, match=r"wait\.begin_wait\.1.*branch\.choose_branch\.1"):
        await replayer().replay_workflow(WorkflowHistory.from_json("changed", history))
