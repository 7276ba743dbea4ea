"""What the statements share."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy.dialects import postgresql, sqlite

from campaigns.models.store.database import Connection
from campaigns.models.store.tables import Table

T = TypeVar("T")
Insert = sqlite.Insert | postgresql.Insert


def insert(connection: Connection, table: type[Table]) -> Insert:
    """An INSERT of the connection's dialect, which can say what is to happen on a conflict."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: type[Table]) -> Insert:
    """An INSERT of the dialect of that name."""
    return sqlite.insert(table.__table__) if dialect == "sqlite" else postgresql.insert(table.__table__)


CHUNK = 500
"""So many values a statement takes in a list."""


def chunks(values: Sequence[T]) -> Iterator[list[T]]:
    """The values in lists that one statement takes."""
    for start in range(0, len(values), CHUNK):
        yield list(values[start : start + CHUNK])
