"""A transaction owes what its block says, once it is committed, and nothing before."""

import asyncio
from contextlib import suppress

from campaigns.models import dispatch
from campaigns.models.store.database import open_database
from campaigns.models.store.queries import outbox as statements
from campaigns.starter.outbox import Outbox
from tests.support.product import Product


async def _owed(database) -> list[str]:
    async with database.read() as connection:
        return [row.id for row in await statements.of_entry(connection, "e")]


async def test_what_is_owed_is_written_with_the_commit_and_handed_over_behind_it(product: Product):
    database = open_database(product.url)
    outbox = Outbox(database)
    async with outbox.transaction() as unit:
        unit.owe(dispatch.start("e"))
        assert outbox.waiting == 0
    assert (await _owed(database), outbox.waiting) == (["start-e"], 1)
    assert (await outbox.next()).id == "start-e"
    await database.close()


async def test_a_block_that_is_left_early_commits_all_the_same(product: Product):
    database = open_database(product.url)
    outbox = Outbox(database)

    async def leaves() -> None:
        async with outbox.transaction() as unit:
            unit.owe(dispatch.start("e"))
            return

    await leaves()
    assert (await _owed(database), outbox.waiting) == (["start-e"], 1)
    await database.close()


async def test_what_is_rolled_back_is_owed_by_nobody(product: Product):
    database = open_database(product.url)
    outbox = Outbox(database)
    for fault in (ValueError(), asyncio.CancelledError()):
        with suppress(ValueError, asyncio.CancelledError):
            async with outbox.transaction() as unit:
                unit.owe(dispatch.start("e"))
                raise fault
    assert (await _owed(database), outbox.waiting) == ([], 0)
    await database.close()


async def test_a_row_at_hand_is_not_taken_again_until_it_is_released(product: Product):
    database = open_database(product.url)
    outbox = Outbox(database)
    row = dispatch.start("e")
    outbox.hand_over([row])
    outbox.hand_over([row])
    assert await outbox.next() == row
    outbox.hand_over([row])
    assert outbox.waiting == 0
    outbox.release(row)
    outbox.hand_over([row])
    assert outbox.waiting == 1
    await database.close()
