"""Models and migrations agree, on both databases."""

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from campaigns.models.database import migrate, open_database
from campaigns.models.tables import Table


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")
async def test_models_and_migrations_agree(database_url: str):
    database = open_database(database_url)
    async with database.write() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), Table.metadata)
        )
    await database.close()
    assert differences == []


async def test_migrating_again_changes_nothing(database_url: str):
    await asyncio.to_thread(migrate, database_url)
    database = open_database(database_url)
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM customer"))).scalar_one() == 0
    await database.close()
