"""Alembic's environment: runs the migrations on the URL that it was handed."""

import asyncio
from typing import Literal

from alembic import context
from sqlalchemy import Connection, text

from campaigns.models.store.database import open_database
from campaigns.models.store.tables import Table, UtcTime


def _render(type_: str, item: object, _: object) -> str | Literal[False]:
    """Migrations name the library's types: ours may change after they were written."""
    return "sa.DateTime(timezone=True)" if type_ == "type" and isinstance(item, UtcTime) else False


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=_render,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Several processes may migrate at once; the number is arbitrary, and this product's own.
            connection.execute(text("SELECT pg_advisory_xact_lock(72417023)"))
        context.run_migrations()


async def _main() -> None:
    database = open_database(context.config.attributes["url"])
    async with database.write() as connection:
        await connection.run_sync(_run)
    await database.close()


asyncio.run(_main())
