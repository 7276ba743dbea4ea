"""Topics, which customers subscribe to within a channel."""

from typing import NamedTuple

from sqlalchemy import select

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import Topic


class TopicRow(NamedTuple):
    """A topic."""

    key: str
    name: str
    opt_in: bool
    double_opt_in: bool


async def put(connection: Connection, key: str, name: str, *, opt_in: bool, double_opt_in: bool) -> None:
    """Makes or changes a topic."""
    values = {"name": name, "opt_in": opt_in, "double_opt_in": double_opt_in}
    statement = insert(connection, Topic).values(key=key, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=values))


async def listed(connection: Connection, after: str = "", limit: int | None = None) -> list[TopicRow]:
    """Topics behind the key, by key."""
    statement = select(Topic.key, Topic.name, Topic.opt_in, Topic.double_opt_in).order_by(Topic.key)
    statement = statement.where(Topic.key > after).limit(limit)
    return [TopicRow(*row) for row in await connection.execute(statement)]
