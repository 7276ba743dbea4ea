"""From rows to what the API shows: statistics, entries, timelines, explanations."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from campaigns.models.journey.definition import Definition
from campaigns.models.journey.steps import blocks
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import statistics
from campaigns.models.store.queries.messages import HAPPENINGS
from campaigns.models.values import Json, iso
from campaigns.workflows.client import workflow_id

STATUSES = ("running", "completed", "exited", "failed")
MESSAGE_COUNTERS = ("sent", "unknown", *HAPPENINGS)

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


async def campaign_statistics(
    connection: Connection, versions: Sequence[Definition], version: int | None = None
) -> Json:
    """The statistics of the API, over all versions, the newest first, or of one; one snapshot makes them add up.

    A step that only an older version has stands behind those of the newer ones. Decisions and holdout are the
    campaign's, whatever its version.
    """
    key = versions[0].key
    by_version = await statistics.entries(connection, key)
    entries = _entries([row for row in by_version if version in (None, row[0])])
    customers, held_out_converted = await statistics.holdout(connection, key)
    return {
        "campaign": key,
        "version": version,
        "entries": entries,
        "versions": [
            {"version": one, "entries": _entries([row for row in by_version if row[0] == one])}
            for one in sorted({row[0] for row in by_version})
        ],
        "holdout": {"customers": customers, "converted": held_out_converted},
        "decisions": dict.fromkeys(EXPLANATIONS, 0) | dict(await _decisions(connection, key)),
        "steps": _steps(
            versions,
            await statistics.steps(connection, key, version),
            await statistics.messages(connection, key, version),
        ),
    }


async def _decisions(connection: Connection, key: str) -> list[tuple[str, int]]:
    return [(outcome, int(number)) for outcome, number in await statistics.decisions(connection, key)]


def _entries(rows: Sequence[Any]) -> dict[str, int]:
    counted = dict.fromkeys(("entered", *STATUSES, "converted"), 0)
    for _, status, number, converted in rows:
        counted["entered"] += number
        counted[status] += number
        counted["converted"] += converted
    return counted


def _steps(versions: Sequence[Definition], outcomes: Sequence[Any], messages: Sequence[Any]) -> list[Json]:
    counters: dict[str, Json] = {}
    for step in (step for version in versions for step in version.all_steps):
        counted = counters.setdefault(step.id, _empty(step.id, step.type))
        counted["branches"] = {name: 0 for name, _, _ in blocks(step)} | counted["branches"]
    for step_id, outcome, reason, number in outcomes:
        # A step that code declared once, and no version knows any more, is counted all the same.
        counted = counters.setdefault(step_id, _empty(step_id, "unknown"))
        counted["entered"] += number
        if outcome == "skipped":
            counted["skipped"][reason] = counted["skipped"].get(reason, 0) + number
        else:
            counted[outcome] += number
        if outcome == "completed" and reason:
            counted["branches"][reason] = counted["branches"].get(reason, 0) + number
    for step_id, status, number, *happened in messages:
        sent = counters.setdefault(step_id, _empty(step_id, "unknown"))["messages"]
        if status in ("sent", "unknown"):
            sent[status] += number
        for what, times in zip(HAPPENINGS, happened, strict=True):
            sent[what] += times
    return list(counters.values())


def _empty(step_id: str, type_: str) -> Json:
    return {
        "id": step_id,
        "type": type_,
        **dict.fromkeys(("entered", "waiting", "completed", "failed", "exited"), 0),
        "skipped": {},
        "messages": dict.fromkeys(MESSAGE_COUNTERS, 0),
        "branches": {},
    }


def entry_json(row: Any) -> Json:
    """An entry as the API shows it."""
    return {
        "id": row.id,
        "campaign": row.campaign,
        "version": row.version,
        "customer_id": row.customer_id,
        "entry_key": row.entry_key,
        "status": row.status,
        "ended_by": row.ended_by,
        "entered_at": iso(row.entered_at),
        "ended_at": iso(row.ended_at),
        "workflow_id": workflow_id(row.id),
    }


def timeline_json(entry: Any, steps: Sequence[Any], messages: Sequence[Any]) -> list[Json]:
    """What happened to the entry, in order: its start, each step as it was reached and left, its end."""
    sent = {(message.step_id, message.repetition): message for message in messages}
    lines: list[Json] = []
    _append(lines, entry.entered_at, None, "entered", None)
    for step in steps:
        if step.ended_at != step.entered_at:
            detail = step.detail if step.outcome == "waiting" else None
            _append(lines, step.entered_at, step.step_id, "waiting", detail)
        if step.ended_at is not None:
            message = sent.get((step.step_id, step.repetition))
            detail = _message_detail(message) if message else _step_detail(step)
            _append(lines, step.ended_at, step.step_id, step.outcome, detail)
    if entry.ended_at:
        _append(lines, entry.ended_at, None, entry.status, entry.ended_by)
    return [{**line, "at": iso(line["at"])} for line in lines]


def _append(lines: list[Json], at: datetime, step: str | None, outcome: str, detail: str | None) -> None:
    # A workflow's clock stands still while it works, so it may lag some milliseconds behind its activities'.
    shown = max(at, lines[-1]["at"]) if lines else at
    lines.append({"at": shown, "step": step, "outcome": outcome, "detail": detail})


def _step_detail(step: Any) -> str | None:
    """Why, or which way; and what else there is to say."""
    more = step.detail if step.detail != step.outcome else None
    return ", ".join(filter(None, (step.reason, more))) or None


def _message_detail(message: Any) -> str:
    parts = [message.status]
    if message.error:
        parts.append(message.error)
    if message.attempt > 1:
        parts.append(f"after {message.attempt} attempts")
    return ", ".join(parts)
