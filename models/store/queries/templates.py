"""Templates: reusable message content."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import Template
from campaigns.models.values import Json


async def put(connection: Connection, key: str, content: Json, now: datetime) -> None:
    """Makes or changes a template."""
    statement = insert(connection, Template).values(key=key, content=content, created_at=now, updated_at=now)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["key"], set_={"content": content, "updated_at": now})
    )


async def get(connection: Connection, key: str) -> Json | None:
    """A template's content."""
    return (await connection.execute(select(Template.content).where(Template.key == key))).scalar_one_or_none()


async def get_many(connection: Connection, keys: Iterable[str]) -> dict[str, Json]:
    """The content of those of the templates that exist."""
    statement = select(Template.key, Template.content).where(Template.key.in_(set(keys)))
    return dict((await connection.execute(statement)).all())
