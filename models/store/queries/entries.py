"""Entries: their admission facts, their progress, their end."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, NotNullable, Select, Update, bindparam, case, func, select, update

from campaigns.models.entry import EndedBy, EntryStatus, MessageStatus, StepState
from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import Insert, chunks, insert_of
from campaigns.models.store.tables import Entry, Message, StepOutcome
from campaigns.models.values import Json

_RUNNING = Entry.status == EntryStatus.RUNNING
_WAITING = StepOutcome.outcome == StepState.WAITING
SENT_STATUSES = (MessageStatus.SENT, MessageStatus.UNKNOWN)
"""Of messages that were sent, or may have been."""


class RunningEntry(NamedTuple):
    """An entry that runs, as admission and intake see it."""

    id: str
    campaign: str
    version: int
    entry_key: str | None
    trigger: Json
    exit_request: str | None
    entered_at: datetime
    exposed_at: datetime | None
    converted_at: datetime | None


class PastEntries(NamedTuple):
    """What came before, of one campaign and one entry key of a customer."""

    campaign: str
    entry_key: str | None
    entered_at: datetime | None
    """Of the last entry that was not given back."""
    exposed_at: datetime | None


class EntryRow(NamedTuple):
    """An entry as the API shows it."""

    id: str
    campaign: str
    version: int
    customer_id: str | None
    entry_key: str | None
    status: EntryStatus
    ended_by: str | None
    entered_at: datetime
    ended_at: datetime | None


def _entries() -> Select[str, str, int, str | None, str | None, EntryStatus, str | None, datetime, datetime | None]:
    return select(
        Entry.id, Entry.campaign_key, Entry.version, Entry.customer_id, Entry.entry_key,
        Entry.status, Entry.ended_by, Entry.entered_at, Entry.ended_at,
    )  # fmt: skip


async def running_of_customer(connection: Connection, customer_id: str) -> list[RunningEntry]:
    """The customer's running entries, locked: a message of theirs is claimed either before or after this."""
    return [RunningEntry(*row) for row in await connection.execute(_running_of_customer(), {"id": customer_id})]


@cache
def _running_of_customer() -> Select[
    str, str, int, str | None, Json, str | None, datetime, datetime | None, datetime | None
]:
    statement = select(
        Entry.id, Entry.campaign_key, Entry.version, Entry.entry_key, NotNullable(Entry.trigger), Entry.exit_request,
        Entry.entered_at, Entry.exposed_at, Entry.converted_at,
    )  # fmt: skip
    statement = statement.where(Entry.customer_id == bindparam("id"), _RUNNING)
    return statement.order_by(Entry.id).with_for_update()


async def past_of_customer(connection: Connection, customer_id: str, campaigns: Iterable[str]) -> list[PastEntries]:
    """The last entry and the last exposure of the customer in each campaign and entry key."""
    asked = {"id": customer_id, "campaigns": list(campaigns)}
    return [PastEntries(*row) for row in await connection.execute(_past_of_customer(), asked)]


@cache
def _past_of_customer() -> Select[str, str | None, datetime | None, datetime | None]:
    counted = case((func.coalesce(Entry.ended_by, "") != EndedBy.PREEMPTED.value, Entry.entered_at), else_=None)
    statement = select(Entry.campaign_key, Entry.entry_key, func.max(counted), func.max(Entry.exposed_at))
    keys: BindParameter[Sequence[str]] = bindparam("campaigns", expanding=True)
    statement = statement.where(Entry.customer_id == bindparam("id"), Entry.campaign_key.in_(keys))
    return statement.group_by(Entry.campaign_key, Entry.entry_key)


async def add(connection: Connection, row: dict[str, Any]) -> None:
    """Adds a running entry."""
    await connection.execute(_add(connection.dialect.name), row)


@cache
def _add(dialect: str) -> Insert:
    return insert_of(dialect, Entry)


class LockedEntry(NamedTuple):
    """An entry that is held until the transaction's end."""

    id: str
    campaign_key: str
    version: int
    customer_id: str | None
    status: EntryStatus
    exit_request: str | None


async def lock(connection: Connection, entry_id: str) -> LockedEntry | None:
    """Lock the entry until the transaction's end; None where there is none."""
    statement = select(Entry.id, Entry.campaign_key, Entry.version, Entry.customer_id, Entry.status, Entry.exit_request)
    row = (await connection.execute(statement.where(Entry.id == entry_id).with_for_update())).one_or_none()
    return LockedEntry(*row) if row else None


async def get(connection: Connection, entry_id: str) -> EntryRow | None:
    """Return the entry; None where there is none."""
    row = (await connection.execute(_entries().where(Entry.id == entry_id))).one_or_none()
    return EntryRow(*row) if row else None


async def page(
    connection: Connection,
    limit: int,
    after: tuple[datetime, str] | None,
    **where: str | None,
) -> list[EntryRow]:
    """Entries in the order in which they entered, of those whose columns have the given values."""
    statement = _entries().order_by(Entry.entered_at, Entry.id).limit(limit)
    for column, value in where.items():
        if value is not None:
            statement = statement.where(getattr(Entry, column) == value)
    if after:
        at, entry_id = after
        statement = statement.where((Entry.entered_at > at) | ((Entry.entered_at == at) & (Entry.id > entry_id)))
    return [EntryRow(*row) for row in await connection.execute(statement)]


async def request_exit(connection: Connection, entry_id: str, cause: EndedBy) -> bool:
    """Whether the running entry is to end by this cause; a cause that came before stays."""
    statement = update(Entry).where(Entry.id == entry_id, _RUNNING, Entry.exit_request.is_(None))
    return bool((await connection.execute(statement.values(exit_request=cause.value))).rowcount)


async def end(connection: Connection, entry_id: str, status: EntryStatus, ended_by: EndedBy, now: datetime) -> bool:
    """Whether this ended the entry; whatever step it was at is left as exited."""
    statement = update(Entry).where(Entry.id == entry_id, _RUNNING)
    result = await connection.execute(statement.values(status=status, ended_by=ended_by.value, ended_at=now, held=None))
    if not result.rowcount:
        return False
    if status != EntryStatus.COMPLETED:
        await _settle_messages(connection, entry_id, now)
        await connection.execute(
            update(StepOutcome)
            .where(StepOutcome.entry_id == entry_id, _WAITING)
            .values(outcome=StepState.EXITED, reason=ended_by.value, ended_at=now)
        )
    return True


async def complete(connection: Connection, entry_id: str, now: datetime) -> bool:
    """Whether the entry is completed now. One that is to exit is not: that is its workflow's to say."""
    statement = update(Entry).where(Entry.id == entry_id, _RUNNING, Entry.exit_request.is_(None))
    values = {"status": EntryStatus.COMPLETED, "ended_by": EndedBy.COMPLETED.value, "ended_at": now, "held": None}
    if (await connection.execute(statement.values(values))).rowcount:
        return True
    status = await connection.execute(select(Entry.status).where(Entry.id == entry_id))
    return bool(status.scalar_one_or_none() == EntryStatus.COMPLETED)


async def _settle_messages(connection: Connection, entry_id: str, now: datetime) -> None:
    """An attempt that was cut off by the end may have gone out; one that waited for its next attempt did not."""
    cut_off = (Message.entry_id == entry_id, Message.status == MessageStatus.SENDING)
    steps = list((await connection.execute(select(Message.step_id).where(*cut_off))).scalars())
    if steps:
        detail = "the entry ended before an answer"
        await connection.execute(
            update(Message).where(*cut_off).values(status=MessageStatus.UNKNOWN, error=detail, settled_at=now)
        )
        await connection.execute(
            update(StepOutcome)
            .where(
                StepOutcome.entry_id == entry_id,
                StepOutcome.step_id.in_(steps),
                _WAITING,
            )
            .values(outcome=StepState.COMPLETED, detail="unknown", ended_at=now)
        )
    await connection.execute(
        update(Message)
        .where(Message.entry_id == entry_id, Message.status == MessageStatus.RETRY)
        .values(status=MessageStatus.FAILED, settled_at=now)
    )


async def mark_converted(connection: Connection, entry_id: str, now: datetime) -> None:
    """Counts the conversion of an entry once, and credits its last message."""
    statement = update(Entry).where(Entry.id == entry_id, Entry.converted_at.is_(None)).values(converted_at=now)
    if not (await connection.execute(statement)).rowcount:
        return
    last = select(Message.id).where(Message.entry_id == entry_id, Message.status.in_(SENT_STATUSES))
    last = last.order_by(Message.claimed_at.desc()).limit(1)
    await connection.execute(update(Message).where(Message.id == last.scalar_subquery()).values(converted_at=now))


class EndedEntry(NamedTuple):
    """An entry that has ended."""

    id: str
    campaign_key: str
    version: int
    entered_at: datetime
    trigger: Json


async def ended_since(connection: Connection, customer_id: str, campaigns: Iterable[str]) -> list[EndedEntry]:
    """Return the entries of the customer in these campaigns that have ended without a conversion yet."""
    statement = select(Entry.id, Entry.campaign_key, Entry.version, Entry.entered_at, NotNullable(Entry.trigger))
    statement = statement.where(
        Entry.customer_id == customer_id,
        Entry.campaign_key.in_(list(campaigns)),
        Entry.status != EntryStatus.RUNNING,
        Entry.converted_at.is_(None),
    )
    return [EndedEntry(*row) for row in await connection.execute(statement)]


async def mark_held(connection: Connection, entry_id: str, reason: str) -> None:
    """Marks why the entry's next message may not go now."""
    await connection.execute(update(Entry).where(Entry.id == entry_id).values(held=reason))


async def request_stop(connection: Connection, campaign: str) -> None:
    """Have every running entry of the campaign end as stopped; a cause that came before stays."""
    statement = update(Entry).where(Entry.campaign_key == campaign, _RUNNING)
    statement = statement.where(Entry.exit_request.is_(None))
    await connection.execute(statement.values(exit_request=EndedBy.STOPPED.value))


async def of_customer(connection: Connection, customer_id: str) -> list[tuple[str, EntryStatus]]:
    """Id and status of each entry of the customer."""
    statement = select(Entry.id, Entry.status).where(Entry.customer_id == customer_id).with_for_update()
    return [(entry_id, status) for entry_id, status in await connection.execute(statement)]


async def make_anonymous(connection: Connection, entry_ids: list[str]) -> None:
    """Takes the customer out of ended entries and their messages: what is left only counts."""
    for some in chunks(entry_ids):
        await connection.execute(
            update(Entry).where(Entry.id.in_(some)).values(customer_id=None, entry_key=None, trigger=None)
        )
        await connection.execute(
            update(Message).where(Message.entry_id.in_(some)).values(address=None, error=None, response=None)
        )
        await connection.execute(update(StepOutcome).where(StepOutcome.entry_id.in_(some)).values(detail=None))


@cache
def _mark_exposed() -> Update:
    table = Entry.__table__
    return update(table).where(table.c.id == bindparam("entry")).values(exposed_at=bindparam("at"), held=None)


async def mark_exposed(connection: Connection, entry_id: str, at: datetime | None) -> None:
    """When a message of the entry was last accepted, or may have been; None takes a claim's mark back."""
    await connection.execute(_mark_exposed(), {"entry": entry_id, "at": at})
