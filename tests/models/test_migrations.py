"""Models and migrations agree, on both databases."""

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from campaigns.models.database import migrate, open_database
from campaigns.models.tables import Customer, Table
from campaigns.models.values import utc_now


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


async def test_an_error_says_nothing_of_a_customer(database_url: str):
    """Its text stands in logs, and in Temporal's histories."""
    database = open_database(database_url)
    row = {"id": "ann", "attributes": {"email": "ann@example.com"}, "created_at": utc_now(), "updated_at": utc_now()}

    async def add() -> None:
        async with database.write() as connection:
            await connection.execute(insert(Customer).values(row))

    await add()
    with pytest.raises(IntegrityError) as caught:
        await add()
    assert "example.com" not in str(caught.value)
    await database.close()
