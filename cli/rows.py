"""The rows of files as people have them: CSV (RFC 4180) of spreadsheets in several countries, JSON Lines, JSON arrays.

No row vanishes: each is yielded, either as an object or as a BadRow that says why it can't be taken. A row knows the
place behind it, so that a reader can go on where it was cut off.
"""

import csv
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import orjson

from campaigns.models.values import Json

FIELD_CHARACTERS = 1_000_000
ROW_LINES = 1_000
"""So many lines a row may have: a quote that is still open then was never closed."""
ARRAY_BYTES = 256 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
CSV_SUFFIXES = (".csv", ".tsv", ".txt")
DELIMITERS = (",", ";", "\t", "|")

_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,14})?")
_QUOTED = re.compile(rb'"(?:[^"]|"")*"(?!")')
_BOOLEANS = {"true": True, "false": False}
_REPLACED = "\ufffd"
_NOT_IN_ENCODING = "holds characters that the encoding of the file does not have"
_BINARY = {
    b"PK\x03\x04": "is an Excel workbook or another archive; save it as CSV",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook; save it as CSV",
    b"\x1f\x8b": "is compressed by gzip; unpack it first",
}


class BadRow(Exception):
    """A row that can't be taken, with its reason."""


class BadFile(Exception):
    """A file of which no row can be read, with the reason."""


class Place(NamedTuple):
    """Where to go on: behind this byte, and behind this line."""

    position: int = 0
    line: int = 0


class Row(NamedTuple):
    """A row of the file: the line that it begins on (of a JSON array, its number), what it holds, where to go on."""

    line: int
    content: Json | BadRow
    after: Place


def read_rows(file: Path, after: Place = Place(), encoding: str | None = None) -> Iterator[Row]:  # noqa: B008 - a tuple
    """Yield the rows behind the place, in order.

    `encoding` is any that Python knows; without one it is UTF-8, or UTF-16 where the file begins so. Raises BadFile.
    """
    with _as_utf8(file, encoding) as content:
        if file.suffix.lower() in CSV_SUFFIXES:
            yield from _csv_rows(content, after)
        elif content.read(64).lstrip(BOM + b" \t\r\n")[:1] == b"[":
            yield from _array_rows(content, after)
        else:
            yield from _json_rows(content, after)


@contextmanager
def _as_utf8(file: Path, encoding: str | None) -> Iterator[IO[bytes]]:
    """The file, or a copy of it in UTF-8 with the line ends of Unix where it is written in another way."""
    with file.open("rb") as content:
        start = content.read(64 * 1024)
        for magic, reason in _BINARY.items():
            if start.startswith(magic):
                raise BadFile(reason)
        encoding = encoding or _encoding(start)
        old_mac = b"\r" in start and b"\n" not in start
        if encoding == "utf-8" and not old_mac:
            content.seek(0)
            yield content
            return
    with tempfile.TemporaryFile() as copy:
        try:
            with file.open("r", encoding=encoding, errors="replace", newline=None if old_mac else "") as text:
                while part := text.read(1024 * 1024):
                    copy.write(part.encode(errors="replace"))
        except LookupError:
            raise BadFile(f"there is no encoding {encoding!r}") from None
        copy.seek(0)
        yield copy


def _encoding(start: bytes) -> str:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # What is mostly ASCII has each second byte empty in UTF-16, and none in UTF-8.
    even, odd = start[0:2000:2].count(0), start[1:2000:2].count(0)
    if max(even, odd) * 4 > len(start[:2000]):
        return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8"


def _json_rows(file: IO[bytes], after: Place) -> Iterator[Row]:
    file.seek(after.position)
    end = after.position
    for number, line in enumerate(file, after.line + 1):
        end += len(line)
        if line.strip():
            content = line.removeprefix(BOM) if number == 1 else line
            yield Row(number, _json_row(content), Place(end, number))


def _json_row(line: bytes) -> Json | BadRow:
    if _REPLACED.encode() in line:
        return BadRow(_NOT_IN_ENCODING)
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return BadRow(f"is not JSON: {error}")
    return row if isinstance(row, dict) else BadRow("is not an object")


def _array_rows(content: IO[bytes], after: Place) -> Iterator[Row]:
    """The objects of one array; their places are their numbers, for an array is read whole."""
    content.seek(0)
    text = content.read(ARRAY_BYTES + 1)
    if len(text) > ARRAY_BYTES:
        raise BadFile(f"is a JSON array of more than {ARRAY_BYTES >> 20} MB; write an object a line (JSON Lines)")
    try:
        rows = orjson.loads(text.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        raise BadFile(f"begins as a JSON array and is not JSON: {error}") from None
    for number, row in enumerate(rows[after.line :], after.line + 1):
        yield Row(number, row if isinstance(row, dict) else BadRow("is not an object"), Place(1, number))


class _Lines:
    """The lines of a CSV file, with the place of each; some may be put back to be read again."""

    def __init__(self, content: IO[bytes], after: Place) -> None:
        content.seek(after.position)
        self._content = content
        self._again: list[bytes] = []
        self.line, self.end = after.line, after.position

    def next(self) -> bytes | None:
        line = self._again.pop() if self._again else self._content.readline()
        if not line:
            return None
        self.line += 1
        self.end += len(line)
        return line

    def put_back(self, lines: list[bytes]) -> None:
        self._again += reversed(lines)
        self.line -= len(lines)
        self.end -= sum(map(len, lines))


def _csv_rows(content: IO[bytes], after: Place) -> Iterator[Row]:
    """Rows by the names of the header; an empty field is left out. A field may hold line breaks."""
    csv.field_size_limit(FIELD_CHARACTERS)
    lines = _Lines(content, Place())
    delimiter, header = _header(lines)
    if after.position:
        lines = _Lines(content, after)
    while (first := lines.next()) is not None:
        number, record = lines.line, [first]
        while _is_open(record, delimiter) and len(record) < ROW_LINES and (more := lines.next()) is not None:
            record.append(more)
        row = _csv_row(b"".join(record), header, delimiter)
        if isinstance(row, BadRow) and len(record) > 1:
            # A quote that was forgotten swallows the rows behind it: only its own line is refused.
            lines.put_back(record[1:])
            row = BadRow(f"{row}; perhaps a quote is not closed")
        if row:
            yield Row(number, row, Place(lines.end, lines.line))


def _is_open(record: list[bytes], delimiter: str) -> bool:
    """Whether the record ends within quotes. A quote counts where a field begins: `5" nails` has none."""
    if b'"' not in record[-1] and len(record) == 1:
        return False
    text, at, end = b"".join(record), 0, delimiter.encode()
    while at < len(text):
        if text[at : at + 1] == b'"':
            closed = _QUOTED.match(text, at)
            if closed is None:
                return True
            at = closed.end()
        at = text.find(end, at) + 1
        if not at:
            break
    return False


def _header(lines: _Lines) -> tuple[str, list[str]]:
    line = lines.next() or b""
    try:
        text = line.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError:
        raise BadFile("the header is not UTF-8; say the file's --encoding") from None
    if text.lower().startswith("sep=") and len(text) == len("sep=") + 1:
        # Excel's own way to say the delimiter.
        return text[-1], _header(lines)[1]
    delimiter = max(DELIMITERS, key=text.count)
    names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]
    if not any(names):
        raise BadFile("has no header")
    if doubles := sorted({name for name in names if name and names.count(name) > 1}):
        raise BadFile(f"the header names {', '.join(map(repr, doubles))} twice")
    return delimiter, names


def _csv_row(record: bytes, header: list[str], delimiter: str) -> Json | BadRow:
    try:
        text = record.decode()
    except UnicodeDecodeError:
        return BadRow("is not UTF-8; say the file's --encoding where all of it is written in another one")
    if _REPLACED in text:
        return BadRow(_NOT_IN_ENCODING)
    try:
        parsed = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True))
    except csv.Error as error:
        return BadRow(f"is not CSV: {error}")
    if len(parsed) != 1:
        return BadRow("is not one row")
    values = parsed[0]
    if any(values[len(header) :]) or any(value for name, value in zip(header, values, strict=False) if not name):
        return BadRow(f"has {len(values)} fields, and the header {len(header)}")
    return {name: value for name, value in zip(header, values, strict=False) if value}


def typed(value: str) -> str | float | bool:
    """Return the number or boolean that a field of CSV is written as, as JSON would have it; else the text itself.

    Numbers that JSON does not know (`007`, `+1`, `1e5`, `1,5`) and those of more than 15 digits stay text: they are
    more likely codes, telephone numbers and ids.
    """
    if _NUMBER.fullmatch(value) and len(value.strip("-").replace(".", "")) <= 15:
        return float(value) if "." in value else int(value)
    return _BOOLEANS.get(value.lower(), value)
