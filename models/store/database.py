"""The database: one engine, reading and writing transactions, the newest schema."""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar, TypeVarTuple, overload

import orjson
import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy import CursorResult, Dialect, Executable, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.sql.selectable import TypedReturnsRows

BUSY_TIMEOUT_S = 30

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Connection(Protocol):
    """What statements are sent through, inside a transaction of `Database`."""

    @property
    def dialect(self) -> Dialect:
        """The database's dialect."""
        ...

    @overload
    async def execute(self, statement: TypedReturnsRows[*Ts], parameters: Any = None, /) -> CursorResult[*Ts]: ...

    @overload
    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]: ...

    async def execute(self, statement: Executable, parameters: Any = None, /) -> CursorResult[*tuple[Any, ...]]:
        """Send a statement, with one set of parameters or a list of sets. Return SQLAlchemy's result, of typed rows."""
        ...

    async def run_sync(self, function: Callable[[sqlalchemy.Connection], T], /) -> T:
        """Runs a function on the synchronous connection."""
        ...


class Database(Protocol):
    """One engine for one process."""

    def read(self) -> AbstractAsyncContextManager[Connection]:
        """A transaction that only reads, in one snapshot."""
        ...

    def write(self) -> AbstractAsyncContextManager[Connection]:
        """A transaction that writes; commits at the end of the block, rolls back on an exception."""
        ...

    async def close(self) -> None:
        """Gives every connection back."""
        ...


def open_database(url: str, pool_size: int = 20) -> Database:
    """The database of `sqlite:///file` or `postgresql://…`; nothing is connected yet."""
    return SqliteDatabase(url) if url.startswith("sqlite") else PostgresDatabase(url, pool_size)


_OPTIONS: dict[str, Any] = {
    # An error's text goes to logs and to Temporal's histories: it is not to hold what a statement was sent with.
    "hide_parameters": True,
    "json_serializer": lambda value: orjson.dumps(value).decode(),
    "json_deserializer": orjson.loads,
}


class PostgresDatabase:
    """PostgreSQL: rows are locked where it matters."""

    def __init__(self, url: str, pool_size: int) -> None:
        self._engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1),
            pool_pre_ping=True,
            pool_size=pool_size,
            max_overflow=pool_size,
            **_OPTIONS,
        )

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """REPEATABLE READ: all statements see one snapshot."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """READ COMMITTED."""
        async with self._engine.begin() as connection:
            yield connection

    async def close(self) -> None:
        """Gives every connection back."""
        await self._engine.dispose()


class _SqliteConnection:
    """SQLite works inside this process, in microseconds: a thread's hop would cost more than the statement."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection
        self.dialect: Dialect = connection.dialect

    async def execute(self, statement: Executable, parameters: Any = None, /) -> Any:
        return self._connection.execute(statement, parameters)

    async def run_sync(self, function: Callable[[sqlalchemy.Connection], T], /) -> T:
        return function(self._connection)


class SqliteDatabase:
    """SQLite: a writing transaction is alone from its beginning, so that what it read stays true.

    Writers of all processes queue for a lock file of their own, for SQLite's own waiting is a poll that starves some.
    """

    def __init__(self, url: str) -> None:
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(
            f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, **_OPTIONS
        )
        event.listen(self._engine, "connect", _configure_sqlite)
        event.listen(self._engine, "begin", _begin_sqlite)
        self._queue = asyncio.Lock()
        self._lock_path = path.with_name(path.name + ".lock")
        self._lock_file: Any = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A snapshot; it delays no writer."""
        with self._engine.connect() as connection, connection.begin():
            yield _SqliteConnection(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """Alone among all writers of the file."""
        async with self._queue:
            await self._lock()
            try:
                with self._engine.connect() as connection:
                    connection.execution_options(writes=True)
                    with connection.begin():
                        yield _SqliteConnection(connection)
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    async def close(self) -> None:
        """Gives every connection back."""
        self._engine.dispose()
        if self._lock_file:
            self._lock_file.close()

    async def _lock(self) -> None:
        if self._lock_file is None:
            self._lock_file = self._lock_path.open("wb")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting = asyncio.ensure_future(asyncio.to_thread(fcntl.flock, self._lock_file, fcntl.LOCK_EX))
            try:
                await asyncio.shield(waiting)
            except asyncio.CancelledError:
                # The thread can't be called back: what it gets must be given back.
                await waiting
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)
                raise


def _configure_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's events begin transactions, not the driver.
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # A commit outlives any process; the last ones may be lost with the machine's power, which PostgreSQL is for.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: sqlalchemy.Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def alembic_config(url: str) -> Config:
    """Alembic's configuration, with no file of its own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Brings the database to the newest schema; does nothing where it is there already. Not for a running loop."""
    command.upgrade(alembic_config(url), "head")
