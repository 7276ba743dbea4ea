"""Replays of histories with the code at hand."""

from temporalio.worker import Replayer

from campaigns.models.signing import Signing
from campaigns.workflows.converter import data_converter
from campaigns.workflows.registry import Journeys, all_workflows


def make_replayer(journeys: Journeys, signing: Signing) -> Replayer:
    """Return a replayer of entries: of declared journeys, and of those in code, whose triggers the key unseals."""
    return Replayer(workflows=all_workflows(journeys, signing), data_converter=data_converter)
