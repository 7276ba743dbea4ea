"""Entries as the API shows them, and what happened to one in order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from campaigns.models.values import Json, iso
from campaigns.workflows.client import workflow_id


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
