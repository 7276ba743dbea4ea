"""Messages: the claim before the first try, what came of each attempt; and the outcomes of steps."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, select, update
from campaigns.models.database import Connection

from campaigns.models.queries.base import insert
from campaigns.models.tables import Campaign, Customer, Entry, Message, StepOutcome
from campaigns.models.values import Json


class Recipient(NamedTuple):
    """All that decides about a message of an entry, at one moment."""

    campaign: str
    version: int
    campaign_status: str
    customer_id: str | None
    entry_status: str
    exit_request: str | None
    held: str | None
    trigger: Json | None
    attributes: Json | None


class MessageRow(NamedTuple):
    """A claimed message."""

    id: str
    status: str
    attempt: int
    attempt_ends_at: datetime
    error: str | None


async def recipient(connection: Connection, entry_id: str, *, lock: bool = False) -> Recipient | None:
    """The entry with its campaign's status and its customer's attributes; the entry's row locked if so asked."""
    statement = (
        select(
            Entry.campaign_key, Entry.version, Campaign.status, Entry.customer_id, Entry.status, Entry.exit_request,
            Entry.held, Entry.trigger, Customer.attributes,
        )
        .join(Campaign, Campaign.key == Entry.campaign_key)
        .outerjoin(Customer, Customer.id == Entry.customer_id)
        .where(Entry.id == entry_id)
    )  # fmt: skip
    if lock:
        statement = statement.with_for_update(of=Entry)
    row = (await connection.execute(statement)).one_or_none()
    return Recipient(*row) if row else None


async def get(connection: Connection, entry_id: str, step_id: str, repetition: int) -> MessageRow | None:
    """The message of a step, if it was claimed."""
    statement = select(Message.id, Message.status, Message.attempt, Message.attempt_ends_at, Message.error).where(
        Message.entry_id == entry_id, Message.step_id == step_id, Message.repetition == repetition
    )
    row = (await connection.execute(statement)).one_or_none()
    return MessageRow(*row) if row else None


async def claim(connection: Connection, row: dict[str, Any]) -> None:
    """Claims the message of a step with its identity; its first attempt is about to begin."""
    await connection.execute(insert(connection, Message).values(row))


async def begin_attempt(
    connection: Connection, message_id: str, attempt: int, ends_at: datetime, address: str
) -> None:
    """A later attempt is about to begin."""
    await connection.execute(
        update(Message)
        .where(Message.id == message_id)
        .values(status="sending", attempt=attempt, attempt_ends_at=ends_at, address=address)
    )


async def settle(
    connection: Connection,
    message_id: str,
    attempt: int,
    status: str,
    now: datetime,
    provider_id: str | None = None,
    error: str | None = None,
) -> bool:
    """Whether the attempt was the latest, and is now settled so."""
    values: dict[str, Any] = {"status": status, "error": error}
    if status != "retry":
        values["settled_at"] = now
    if provider_id:
        values["provider_id"] = provider_id
    statement = update(Message).where(Message.id == message_id, Message.attempt == attempt)
    return bool((await connection.execute(statement.values(values))).rowcount)


async def expose(connection: Connection, entry_id: str, at: datetime | None) -> None:
    """When a message of the entry was last accepted, or may have been; None takes a claim's mark back."""
    await connection.execute(update(Entry).where(Entry.id == entry_id).values(exposed_at=at))


async def last_exposure(connection: Connection, entry_id: str, but_for: str) -> datetime | None:
    """When a message of the entry other than this one was last accepted, or may have been."""
    statement = select(Message.settled_at, Message.claimed_at).where(
        Message.entry_id == entry_id, Message.id != but_for, Message.status.in_(("sent", "unknown", "sending"))
    )
    return max((settled or claimed for settled, claimed in await connection.execute(statement)), default=None)


async def put_step(connection: Connection, row: dict[str, Any]) -> None:
    """Writes what became of a passage through a step; when it was entered stays, and so does a final outcome."""
    statement = insert(connection, StepOutcome).values(row)
    later = {name: row.get(name) for name in ("outcome", "reason", "detail", "ended_at")}
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["entry_id", "step_id", "repetition"], set_=later, where=StepOutcome.outcome == "waiting"
        )
    )


async def timeline(connection: Connection, entry_id: str) -> Sequence[Row[Any]]:
    """What became of each step that the entry has come to, in order."""
    statement = select(
        StepOutcome.step_id, StepOutcome.repetition, StepOutcome.outcome, StepOutcome.reason, StepOutcome.detail,
        StepOutcome.entered_at, StepOutcome.ended_at,
    ).where(StepOutcome.entry_id == entry_id)  # fmt: skip
    return (await connection.execute(statement.order_by(StepOutcome.position))).all()


async def of_entry(connection: Connection, entry_id: str) -> Sequence[Row[Any]]:
    """The entry's messages: step, status, channel, provider's id, error, attempts."""
    statement = select(
        Message.step_id, Message.repetition, Message.status, Message.channel, Message.provider_id, Message.error,
        Message.attempt, Message.settled_at,
    ).where(Message.entry_id == entry_id)  # fmt: skip
    return (await connection.execute(statement)).all()


async def statuses(connection: Connection, entry_id: str, steps: Iterable[str]) -> dict[str, frozenset[str]]:
    """What is true of the messages of these steps, for conditions."""
    wanted = list(steps)
    if not wanted:
        return {}
    found: dict[str, set[str]] = {}
    rows = await connection.execute(
        select(Message.step_id, Message.status).where(Message.entry_id == entry_id, Message.step_id.in_(wanted))
    )
    for step, status in rows:
        found.setdefault(step, set()).add(status)
    skipped = await connection.execute(
        select(StepOutcome.step_id).where(
            StepOutcome.entry_id == entry_id, StepOutcome.step_id.in_(wanted), StepOutcome.outcome == "skipped"
        )
    )
    for (step,) in skipped:
        found.setdefault(step, set()).add("skipped")
    return {step: frozenset(one) for step, one in found.items()}


async def mark_unsubscribed(connection: Connection, message_id: str, now: datetime) -> None:
    """The customer unsubscribed by this message."""
    statement = update(Message).where(Message.id == message_id, Message.unsubscribed_at.is_(None))
    await connection.execute(statement.values(unsubscribed_at=now))


async def customer_of(connection: Connection, message_id: str) -> tuple[str, str] | None:
    """The customer whom the message went to, and its channel; None where there is none any more."""
    statement = select(Entry.customer_id, Message.channel).join(Entry, Entry.id == Message.entry_id)
    row = (await connection.execute(statement.where(Message.id == message_id))).one_or_none()
    return (row[0], row[1]) if row and row[0] else None
