"""What became of each passage of an entry through a step."""

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import select

from campaigns.models.entry import StepState
from campaigns.models.store.database import Connection
from campaigns.models.store.queries.messages import HAPPENINGS
from campaigns.models.store.queries.statements import Insert, insert_of
from campaigns.models.store.tables import Message, StepOutcome


@cache
def _put(dialect: str) -> Insert:
    table = StepOutcome.__table__
    statement = insert_of(dialect, StepOutcome)
    later = {name: getattr(statement.excluded, name) for name in ("outcome", "reason", "detail", "ended_at")}
    return statement.on_conflict_do_update(
        index_elements=["entry_id", "step_id", "repetition"], set_=later, where=table.c.outcome == StepState.WAITING
    )


async def put(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Writes what became of passages through steps; when one was entered stays, and so does a final outcome."""
    if rows:
        await connection.execute(_put(connection.dialect.name), rows)


class PassedStep(NamedTuple):
    """One passage of an entry through a step."""

    step_id: str
    repetition: int
    outcome: StepState
    reason: str | None
    detail: str | None
    entered_at: datetime
    ended_at: datetime | None


async def timeline(connection: Connection, entry_id: str) -> list[PassedStep]:
    """Return what became of each step that the entry has come to, in order."""
    statement = select(
        StepOutcome.step_id, StepOutcome.repetition, StepOutcome.outcome, StepOutcome.reason, StepOutcome.detail,
        StepOutcome.entered_at, StepOutcome.ended_at,
    ).where(StepOutcome.entry_id == entry_id)  # fmt: skip
    return [PassedStep(*row) for row in await connection.execute(statement.order_by(StepOutcome.position))]


async def statuses(connection: Connection, entry_id: str, steps: Iterable[str]) -> dict[str, frozenset[str]]:
    """What is true of the messages of these steps, for conditions."""
    wanted = list(steps)
    if not wanted:
        return {}
    found: dict[str, set[str]] = {}
    rows = await connection.execute(
        select(Message.step_id, Message.status, *(getattr(Message, f"{what}_at") for what in HAPPENINGS)).where(
            Message.entry_id == entry_id, Message.step_id.in_(wanted)
        )
    )
    for step, status, *times in rows:
        happened = [what for what, at in zip(HAPPENINGS, times, strict=True) if at is not None]
        found.setdefault(step, set()).update([status, *happened])
    skipped = await connection.execute(
        select(StepOutcome.step_id).where(
            StepOutcome.entry_id == entry_id, StepOutcome.step_id.in_(wanted), StepOutcome.outcome == StepState.SKIPPED
        )
    )
    for (step,) in skipped:
        found.setdefault(step, set()).add("skipped")
    return {step: frozenset(one) for step, one in found.items()}


async def has_begun(connection: Connection, entry_id: str) -> bool:
    """Whether the entry's workflow has left a trace."""
    statement = select(StepOutcome.step_id).where(StepOutcome.entry_id == entry_id).limit(1)
    return (await connection.execute(statement)).first() is not None
