"""What a rule says of the whole base by SQL is what it says of each customer in Python, on both databases."""

import asyncio
import json
import random
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from campaigns.models.journey.conditions import holds
from campaigns.models.segment_rules import parse_rule
from campaigns.models.store.database import open_database
from campaigns.models.store.queries import customers, events, facts, segment_sql, segments
from campaigns.models.store.queries.segment_sql import NotInSql
from campaigns.models.store.tables import Customer
from campaigns.models.values import utc_now

NOW = utc_now().replace(microsecond=0)
SCALARS = ["pro", "Pro", "", "ä", "z", "10", "a.b", 0, 1, 2, 2.5, -1, 10, True, False, None]
VALUES = [
    *SCALARS,
    [],
    ["pro", 1, True],
    [1.0],
    {"b": "pro"},
    {"b": {"c": 1}},
    {"b": None},
    {"b.c": 2, "b": {"c": 3}},
    [["pro"]],
    {"b": [1, "x"]},
]
PATHS = ["plan", "age", "a", "a.b", "a.b.c", "x y", "id", "a.b.c.d"]
NAMES = ["Bought", "Seen"]


def people(number: int) -> list[tuple[str, dict]]:
    chance = random.Random(7)
    keys = ["plan", "age", "a", "a.b", "x y", "a.b.c"]
    return [(f"c{n:03}", {key: chance.choice(VALUES) for key in keys if chance.random() < 0.6}) for n in range(number)]


def happenings(ids: list[str]) -> list[dict]:
    chance = random.Random(8)
    return [
        {
            "message_id": f"m{n}",
            "type": "track",
            "customer_id": chance.choice(ids),
            "anonymous_id": None,
            "name": chance.choice([*NAMES, "Other"]),
            "properties": {key: chance.choice(VALUES) for key in ("total", "a") if chance.random() < 0.7},
            "timestamp": NOW - timedelta(hours=chance.randint(-30, 100)),
            "received_at": NOW,
            "answer": None,
        }
        for n in range(400)
    ]


scalars = st.sampled_from([one for one in SCALARS if one is not None])
values = st.sampled_from(VALUES)
ordered = st.sampled_from(["greater_than", "at_least", "less_than", "at_most"])


def compared(kind: str, paths: list[str]) -> st.SearchStrategy:
    path = st.sampled_from(paths)
    return (
        st.builds(lambda p, op, v: {kind: p, "op": op, "value": v}, path, st.sampled_from(["equals", "not_equals", "contains"]), values)
        | st.builds(lambda p, op, v: {kind: p, "op": op, "value": v}, path, ordered, scalars)
        | st.builds(lambda p, v: {kind: p, "op": "starts_with", "value": v}, path, scalars)
        | st.builds(lambda p, v: {kind: p, "op": "in", "value": v}, path, st.lists(values, max_size=3))
        | st.builds(lambda p, op: {kind: p, "op": op}, path, st.sampled_from(["exists", "not_exists"]))
    )  # fmt: skip


counts = st.builds(
    lambda op, value: {"op": op, "value": value}, ordered | st.sampled_from(["equals", "not_equals"]), st.integers(0, 4)
)
wheres = compared("property", ["total", "a", "a.b"]) | compared("attribute", ["plan"]) | st.just({"segment": "vip"})
happened = st.builds(
    lambda name, count, within, where: {"event": name, "count": count, **({"within": within} if within else {}), **({"where": where} if where else {})},
    st.sampled_from(NAMES), counts, st.sampled_from([None, "PT10H", "P2D"]), st.none() | wheres,
)  # fmt: skip
conditions = st.recursive(
    compared("attribute", PATHS) | happened | st.just({"segment": "vip"}),
    lambda below: (
        st.builds(lambda one: {"not": one}, below)
        | st.builds(lambda some: {"all": some}, st.lists(below, min_size=1, max_size=3))
        | st.builds(lambda some: {"any": some}, st.lists(below, min_size=1, max_size=3))
    ),
    max_leaves=5,
)


async def test_sql_and_python_agree(database_url: str):
    database = open_database(database_url)
    base = people(80)
    ids = [customer_id for customer_id, _ in base]
    async with database.write() as connection:
        await segments.put(connection, "vip", "VIP", True, NOW)
        for customer_id, attributes in base:
            await customers.lock_or_create(connection, customer_id, NOW)
            await customers.write_attributes(connection, customer_id, attributes, NOW)
            if random.Random(customer_id).random() < 0.5:
                await segments.add_member(connection, "vip", customer_id, NOW)
        await events.add_many(connection, happenings(ids))
    seen = {"sql": 0, "python": 0, "some": 0}

    async def check(raw: dict) -> None:
        rule = parse_rule(raw)
        async with database.read() as connection:
            loaded = await facts.load_many(connection, rule, NOW, base)
            expected = {customer_id for customer_id in ids if holds(rule, loaded[customer_id])}
            try:
                belongs = segment_sql.compiled(connection, rule, NOW)
            except NotInSql:
                seen["python"] += 1
                return
            found = set((await connection.execute(select(Customer.id).where(belongs))).scalars())
            assert found == expected, json.dumps(raw)
            # Never NULL: what does not hold is false.
            other = set((await connection.execute(select(Customer.id).where(~belongs))).scalars())
            assert found | other == set(ids), json.dumps(raw)
            seen["sql"] += 1
            seen["some"] += 0 < len(expected) < len(ids)

    loop = asyncio.get_running_loop()

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(conditions)
    def run(raw):
        asyncio.run_coroutine_threadsafe(check(raw), loop).result()

    await asyncio.to_thread(run)
    await database.close()
    assert seen["sql"] > 3 * seen["python"], seen
    assert seen["some"] > 100, seen


async def test_whom_a_rule_would_change(database_url: str):
    database = open_database(database_url)
    async with database.write() as connection:
        await segments.put(connection, "s", "S", True, NOW)
        for number in range(25):
            await customers.lock_or_create(connection, f"c{number:02}", NOW)
            await customers.write_attributes(connection, f"c{number:02}", {"n": number}, NOW)
            if number < 10:
                await segments.add_member(connection, "s", f"c{number:02}", NOW)
    rule = parse_rule({"attribute": "n", "op": "at_least", "value": 5})
    async with database.read() as connection:
        belongs = segment_sql.compiled(connection, rule, NOW)
        assert await segment_sql.count_differing(connection, "s", belongs) == (15, 5)
    after, pages = "", 0
    while after is not None:
        async with database.write() as connection:
            after, pages = await segment_sql.apply(connection, "s", belongs, after, 10, NOW, "rule"), pages + 1
    async with database.read() as connection:
        assert await segment_sql.count_differing(connection, "s", belongs) == (0, 0)
        members = [row.customer_id for row in await segments.members(connection, "s", "", 100)]
        (left,) = await segments.changes(connection, "c01", 10)
        (entered,) = await segments.changes(connection, "c10", 10)
        assert await segments.changes(connection, "c07", 10) == []
    assert (members, pages) == ([f"c{n:02}" for n in range(5, 25)], 3)
    assert (left.change, left.cause, entered.change, entered.at) == ("left", "rule", "entered", NOW)
    await database.close()


@pytest.mark.parametrize("raw", [{"attribute": "on", "op": "before", "value": "2027-01-01"}, {"attribute": "a", "op": "equals", "value": {"attribute": "b"}}, {"attribute": "n", "op": "equals", "value": 2**60}, {"attribute": "a[].b", "op": "exists"}])  # fmt: skip
async def test_what_is_left_to_python(database_url: str, raw: dict):
    database = open_database(database_url)
    async with database.read() as connection:
        with pytest.raises(NotInSql):
            segment_sql.compiled(connection, parse_rule(raw), NOW)
    await database.close()
