"""Imports of history: customers and events from CSV or JSON Lines, in bounded batches. They trigger nothing."""

import csv
import hashlib
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

import orjson
from rich.console import Console
from rich.progress import Progress

from campaigns.models.database import Connection, Database, open_database
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.queries import customers, events, segments
from campaigns.models.values import Json, utc_now
from campaigns.starter.admit import Person
from campaigns.starter.membership import Touch, follow
from campaigns.starter.tracking import TrackingMessage, parse_message

BATCH = 500
EVENT_FIELDS = {"userId", "event", "timestamp", "messageId", "properties"}

Kind = Literal["customers", "events"]


class BadRow(Exception):
    """A row that can't be taken, with its reason."""


async def import_file(url: str, file: Path, kind: Kind, console: Console) -> int:
    """Imports the file. Every bad row is printed with its line and reason, all others are taken; 1 if any was bad."""
    database = open_database(url)
    taken = bad = 0
    try:
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task(f"Importing {kind}", total=file.stat().st_size)  # noqa: ASYNC240 - nothing else runs
            batch: list[tuple[int, Json]] = []
            for line, row, position in _rows(file):
                if isinstance(row, BadRow):
                    bad += 1
                    console.print(f"{file}:{line}: {row}", highlight=False)
                else:
                    batch.append((line, row))
                if len(batch) >= BATCH:
                    good, wrong = await _write(database, kind, batch, file, console)
                    taken, bad, batch = taken + good, bad + wrong, []
                    progress.update(bar, completed=position)
            good, wrong = await _write(database, kind, batch, file, console)
            taken, bad = taken + good, bad + wrong
    finally:
        await database.close()
    console.print(f"{taken} {kind} imported, {bad} rows refused.")
    return 1 if bad else 0


def _rows(file: Path) -> Iterator[tuple[int, Json | BadRow, int]]:
    """Line number, row and position in the file."""
    if file.suffix.lower() == ".csv":
        yield from _csv_rows(file)
        return
    position = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            position += len(line)
            if line.strip():
                yield number, _json_row(line), position


def _json_row(line: bytes) -> Json | BadRow:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return BadRow(f"is not JSON: {error}")
    return row if isinstance(row, dict) else BadRow("is not an object")


def _csv_rows(file: Path) -> Iterator[tuple[int, Json | BadRow, int]]:
    with file.open("rb") as raw, io.TextIOWrapper(raw, newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        for row in reader:
            if None in row:
                yield reader.line_num, BadRow("has more fields than the header"), raw.tell()
            else:
                yield reader.line_num, {name: value for name, value in row.items() if value}, raw.tell()


async def _write(
    database: Database, kind: Kind, batch: list[tuple[int, Json]], file: Path, console: Console
) -> tuple[int, int]:
    """How many rows of the batch were taken, and how many refused."""
    parsed: list[TrackingMessage] = []
    for line, raw in batch:
        try:
            parsed.append(_customer(raw) if kind == "customers" else _event(raw, file, line))
        except Invalid as error:
            console.print(f"{file}:{line}: {error}", highlight=False)
    now = utc_now()
    async with database.write() as connection:
        if kind == "customers":
            for message in parsed:
                await _put_customer(connection, message, now)
        else:
            await customers.create_missing(connection, {message.user_id for message in parsed}, now)
            await events.remember_names(connection, [message.event_name for message in parsed], now)
            await events.add_history(connection, [{**message.row(now), "answer": _ANSWER} for message in parsed])
            await _follow_events(connection, parsed, now)
    return len(parsed), len(batch) - len(parsed)


_ANSWER: Json = {"success": True, "decisions": [], "signalled": []}


async def _put_customer(connection: Connection, message: TrackingMessage, now: datetime) -> None:
    customer_id = message.user_id or ""
    before = await customers.lock(connection, customer_id)
    known = await customers.lock_or_create(connection, customer_id, now) if before is None else before
    merged = {name: value for name, value in {**known, **message.traits}.items() if value is not None}
    await customers.write_attributes(connection, customer_id, merged, now)
    touch = Touch("import", attributes=frozenset(message.traits), is_new=before is None)
    await follow(connection, Person(customer_id, merged, False, now), touch)


async def _follow_events(connection: Connection, parsed: list[TrackingMessage], now: datetime) -> None:
    """Memberships follow what was imported too; they trigger nothing."""
    done: dict[str, set[str]] = {}
    for message in parsed:
        if message.user_id and message.event_name:
            done.setdefault(message.user_id, set()).add(message.event_name)
    names = {name for some in done.values() for name in some}
    if not await segments.touched(connection, (), names, ()):
        return
    for customer_id in sorted(done):
        attributes = await customers.lock(connection, customer_id)
        touch = Touch("import", events=frozenset(done[customer_id]))
        await follow(connection, Person(customer_id, attributes or {}, False, now), touch)


def _customer(raw: Json) -> TrackingMessage:
    """A row is checked as an `identify` is."""
    traits = {name: value for name, value in raw.items() if name != "id"}
    if "id" not in raw:
        raise Invalid([FieldError("id", "is required")])
    return parse_message({"userId": raw["id"], "traits": traits}, "identify")


def _event(raw: Json, file: Path, line: int) -> TrackingMessage:
    known = {name: value for name, value in raw.items() if name in EVENT_FIELDS}
    others = {name: value for name, value in raw.items() if name not in EVENT_FIELDS}
    if "userId" not in known:
        raise Invalid([FieldError("userId", "is required")])
    known["properties"] = {**others, **(known.get("properties") or {})}
    if isinstance(known.get("timestamp"), str):
        known["timestamp"] = _with_zone(known["timestamp"])
    # An import that was cut off and is run again adds nothing twice.
    known.setdefault("messageId", hashlib.sha256(orjson.dumps([file.name, line, raw])).hexdigest())
    return parse_message(known, "track")


def _with_zone(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo else f"{moment.isoformat()}+00:00"
