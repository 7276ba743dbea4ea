"""Models and migrations agree, on both databases."""

import asyncio

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import bindparam, insert, text
from sqlalchemy.exc import IntegrityError

from campaigns.models.store.database import alembic_config, migrate, open_database
from campaigns.models.store.queries import decisions, events, segments, statistics
from campaigns.models.store.tables import Customer, Table, UtcTime
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


async def test_an_older_database_is_brought_forward_with_its_data(database_url: str):
    await asyncio.to_thread(command.downgrade, alembic_config(database_url), "0001")
    database = open_database(database_url)
    json = '\'{"plan": "pro"}\''
    rows = [
        f"INSERT INTO customer VALUES ('ann', {json}, :at, :at)",
        "INSERT INTO segment (key, name, active, created_at, updated_at) VALUES ('vip', 'VIP', true, :at, :at)",
        "INSERT INTO segment_member VALUES ('vip', 'ann', :at)",
        f"INSERT INTO event VALUES ('m1', 'track', 'ann', NULL, 'Bought', {json}, :at, :at, NULL)",
        "INSERT INTO decision (campaign_key, customer_id, trigger_id, trigger_name, outcome, decided_at) "
        "VALUES ('c', 'ann', 'm1', 'Bought', 'not_matching', :at)",
    ]
    async with database.write() as connection:
        for row in rows:
            await connection.execute(text(row).bindparams(bindparam("at", utc_now(), UtcTime())))
    await database.close()
    await asyncio.to_thread(migrate, database_url)
    database = open_database(database_url)
    async with database.read() as connection:
        assert await segments.get(connection, "vip") == ("vip", "VIP", True, None, 0, None, False)
        assert await segments.of_customer(connection, "ann") == {"vip"}
        assert await events.unheard(connection, ["Bought", "Other"]) == {"Other"}
        assert [tuple(row) for row in await statistics.decisions(connection, "c")] == [("not_matching", 1)]
    async with database.write() as connection:
        assert await decisions.prune(connection, utc_now(), 10) == 1
        assert await decisions.prune(connection, utc_now(), 10) == 0
        assert [tuple(row) for row in await statistics.decisions(connection, "c")] == [("not_matching", 1)]
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
