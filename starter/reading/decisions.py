"""Decisions as the API explains them: each outcome in a sentence, each fact in another."""

from datetime import datetime, timedelta
from typing import Any

from campaigns.models.values import Json, iso

EXPLANATIONS = {
    "entered": "The customer entered.",
    "not_live": "The campaign was not live.",
    "not_started": "The campaign had not started yet.",
    "ended": "The campaign had ended.",
    "segment_inactive": "The segment is not active, so entering it triggers nothing.",
    "not_matching": "The trigger did not match the campaign's condition.",
    "holdout": "The customer belongs to the campaign's holdout, which gets nothing.",
    "erased": "The customer was erased.",
    "duplicate": "This trigger had already been used.",
    "already_running": "An entry of this campaign was running for the customer.",
    "already_entered": "The campaign may be entered once, and the customer had entered before.",
    "interval": "Too little time had passed since the customer's last entry.",
    "frequency_cap": "The customer had got this campaign too recently, or was about to.",
    "lower_priority": "Another campaign won the customer.",
}


REASONS = {
    "status": "It was {}.",
    "starts_at": "It starts at {}.",
    "ends_at": "It ended at {}.",
    "running_entry": "The entry {} runs.",
    "last_entered_at": "The last entry was at {}.",
    "last_exposed_at": "The last message was at {}.",
    "interval_s": "At least {} must lie between two entries.",
    "cap_s": "At least {} must lie between the last message and another entry.",
    "winner_entry": "The entry {} of the winner was running.",
    "preempted": "The entries {} gave way.",
}
"""What each fact of a decision adds to its explanation."""


def explain(outcome: str, winner: str | None, retry_at: datetime | None, facts: Json | None) -> str:
    """The decision in a sentence or two."""
    said = [f"The campaign {winner!r} won the customer." if winner else EXPLANATIONS[outcome]]
    for name, value in (facts or {}).items():
        if name in REASONS:
            said.append(REASONS[name].format(_in_words(name, value)))
    if winner and facts and "winner_priority" in facts:
        said.append(f"Its priority is {facts['winner_priority']}, this campaign's {facts['priority']}.")
    if retry_at:
        said.append(f"It could be entered again from {iso(retry_at)} on.")
    return " ".join(said)


def _in_words(name: str, value: Any) -> str:
    if name.endswith("_s"):
        return str(timedelta(seconds=value))
    return ", ".join(value) if isinstance(value, list) else str(value)
