"""The counters of a campaign, of one snapshot."""

from collections.abc import Sequence
from typing import Any

from campaigns.models.entry import EntryStatus, StepState
from campaigns.models.journey.definition import Definition
from campaigns.models.journey.steps import blocks
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import statistics
from campaigns.models.store.queries.messages import HAPPENINGS
from campaigns.models.values import Json
from campaigns.starter.reading.decisions import EXPLANATIONS

STATUSES = tuple(EntryStatus)
MESSAGE_COUNTERS = ("sent", "unknown", *HAPPENINGS)


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
        if outcome == StepState.SKIPPED:
            counted["skipped"][reason] = counted["skipped"].get(reason, 0) + number
        else:
            counted[outcome] += number
        if outcome == StepState.COMPLETED and reason:
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
