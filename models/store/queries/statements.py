"""What the statements share."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite

from campaigns.models.store.database import Connection


def insert(connection: Connection, table: Any) -> Any:
    """An INSERT of the connection's dialect, which can say what is to happen on a conflict."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: Any) -> Any:
    """An INSERT of the dialect of that name."""
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)


CHUNK = 500
"""So many values a statement takes in a list."""


def chunks(values: Sequence[Any]) -> Iterator[list[Any]]:
    """The values in lists that one statement takes."""
    for start in range(0, len(values), CHUNK):
        yield list(values[start : start + CHUNK])
