"""Imports of history: customers and events from CSV or JSON, in bounded batches. They trigger nothing.

A batch and how far the file has come are committed together, so an import that was cut off goes on where it was.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import orjson
from rich.console import Console
from rich.progress import Progress

from campaigns.cli.rows import CSV_SUFFIXES, BadFile, BadRow, Place, Row, read_rows, typed
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.signing import Signing
from campaigns.models.store.database import Database, open_database
from campaigns.models.store.queries import imports
from campaigns.models.store.queries.imports import Progress as Position
from campaigns.models.values import Json, utc_now
from campaigns.starter.http.bodies import check_fit
from campaigns.starter.intake import history
from campaigns.starter.intake.tracking import TrackingCall, parse_call

BATCH = 1_000
EVENT_FIELDS = {"userId", "event", "timestamp", "messageId", "properties"}

Kind = Literal["customers", "events"]


TEXTS = frozenset(
    {"id", "userId", "event", "timestamp", "messageId", "email", "phone", "timezone", "locale", "pushToken"}
)
"""Fields of CSV that are text whatever they look like."""


@dataclass(frozen=True)
class FileFormat:
    """How a file is read: its encoding, where it is not UTF-8; its columns of CSV whose numbers stay text."""

    encoding: str | None = None
    texts: Collection[str] = ()


@dataclass
class _Import:
    """One run over one file."""

    database: Database
    file: Path
    kind: Kind
    format: FileFormat
    console: Console
    signing: Callable[[], Signing]

    def refuse(self, line: int, reason: Exception) -> None:
        """Says why the row of that line is not taken."""
        self.console.print(f"{self.file}:{line}: {reason}", highlight=False, markup=False, soft_wrap=True)

    async def run(self) -> Position:
        """Takes in what is left of the file."""
        file_hash, size = _fingerprint(self.file, self.kind, self.format)
        async with self.database.read() as connection:
            position = await imports.progress(connection, file_hash) or Position(0, 0, 0, 0)
        if position.position:
            self.console.print(f"This file was cut off before: goes on behind line {position.line}.")
        with Progress(console=self.console, transient=True) as progress:
            bar = progress.add_task(f"Importing {self.kind}", total=size, completed=position.position)
            place = Place(position.position, position.line)
            for batch in _batches(read_rows(self.file, place, self.format.encoding)):
                position = await self._write(file_hash, batch, position)
                progress.update(bar, completed=position.position)
        async with self.database.write() as connection:
            await imports.finish(connection, file_hash)
        return position

    async def _write(self, file_hash: str, batch: Sequence[Row], before: Position) -> Position:
        """Takes in a batch, and keeps how far the file has come."""
        good: list[tuple[int, TrackingCall]] = []
        for row in batch:
            try:
                good.append((row.line, self._parse(row)))
            except (Invalid, BadRow) as error:
                self.refuse(row.line, error)
        now = utc_now()
        async with self.database.write() as connection:
            if self.kind == "customers":
                await history.put_customers(connection, self.signing, [call for _, call in good], now)
            else:
                erased = await history.erased_ids(connection, self.signing, [call for _, call in good])
                for line, call in good:
                    if call.user_id in erased:
                        self.refuse(line, BadRow("userId: the customer was erased"))
                good = [(line, call) for line, call in good if call.user_id not in erased]
                await history.add_events(connection, [call for _, call in good], now)
            taken, refused = before.taken + len(good), before.refused + len(batch) - len(good)
            after = Position(*batch[-1].after, taken, refused)
            await imports.keep_progress(connection, file_hash, after, now)
        return after

    def _parse(self, row: Row) -> TrackingCall:
        if isinstance(row.content, BadRow):
            raise row.content
        check_fit(row.content)
        content = self._typed(row.content) if self.file.suffix.lower() in CSV_SUFFIXES else row.content
        return _customer(content) if self.kind == "customers" else _event(content, row.content, self.file, row.line)

    def _typed(self, fields: Json) -> Json:
        """The fields of CSV, which knows no types, as the numbers, booleans and properties that they are written as."""
        texts = TEXTS.union(self.format.texts)
        content = {name: value if name in texts else typed(value) for name, value in fields.items()}
        if self.kind == "events" and isinstance(properties := content.get("properties"), str):
            try:
                content["properties"] = orjson.loads(properties)
            except orjson.JSONDecodeError:
                raise Invalid([FieldError("properties", "is not JSON")]) from None
        return content


async def import_file(
    url: str,
    file: Path,
    kind: Kind,
    console: Console,
    signing: Callable[[], Signing],
    format: FileFormat = FileFormat(),
) -> int:
    """Import the file. Every bad row is printed with its line and reason, all others are taken; 1 if any was bad.

    `signing` is asked for where customers were erased, to know them again.
    """
    database = open_database(url)
    try:
        done = await _Import(database, file, kind, format, console, signing).run()
    except BadFile as error:
        console.print(f"{file}: {error}", highlight=False, markup=False, soft_wrap=True)
        return 1
    finally:
        await database.close()
    console.print(f"{done.taken} {kind} imported, {done.refused} rows refused.")
    return 1 if done.refused else 0


def _fingerprint(file: Path, kind: Kind, format: FileFormat) -> tuple[str, int]:
    """A hash of the file's content and of what it is taken for; its size in bytes."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return hashlib.sha256(
        f"{kind} {file.suffix.lower()} {format.encoding} {digest}".encode()
    ).hexdigest(), file.stat().st_size


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _customer(raw: Json) -> TrackingCall:
    """A row is checked as an `identify` is."""
    traits = {name: value for name, value in raw.items() if name != "id"}
    if "id" not in raw:
        raise Invalid([FieldError("id", "is required")])
    return parse_call({"userId": raw["id"], "traits": traits}, "identify")


def _event(raw: Json, written: Json, file: Path, line: int) -> TrackingCall:
    """An event of a row; `written` is the row as the file has it."""
    known = {name: value for name, value in raw.items() if name in EVENT_FIELDS}
    others = {name: value for name, value in raw.items() if name not in EVENT_FIELDS}
    if "userId" not in known:
        raise Invalid([FieldError("userId", "is required")])
    properties = known.get("properties") or {}
    if not isinstance(properties, dict):
        raise Invalid([FieldError("properties", "must be an object")])
    known["properties"] = {**others, **properties}
    if isinstance(known.get("timestamp"), str):
        known["timestamp"] = _with_zone(known["timestamp"])
    # The same file imported again adds nothing twice.
    known.setdefault("messageId", hashlib.sha256(orjson.dumps([file.name, line, written])).hexdigest())
    return parse_call(known, "track")


def _with_zone(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo else f"{moment.isoformat()}+00:00"
