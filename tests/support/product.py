"""A product in this process: starters over real HTTP, a worker, a real Temporal server, real SMTP and HTTP providers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import uvicorn
from fastapi import FastAPI
from temporalio.client import Client

from campaigns.models.settings import Settings
from campaigns.models.store.database import Database, open_database
from campaigns.starter.app import make_app
from campaigns.starter.composition import Services, make_services
from campaigns.workers.senders import make_senders
from campaigns.workers.worker import make_workers
from campaigns.workflows.client import EntryClient
from campaigns.workflows.converter import data_converter
from tests.support.providers import Providers
from tests.support.shapes import shape_checker

API_KEY, WRITE_KEY, SECRET_KEY = "test-api-key", "test-write-key", "s" * 32


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class _Server(uvicorn.Server):
    """Ends as soon as it is told, where uvicorn looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.005)
        await self.lifespan.shutdown()


class Starter:
    """One starter, and its API."""

    def __init__(self, parts: Services, app: FastAPI, url: str) -> None:
        self.parts, self.app, self.url = parts, app, url
        hooks = {"response": [shape_checker(app)]}
        bearer = {"Authorization": f"Bearer {API_KEY}"}
        limits = httpx2.Limits(max_connections=50)
        self.api = httpx2.AsyncClient(base_url=url, headers=bearer, timeout=60, limits=limits, event_hooks=hooks)
        self.tracking = httpx2.AsyncClient(
            base_url=url, auth=(WRITE_KEY, ""), timeout=60, limits=limits, event_hooks=hooks
        )

    async def call(self, method: str, path: str, body: Any = None, status: int | None = None) -> Any:
        """The answer; fails the test on an error, or on another status than the one that is expected."""
        answer = await self.api.request(method, path, json=body)
        assert answer.status_code == status if status else answer.is_success, (answer.status_code, answer.text)
        return answer.json() if answer.content else None

    async def track(self, customer: str, event: str, properties: dict | None = None, **more: Any) -> dict:
        message = {"userId": customer, "event": event, "properties": properties or {}, **more}
        answer = await self.tracking.post("/v1/track", json=message)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def campaign(self, key: str, *, start: bool = True, **fields: Any) -> None:
        """A live campaign, on the event of its key unless a trigger is given."""
        definition = {"key": key, "name": key, "trigger": {"type": "event", "event": key}, **fields}
        await self.call("POST", "/v1/campaigns", definition, 201)
        if start:
            await self.call("POST", f"/v1/campaigns/{key}/start")

    async def customer(self, customer: str, **attributes: Any) -> None:
        known = {"email": f"{customer}@example.com", "phone": "+12025550123", "name": customer.title()}
        await self.call("PUT", f"/v1/customers/{customer}", {**known, **attributes})

    async def statistics(self, key: str) -> dict:
        return await self.call("GET", f"/v1/campaigns/{key}/statistics")

    async def entries(self, key: str) -> list[dict]:
        return (await self.call("GET", f"/v1/campaigns/{key}/entries?limit=1000"))["entries"]

    async def timeline(self, entry_id: str) -> list[tuple[str | None, str]]:
        entry = await self.call("GET", f"/v1/entries/{entry_id}")
        return [(line["step"], line["outcome"]) for line in entry["timeline"]]

    async def until_ended(self, key: str, timeout: float = 30) -> dict:
        """The statistics once entries there are, and none of them runs."""

        async def ended() -> dict | None:
            found = await self.statistics(key)
            return found if found["entries"]["entered"] and not found["entries"]["running"] else None

        return await until(ended, timeout)

    async def until_held(self, key: str, timeout: float = 15) -> None:
        """Until the campaign is paused, and an entry of it holds at a message."""

        async def held() -> bool:
            entries = await self.entries(key)
            lines = (await self.call("GET", f"/v1/entries/{entries[0]['id']}"))["timeline"] if entries else []
            return any((line["detail"] or "").startswith("held") for line in lines)

        await until(held, timeout)

    async def until_waiting(self, key: str, step: str, timeout: float = 15) -> None:
        async def waiting() -> bool:
            found = await self.statistics(key)
            return next(one for one in found["steps"] if one["id"] == step)["waiting"] > 0

        await until(waiting, timeout)


async def until(condition: Callable[[], Awaitable[Any]], timeout: float = 15) -> Any:
    """What the condition answers as soon as it is true of something; fails the test where it takes too long."""
    async with asyncio.timeout(timeout):
        while not (found := await condition()):
            await asyncio.sleep(0.05)
    return found


class Product:
    """Starters, a worker and providers around one database."""

    def __init__(self, url: str, client: Client, providers: Providers) -> None:
        self.client, self.providers, self.url = client, providers, url
        # Its own, for entries that one test leaves running are not to reach the worker of the next.
        self.task_queue = uuid4().hex
        self.settings = Settings(
            database_url=url,
            public_url="http://campaigns.test",
            smtp_url=f"smtp://127.0.0.1:{providers.smtp_port}?starttls=never",
            mail_from="Shop <shop@example.com>",
            twilio_account_sid=providers.sid,
            twilio_auth_token=providers.token,
            twilio_from="+12025550100",
            twilio_base_url=f"http://127.0.0.1:{providers.twilio_port}",
            fcm_credentials=providers.service_account,
            fcm_base_url=f"http://127.0.0.1:{providers.twilio_port}",
            webhook_allow_internal=True,
            journeys=Path(__file__).parent / "journeys",
            secret_key=SECRET_KEY,
            write_key=WRITE_KEY,
            api_key=API_KEY,
        )
        self.stack = AsyncExitStack()

    async def own_client(self) -> Client:
        """A client as in a process of its own: one client has one worker for a task queue."""
        address = self.client.service_client.config.target_host
        return await Client.connect(address, data_converter=data_converter)

    async def starter(self, *, dispatching: bool = True) -> Starter:
        """One more starter on the same database."""
        database = open_database(self.url)
        self.stack.push_async_callback(database.close)
        client = await self.own_client()
        parts = make_services(self.settings, database, EntryClient(client, self.task_queue))
        app = make_app(parts)
        if not dispatching:
            parts.relay.start = lambda: None  # type: ignore[method-assign] # as if it died right after its commits
        port = free_port()
        server = _Server(uvicorn.Config(app, "127.0.0.1", port, log_level="error"))
        serving = asyncio.create_task(server.serve())
        starter = Starter(parts, app, f"http://127.0.0.1:{port}")

        async def stop() -> None:
            await starter.api.aclose()
            await starter.tracking.aclose()
            server.told.set()
            await serving

        self.stack.push_async_callback(stop)
        while not server.started:
            await asyncio.sleep(0.005)
            assert not serving.done(), "the starter does not start"
        return starter

    @asynccontextmanager
    async def worker(self, client: Client | None = None) -> AsyncIterator[Database]:
        """A worker, for as long as the block runs; a second one needs a client of its own."""
        database = open_database(self.url)
        senders = make_senders(self.settings)
        async with AsyncExitStack() as running:
            for worker in make_workers(
                client or self.client,
                database,
                self.settings,
                senders,
                task_queue=self.task_queue,
                max_cached_workflows=500,
            ):
                await running.enter_async_context(worker)
            yield database
        for sender in senders.values():
            await sender.close()
        await database.close()
