"""How far imports have come."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, select

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import ImportProgress


class Progress(NamedTuple):
    """Up to where a file was taken in: bytes, lines; rows that were taken and refused."""

    position: int
    line: int
    taken: int
    refused: int


async def progress(connection: Connection, file_hash: str) -> Progress | None:
    """How far the file came that was cut off; None where it was not."""
    statement = select(
        ImportProgress.position, ImportProgress.line, ImportProgress.taken, ImportProgress.refused
    ).where(ImportProgress.file_hash == file_hash)
    row = (await connection.execute(statement)).one_or_none()
    return Progress(*row) if row else None


async def keep_progress(connection: Connection, file_hash: str, done: Progress, now: datetime) -> None:
    """Keeps how far the file has come."""
    values = {**done._asdict(), "at": now}
    statement = insert(connection, ImportProgress).values(file_hash=file_hash, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["file_hash"], set_=values))


async def finish(connection: Connection, file_hash: str) -> None:
    """The file was taken in whole."""
    await connection.execute(delete(ImportProgress).where(ImportProgress.file_hash == file_hash))
