"""Files as people have them: no row vanishes, and each that is refused says why, with its line."""

import json
from pathlib import Path

import pytest

from campaigns.cli.rows import BadFile, BadRow, Place, read_rows, typed

ANN, BOB = {"id": "1", "name": "Ann"}, {"id": "2", "name": "Bob"}
ZOE = {"id": "1", "name": "Zoë, of “Zürich”"}


def rows(file: Path, content: bytes | str, encoding: str | None = None) -> list[tuple[int, object]]:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return [
        (row.line, str(row.content) if isinstance(row.content, BadRow) else row.content)
        for row in read_rows(file, encoding=encoding)
    ]


@pytest.mark.parametrize(
    "content",
    [
        "id,name\n1,Ann\n2,Bob\n",
        "id,name\r\n1,Ann\r\n2,Bob",  # Excel
        "id;name\n1;Ann\n2;Bob\n",  # Excel where the comma is a decimal point
        "sep=;\nid;name\n1;Ann\n2;Bob\n",
        "id\tname\n1\tAnn\n2\tBob\n",
        "\ufeffid,name\n1,Ann\n2,Bob\n",  # Excel's "CSV UTF-8"
        "id , name\n1,Ann\n\n2,Bob\n,\n",  # rows that are empty are none
        '"id","name"\n"1","Ann"\n"2","Bob"\n',
        "id,name,\n1,Ann,\n2,Bob\n",
    ],
)
def test_tables(tmp_path: Path, content: str):
    assert [row for _, row in rows(tmp_path / "a.csv", content)] == [ANN, BOB]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_encodings_that_show_themselves(tmp_path: Path, encoding: str):
    content = 'id;name\r\n1;"Zoë, of “Zürich”"\r\n'.encode(encoding)
    assert rows(tmp_path / "a.csv", content) == [(2, ZOE)]


def test_encodings_that_do_not(tmp_path: Path):
    content = 'id;name\r\n1;"Zoë, of “Zürich”"\r\n2;Bob\r\n'.encode("windows-1252")
    assert rows(tmp_path / "a.csv", content, "windows-1252") == [(2, ZOE), (3, BOB)]
    (line, why), good = rows(tmp_path / "a.csv", content)
    assert (line, good) == (2, (3, BOB))
    assert "is not UTF-8; say the file's --encoding" in str(why)
    with pytest.raises(BadFile, match="there is no encoding 'latin-99'"):
        rows(tmp_path / "a.csv", content, "latin-99")
    with pytest.raises(BadFile, match="the header is not UTF-8"):
        rows(tmp_path / "a.csv", "id,größe\n1,2\n".encode("windows-1252"))
    (bad,) = rows(tmp_path / "a.csv", b"id,name\n1,\x81\n", "windows-1252")
    assert bad == (2, "holds characters that the encoding of the file does not have")


def test_old_macs(tmp_path: Path):
    assert [row for _, row in rows(tmp_path / "a.csv", "id,name\r1,Ann\r2,Bob\r")] == [ANN, BOB]


def test_fields_with_line_breaks_and_quotes(tmp_path: Path):
    content = 'id,name\n1,"Ann\nof ""Rome"", IT"\n2,5" nails\n3,"a\r\nb"\n'
    assert rows(tmp_path / "a.csv", content) == [
        (2, {"id": "1", "name": 'Ann\nof "Rome", IT'}),
        (4, {"id": "2", "name": '5" nails'}),
        (5, {"id": "3", "name": "a\r\nb"}),
    ]


@pytest.mark.parametrize(
    ("content", "refused", "taken"),
    [
        ('id,name\n1,"Ann\n2,Bob\n3,Cid\n', [2], ["2", "3"]),  # never closed
        ('id,name\n1,"Ann\n2,"Bob"\n3,Cid\n', [2], ["2", "3"]),  # closed by the next row's quote
        ('id,name\n1,Ann\n2,"Bob', [3], ["1"]),
        ('id,name\n1,"Ann"x\n2,Bob\n', [2], ["2"]),
        ("id,name\n1,Ann,x\n2,Bob\n", [2], ["2"]),
        ("id,name\n1," + "x" * 1_100_000 + "\n2,Bob\n", [2], ["2"]),
        (b"id,name\n1,\xff\n2,Bob\n", [2], ["2"]),
        ('id,name\n1,"' + "\n".join(f"{n},Ann" for n in range(2, 1_500)), [2], [str(n) for n in range(3, 1_500)]),
    ],
)
def test_no_row_vanishes(tmp_path: Path, content, refused, taken):
    found = rows(tmp_path / "a.csv", content)
    assert [line for line, row in found if isinstance(row, str)] == refused
    assert [row["id"] for _, row in found if isinstance(row, dict)] == taken


def test_json(tmp_path: Path):
    lines = json.dumps(ANN) + "\n\n{broken\n[1]\n" + json.dumps(BOB)
    found = rows(tmp_path / "a.jsonl", "\ufeff" + lines)
    assert [line for line, _ in found] == [1, 3, 4, 5]
    assert (found[0][1], found[2][1], found[3][1]) == (ANN, "is not an object", BOB)
    assert "is not JSON" in str(found[1][1])
    assert rows(tmp_path / "a.json", lines.encode("utf-16"))[0] == (1, ANN)


def test_json_arrays(tmp_path: Path):
    assert rows(tmp_path / "a.json", json.dumps([ANN, 5, BOB], indent=2)) == [
        (1, ANN),
        (2, "is not an object"),
        (3, BOB),
    ]
    assert [row.content for row in read_rows(tmp_path / "a.json", Place(1, 2))] == [BOB]
    with pytest.raises(BadFile, match="begins as a JSON array and is not JSON"):
        rows(tmp_path / "a.json", "[{}, ")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04...", "Excel workbook"), (b"\xd0\xcf\x11\xe0...", "old Excel workbook"), (b"\x1f\x8b\x08..", "gzip"),
        (b"", "has no header"), (b"\n1,2\n", "has no header"), (b"id,id\n1,2\n", "names 'id' twice"),
    ],
)  # fmt: skip
def test_files_that_hold_no_rows(tmp_path: Path, content: bytes, why: str):
    with pytest.raises(BadFile, match=why):
        rows(tmp_path / "a.csv", content)


@pytest.mark.parametrize("content", ['id,name\r\n1,Ann\r\n2,"B\r\nC"\r\n3,Cid\r\n', "id,name\r1,Ann\r2,Bob\r3,Cid\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_goes_on_where_it_was(tmp_path: Path, content: str, encoding: str):
    file = tmp_path / "a.csv"
    file.write_bytes(content.encode(encoding))
    whole = list(read_rows(file))
    assert len(whole) == 3
    for number, row in enumerate(whole, 1):
        assert list(read_rows(file, row.after)) == whole[number:]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7), ("-7", -7), ("0", 0), ("1.50", 1.5), ("true", True), ("FALSE", False), ("123456789012345", 123456789012345),
        ("007", "007"), ("+15551234567", "+15551234567"), ("1,5", "1,5"), ("1e5", "1e5"), ("1.", "1."), (".5", ".5"),
        ("1234567890123456", "1234567890123456"), ("NaN", "NaN"), ("yes", "yes"), ("", ""), ("٣", "٣"), (" 7", " 7"),
    ],
)  # fmt: skip
def test_numbers_and_booleans(text: str, value: object):
    assert (typed(text), type(typed(text))) == (value, type(value))
