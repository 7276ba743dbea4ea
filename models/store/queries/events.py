"""The messages of the tracking API."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, CompoundSelect, NotNullable, Update, bindparam, literal, select, union_all, update

from campaigns.models.entry import EntryStatus
from campaigns.models.journey.conditions import PastEvent
from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import Insert, chunks, insert, insert_of
from campaigns.models.store.tables import CampaignTrigger, Customer, Entry, Event, EventName, SegmentMention
from campaigns.models.values import Json

HISTORY_LIMIT = 10_000


async def add(connection: Connection, row: dict[str, Any]) -> bool:
    """Whether the message is new by its id; one that is known is left as it is."""
    return bool((await connection.execute(_add(connection.dialect.name), {"answer": None, **row})).rowcount)


@cache
def _add(dialect: str) -> Insert:
    return insert_of(dialect, Event).on_conflict_do_nothing()


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


class Concern(NamedTuple):
    """Whom events may concern: what listens for their names, and what is known of their customers."""

    names: set[str]
    """Names that trigger, are a goal, or stand in a segment's rule."""
    known: set[str]
    running: set[str]
    """Customers with running entries."""


@cache
def _concerning() -> CompoundSelect[str, str]:
    names: BindParameter[Sequence[str]] = bindparam("names", expanding=True)
    ids: BindParameter[Sequence[str]] = bindparam("ids", expanding=True)
    return union_all(
        select(literal("name"), CampaignTrigger.name).where(
            CampaignTrigger.type.in_(("event", "goal")), CampaignTrigger.name.in_(names)
        ),
        select(literal("name"), SegmentMention.name).where(
            SegmentMention.kind == "event", SegmentMention.name.in_(names)
        ),
        select(literal("known"), Customer.id).where(Customer.id.in_(ids)),
        select(literal("running"), NotNullable(Entry.customer_id)).where(
            Entry.customer_id.in_(ids), Entry.status == EntryStatus.RUNNING
        ),
    )


async def concerning(connection: Connection, names: Iterable[str], customer_ids: Iterable[str]) -> Concern:
    """Whom events of these names and customers may concern: one statement, however many they are."""
    found: dict[str, set[str]] = {"name": set(), "known": set(), "running": set()}
    asked = {"names": list(set(names)), "ids": list(set(customer_ids))}
    for kind, value in await connection.execute(_concerning(), asked):
        found[kind].add(value)
    return Concern(found["name"], found["known"], found["running"])


async def add_many(connection: Connection, rows: list[dict[str, Any]]) -> dict[str, Json]:
    """Adds messages; those that are known by their id are left as they are. The answers that were given, by id."""
    answers: dict[str, Json] = {}
    for some in chunks(rows):
        statement = insert(connection, Event).on_conflict_do_nothing().returning(Event.message_id)
        new = set((await connection.execute(statement, some)).scalars())
        answers |= {row["message_id"]: row["answer"] for row in some if row["message_id"] in new}
        doubles = {row["message_id"] for row in some} - new
        if doubles:
            known = select(Event.message_id, Event.answer).where(Event.message_id.in_(doubles))
            answers |= {message_id: answer or {} for message_id, answer in await connection.execute(known)}
    return answers


async def answer(connection: Connection, message_id: str) -> Json | None:
    """The answer that the message got when it came first."""
    return (await connection.execute(select(Event.answer).where(Event.message_id == message_id))).scalar_one_or_none()


async def set_answer(connection: Connection, message_id: str, value: Json) -> None:
    """Keeps the answer for the message's doubles."""
    await connection.execute(_set_answer(), {"id": message_id, "value": value})


@cache
def _set_answer() -> Update:
    table = Event.__table__
    return update(table).where(table.c.message_id == bindparam("id")).values(answer=bindparam("value"))


async def history(connection: Connection, customer_id: str, names: Iterable[str]) -> tuple[PastEvent, ...]:
    """The customer's events of these names, the newest first."""
    wanted = set(names)
    if not wanted:
        return ()
    statement = select(NotNullable(Event.name), Event.properties, Event.timestamp)
    statement = statement.where(Event.customer_id == customer_id, Event.name.in_(wanted))
    rows = await connection.execute(statement.order_by(Event.timestamp.desc()).limit(HISTORY_LIMIT))
    return tuple(PastEvent(name, properties, at) for name, properties, at in rows)


async def histories(
    connection: Connection, customer_ids: Iterable[str], names: Iterable[str]
) -> dict[str, list[PastEvent]]:
    """The events of these names of each of the customers, the newest first."""
    wanted = set(names)
    found: dict[str, list[PastEvent]] = {}
    if not wanted:
        return found
    for some in chunks(sorted(set(customer_ids))):
        statement = select(NotNullable(Event.customer_id), NotNullable(Event.name), Event.properties, Event.timestamp)
        statement = statement.where(Event.customer_id.in_(some), Event.name.in_(wanted))
        statement = statement.order_by(Event.timestamp.desc()).limit(HISTORY_LIMIT * len(some))
        for customer_id, name, properties, at in await connection.execute(statement):
            found.setdefault(customer_id, []).append(PastEvent(name, properties, at))
    return found


async def forget(connection: Connection, message_id: str) -> None:
    """An event of a customer who was erased decides, and leaves nothing but its message id."""
    statement = update(Event).where(Event.message_id == message_id)
    await connection.execute(statement.values(customer_id=None, properties={}, name=None))
