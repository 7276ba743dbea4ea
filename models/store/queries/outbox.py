"""What committed decisions still owe to Temporal."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import delete, func, literal, select, update

from campaigns.models.dispatch import DispatchKind, DispatchRow
from campaigns.models.entry import EndedBy, EntryStatus
from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import Insert, insert, insert_of
from campaigns.models.store.tables import Dispatch, Entry
from campaigns.models.values import Json

SWEEP_AFTER = timedelta(seconds=5)
"""Whoever committed has this long to act, before the sweep does."""


async def add(connection: Connection, rows: Iterable[DispatchRow], due_at: datetime) -> None:
    """Owe these; whoever commits them tries at once, and the sweep from `due_at` on."""
    values: list[dict[str, Any]] = [{**row._asdict(), "due_at": due_at, "attempts": 0} for row in rows]
    if values:
        await connection.execute(_add(connection.dialect.name), values)


@cache
def _add(dialect: str) -> Insert:
    return insert_of(dialect, Dispatch).on_conflict_do_nothing()


async def add_resumes(connection: Connection, campaign: str, now: datetime) -> None:
    """Owe a `resume` to every entry that a pause holds: one statement, however many they are."""
    held = (Entry.campaign_key == campaign, Entry.status == EntryStatus.RUNNING, Entry.held == "paused")
    request_id = literal("resume-") + Entry.id + literal(f"-{now.timestamp():.6f}")
    await _add_to_entries(connection, request_id, DispatchKind.RESUME, {}, now, held)


async def add_stops(connection: Connection, campaign: str, now: datetime) -> None:
    """Owe an `exit` to every running entry of the campaign, as `add_resumes` does."""
    running = (Entry.campaign_key == campaign, Entry.status == EntryStatus.RUNNING)
    payload = {"cause": EndedBy.STOPPED.value}
    await _add_to_entries(connection, literal("stop-") + Entry.id, DispatchKind.EXIT, payload, now, running)


async def _add_to_entries(
    connection: Connection, request_id: Any, kind: DispatchKind, payload: Json, now: datetime, where: tuple[Any, ...]
) -> None:
    """Owe the same to many entries; nobody has their rows at hand, so the sweep takes them at once."""
    columns = ["id", "kind", "entry_id", "payload", "due_at", "attempts"]
    rows = select(
        request_id, literal(kind.value), Entry.id, literal(payload, Dispatch.payload.type),
        literal(now, Dispatch.due_at.type), literal(0),
    ).where(*where)  # fmt: skip
    await connection.execute(insert(connection, Dispatch).from_select(columns, rows))


async def take_due(connection: Connection, now: datetime, lease: timedelta, limit: int) -> list[DispatchRow]:
    """Return rows that are due, and keep them from other sweeps for the length of the lease."""
    statement = select(Dispatch.id, Dispatch.kind, Dispatch.entry_id, Dispatch.payload)
    statement = statement.where(Dispatch.due_at <= now).order_by(Dispatch.due_at).limit(limit)
    rows = [DispatchRow(*row) for row in await connection.execute(statement.with_for_update(skip_locked=True))]
    if rows:
        ids = [row.id for row in rows]
        await connection.execute(
            update(Dispatch).where(Dispatch.id.in_(ids)).values(due_at=now + lease, attempts=Dispatch.attempts + 1)
        )
    return rows


async def any_due(connection: Connection, now: datetime) -> bool:
    """Whether there is something to take: asked first, as it needs no lock."""
    return (await connection.execute(select(Dispatch.id).where(Dispatch.due_at <= now).limit(1))).first() is not None


async def delete_done(connection: Connection, ids: list[str]) -> None:
    """Take away what is done."""
    await connection.execute(delete(Dispatch).where(Dispatch.id.in_(ids)))


async def count(connection: Connection) -> int:
    """Return how many are owed."""
    return int((await connection.execute(select(func.count()).select_from(Dispatch))).scalar_one())


class EntryToStart(NamedTuple):
    """What a running entry's workflow is started from."""

    id: str
    campaign_key: str
    version: int
    customer_id: str
    trigger: Json


async def entry_to_start(connection: Connection, entry_id: str) -> EntryToStart | None:
    """Return what the entry's workflow is started from; None where no such entry runs."""
    statement = select(Entry.id, Entry.campaign_key, Entry.version, Entry.customer_id, Entry.trigger)
    statement = statement.where(Entry.id == entry_id, Entry.status == EntryStatus.RUNNING)
    row = (await connection.execute(statement)).one_or_none()
    if row is None or row.customer_id is None or row.trigger is None:
        return None  # Whose customer was erased has ended.
    return EntryToStart(row.id, row.campaign_key, row.version, row.customer_id, row.trigger)


async def of_entry(connection: Connection, entry_id: str) -> list[DispatchRow]:
    """What is owed to one entry, in the order in which it was decided."""
    statement = select(Dispatch.id, Dispatch.kind, Dispatch.entry_id, Dispatch.payload)
    statement = statement.where(Dispatch.entry_id == entry_id).order_by(Dispatch.due_at)
    return [DispatchRow(*row) for row in await connection.execute(statement)]
