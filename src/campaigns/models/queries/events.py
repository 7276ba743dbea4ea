"""The messages of the tracking API."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from campaigns.models.conditions import PastEvent
from campaigns.models.database import Connection
from campaigns.models.queries.base import insert
from campaigns.models.tables import Event, EventName
from campaigns.models.values import Json

HISTORY_LIMIT = 10_000


async def add(connection: Connection, row: dict[str, Any]) -> bool:
    """Whether the message is new by its id; one that is known is left as it is."""
    result = await connection.execute(insert(connection, Event).values(row).on_conflict_do_nothing())
    return bool(result.rowcount)


async def remember_names(connection: Connection, names: Iterable[str | None], now: datetime) -> None:
    """Keeps the names under which events come in."""
    rows = [{"name": name, "first_at": now} for name in sorted({name for name in names if name})]
    if not rows:
        return
    await connection.execute(insert(connection, EventName).values(rows).on_conflict_do_nothing())


async def unheard(connection: Connection, names: Iterable[str]) -> set[str]:
    """Those of the names under which no event has ever come in."""
    wanted = set(names)
    known = await connection.execute(select(EventName.name).where(EventName.name.in_(wanted)))
    return wanted - set(known.scalars())


async def add_history(connection: Connection, rows: list[dict[str, Any]]) -> int:
    """Adds imported events; how many of them are new."""
    before = 0
    for start in range(0, len(rows), 200):
        result = await connection.execute(
            insert(connection, Event).values(rows[start : start + 200]).on_conflict_do_nothing()
        )
        before += result.rowcount
    return before


async def answer(connection: Connection, message_id: str) -> Json | None:
    """The answer that the message got when it came first."""
    return (await connection.execute(select(Event.answer).where(Event.message_id == message_id))).scalar_one_or_none()


async def set_answer(connection: Connection, message_id: str, value: Json) -> None:
    """Keeps the answer for the message's doubles."""
    await connection.execute(update(Event).where(Event.message_id == message_id).values(answer=value))


async def history(connection: Connection, customer_id: str, names: Iterable[str]) -> tuple[PastEvent, ...]:
    """The customer's events of these names, the newest first."""
    wanted = set(names)
    if not wanted:
        return ()
    statement = select(Event.name, Event.properties, Event.timestamp)
    statement = statement.where(Event.customer_id == customer_id, Event.name.in_(wanted))
    rows: Iterable[Any] = await connection.execute(statement.order_by(Event.timestamp.desc()).limit(HISTORY_LIMIT))
    return tuple(PastEvent(name, properties, at) for name, properties, at in rows)


async def histories(
    connection: Connection, customer_ids: Iterable[str], names: Iterable[str]
) -> dict[str, list[PastEvent]]:
    """The events of these names of each of the customers, the newest first."""
    wanted = set(names)
    found: dict[str, list[PastEvent]] = {}
    if not wanted:
        return found
    statement = select(Event.customer_id, Event.name, Event.properties, Event.timestamp)
    statement = statement.where(Event.customer_id.in_(set(customer_ids)), Event.name.in_(wanted))
    for customer_id, name, properties, at in await connection.execute(statement.order_by(Event.timestamp.desc())):
        found.setdefault(customer_id, []).append(PastEvent(name, properties, at))
    return found


async def forget(connection: Connection, message_id: str) -> None:
    """An event of a customer who was erased decides, and leaves nothing but its message id."""
    statement = update(Event).where(Event.message_id == message_id)
    await connection.execute(statement.values(customer_id=None, properties={}, name=None))
