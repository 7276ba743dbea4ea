"""What the statements share."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from campaigns.models.database import Connection


def insert(connection: Connection, table: Any) -> Any:
    """An INSERT of the connection's dialect, which can say what is to happen on a conflict."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)
