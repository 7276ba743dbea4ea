"""Imports: they count and trigger nothing, go on where they were cut off, and bring back nobody who opted out."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import text

from campaigns.cli.importing import FileFormat, import_file
from campaigns.models.signing import Signing
from campaigns.models.store.database import migrate, open_database
from tests.support.product import SECRET_KEY, Product, Starter, until

MAIL = {"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}
PRO = {"attribute": "plan", "op": "equals", "value": "pro"}


async def take(product: Product, file: Path, kind: str, output: StringIO | None = None, **read: Any) -> int:
    console = Console(file=output or StringIO(), width=200)
    return await import_file(product.url, file, kind, console, lambda: Signing(SECRET_KEY), FileFormat(**read))


BUYER = {
    "event": "Bought",
    "where": {"property": "total", "op": "at_least", "value": 10},
    "count": {"op": "at_least", "value": 2},
}


async def members(starter: Starter, key: str) -> set[str]:
    return {one["customer_id"] for one in (await starter.call("GET", f"/v1/segments/{key}/members"))["members"]}


def lines(file: Path, rows: list[dict]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


async def test_imports_count_and_trigger_nothing(product: Product, tmp_path):
    starter = await product.starter()
    await starter.call("PUT", "/v1/segments/pro", {"name": "Pro", "rule": PRO})
    await starter.call("PUT", "/v1/segments/buyers", {"name": "Buyers", "rule": BUYER})
    trigger = {"type": "segment", "segments": ["pro", "buyers"]}
    await starter.campaign("c", trigger=trigger, steps=[MAIL])
    people, done = tmp_path / "people.jsonl", tmp_path / "events.jsonl"
    people.write_text("\n".join(json.dumps({"id": f"c{n}", "plan": "pro" if n % 2 else "free"}) for n in range(10)))
    row = {"event": "Bought", "timestamp": "2026-01-01T00:00:00Z", "properties": {"total": 50}}
    done.write_text("\n".join(json.dumps({"userId": "c0", **row}) for _ in range(2)))
    assert await take(product, people, "customers") == 0
    assert await take(product, done, "events") == 0
    assert len(await members(starter, "pro")) == 5
    assert await members(starter, "buyers") == {"c0"}
    assert await starter.entries("c") == []


async def test_rows_of_one_customer_are_taken_in_their_order(product: Product, tmp_path: Path):
    starter = await product.starter()
    await starter.call("PUT", "/v1/segments/pro", {"name": "Pro", "rule": PRO})
    rows = [{"id": "a", "plan": "pro", "x": 1}, {"id": "b", "plan": "free"}, {"id": "a", "plan": "free"}]
    await take(
        product, lines(tmp_path / "a.jsonl", [*rows, {"id": "b", "plan": "pro"}, {"id": "a", "x": None}]), "customers"
    )
    assert await members(starter, "pro") == {"b"}
    found = await starter.call("GET", "/v1/customers/a")
    assert (found["plan"], "x" in found) == ("free", False)
    await take(product, lines(tmp_path / "b.jsonl", [{"id": "b", "plan": None}]), "customers")
    assert await members(starter, "pro") == set()


async def test_who_opted_out_is_not_brought_back(product: Product, tmp_path: Path):
    """Neither by an import of the same id, nor under another id with the same address; only by a new subscription."""
    starter = await product.starter()
    await starter.campaign("c", frequency={"type": "every_time"}, steps=[MAIL])
    people = lines(
        tmp_path / "people.jsonl",
        [{"id": "ann", "email": "new@example.com"}, {"id": "other", "email": "ANN@example.com"}],
    )
    async with product.worker():
        await starter.customer("ann")
        said = {"channel": "email", "status": "unsubscribed", "source": "a letter"}
        await starter.call("PUT", "/v1/customers/ann/consents", said)
        await starter.call("DELETE", "/v1/customers/ann", status=204)
        assert await take(product, people, "customers") == 0
        for customer in ("ann", "other"):
            await starter.track(customer, "c")
        statistics = await starter.until_ended("c")
        assert statistics["steps"][0]["skipped"] == {"unsubscribed": 2}
        known = await starter.call("GET", "/v1/customers/ann")
        assert [(one["channel"], one["status"], one["source"]) for one in known["consents"]] == [
            ("email", "unsubscribed", "a letter")
        ]
        for customer in ("ann", "other"):
            await starter.call("PUT", f"/v1/customers/{customer}/consents", {**said, "status": "subscribed"})
            await starter.track(customer, "c")
        await starter.until_ended("c")

        async def both() -> bool:
            return len(product.providers.mails) == 2

        await until(both)


async def test_events_bring_back_nobody_who_was_erased(product: Product, tmp_path: Path):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.call("DELETE", "/v1/customers/ann", status=204)
    output = StringIO()
    rows = [{"userId": "ann", "event": "Bought"}, {"userId": "bob", "event": "Bought"}]
    assert await take(product, lines(tmp_path / "done.jsonl", rows), "events", output) == 1
    assert "done.jsonl:1: userId: the customer was erased" in output.getvalue()
    assert "1 events imported, 1 rows refused" in output.getvalue()
    await starter.call("GET", "/v1/customers/ann", status=404)
    await starter.call("GET", "/v1/customers/bob")


async def test_numbers_in_tables_are_numbers(product: Product, tmp_path: Path):
    """In conditions they match as those of JSON do; codes stay text, by how they are written or by --text."""
    starter = await product.starter()
    await starter.call("PUT", "/v1/segments/buyers", {"name": "Buyers", "rule": BUYER})
    people, done = tmp_path / "people.csv", tmp_path / "done.csv"
    people.write_text("id;age;vip;zip;phone;plz\n007;41;TRUE;02134;+12025550123;10115\n")
    done.write_text('userId,event,total,properties\n007,Bought,12.50,"{""a"": [1]}"\n007,Bought,9,\n007,Bought,10,\n')
    assert await take(product, people, "customers", texts=["plz"]) == 0
    known = await starter.call("GET", "/v1/customers/007")
    assert {name: known[name] for name in ("age", "vip", "zip", "phone", "plz")} == {
        "age": 41, "vip": True, "zip": "02134", "phone": "+12025550123", "plz": "10115",
    }  # fmt: skip
    assert await take(product, done, "events") == 0
    assert await members(starter, "buyers") == {"007"}


async def test_who_is_made_by_an_event_is_new_to_the_rules(product: Product, tmp_path: Path):
    starter = await product.starter()
    free = {"not": {"attribute": "plan", "op": "equals", "value": "pro"}}
    await starter.call("PUT", "/v1/segments/free", {"name": "Free", "rule": free})
    await take(product, lines(tmp_path / "a.jsonl", [{"userId": "ann", "event": "Seen"}]), "events")
    assert await members(starter, "free") == {"ann"}


async def test_what_cannot_be_kept_is_refused_alone(product: Product, tmp_path: Path):
    starter = await product.starter()
    output = StringIO()
    deep = json.dumps({"id": "deep", "a": 0}).replace("0", "[" * 900 + "]" * 900)
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(['{"id": "a"}', '{"id": "nul", "n": "\\u0000"}', deep, '{"id": []}', '{"id": "b"}']))
    assert await take(product, file, "customers", output) == 1
    said = output.getvalue()
    assert "2 customers imported, 3 rows refused." in said
    assert "a.jsonl:2: n: must not contain U+0000" in said
    assert "a.jsonl:3: " in said
    assert "a.jsonl:4: userId: " in said
    for customer in "ab":
        await starter.call("GET", f"/v1/customers/{customer}")
    file = tmp_path / "events.csv"
    file.write_text("userId,event,properties\na,Bought,{\na,Bought,[1]\na,Bought,\n")
    assert await take(product, file, "events", output) == 1
    assert "events.csv:2: properties: is not JSON" in output.getvalue()
    assert "events.csv:3: properties: must be an object" in output.getvalue()
    (tmp_path / "book.csv").write_bytes(b"PK\x03\x04")
    assert await take(product, tmp_path / "book.csv", "customers", output) == 1
    assert "book.csv: is an Excel workbook or another archive; save it as CSV" in output.getvalue()


def command(url: str, kind: str, file: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "CAMPAIGNS_DATABASE_URL": url}
    arguments = [sys.executable, "-m", "campaigns.cli.app", "import", kind, str(file)]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)


async def test_an_import_that_is_killed_goes_on(database_url: str, tmp_path: Path):
    """Nothing is lost and nothing taken twice, with fields over several lines, and bad rows before and after."""
    await asyncio.to_thread(migrate, database_url)
    file = tmp_path / "events.csv"
    with file.open("w", newline="") as rows:
        rows.write("userId,event,note\n,Bought,nobody\n")
        for n in range(30_000):
            rows.write(f'c{n % 7000},Bought,"order {n},\nsecond ""line"""\n')
        rows.write("c1,Bought,a,b\n")
    first = command(database_url, "events", file)
    database = open_database(database_url)

    async def begun() -> int | None:
        async with database.read() as connection:
            return (await connection.execute(text("SELECT max(taken) FROM import_progress"))).scalar_one()

    await until(begun, timeout=60)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    taken = await begun()
    assert taken
    assert taken < 30_000
    output, _ = command(database_url, "events", file).communicate()
    assert "goes on behind line" in output
    assert ":2: userId" not in output
    assert ":60003: has 4 fields, and the header 3" in output
    assert "30000 events imported, 2 rows refused" in output
    async with database.read() as connection:
        found = "SELECT count(*), count(DISTINCT customer_id) FROM event"
        assert tuple((await connection.execute(text(found))).one()) == (30_000, 7000)
        assert await begun() is None
    await database.close()
