"""Everything embedded, as one process tree: what `dev` and the demo start, and the end-to-end tests too."""

import base64
import contextlib
import ctypes
import fcntl
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx2
import orjson

from campaigns.cli.embedded.providers import service_account
from campaigns.cli.embedded.temporal import Say, server_command, temporal_binary
from campaigns.models.store.database import migrate

QUIET_PORTS = range(20_000, 32_000)
"""Below those that systems give to whoever connects (RFC 6335; Linux from 32768 on)."""
PREFERRED_PORTS = {"temporal": 7233, "web_ui": 8233, "smtp": 1025, "twilio": 8025}
READY_S = 90
STOP_S = 40
TWILIO_SID = "AC" + "0" * 32
PR_SET_PDEATHSIG = 1


@dataclass
class _Supervised:
    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    restarts: list[float] = field(default_factory=list)


KEPT = "settings.json"


def _kept(directory: Path) -> dict[str, Any]:
    file = directory / KEPT
    return orjson.loads(file.read_bytes()) if file.exists() else {}


def kept_keys(directory: Path) -> dict[str, str]:
    """The keys that a stack has made in its directory, by the names of their settings; none where there was none."""
    keys: dict[str, str] = _kept(directory).get("keys", {})
    return keys


class Stack:
    """The embedded processes, kept under one directory. What is set in the environment is used in their place."""

    restarts_a_minute = 5

    def __init__(self, directory: Path, say: Say, environment: Mapping[str, str] | None = None) -> None:
        self.directory = directory.resolve()
        self._say = say
        self._given = dict(os.environ if environment is None else environment)
        self._processes: list[_Supervised] = []
        self._lock: IO[bytes] | None = None
        self._stopping = False
        self.environment: dict[str, str] = {}
        self.urls: dict[str, str] = {}

    def start(self) -> None:
        """Starts what is not set elsewhere, until all of it is ready. Raises SystemExit where it can't be."""
        self._take_lock()
        self._configure()
        log = self.directory / "logs"
        log.mkdir(exist_ok=True)
        if "TEMPORAL_ADDRESS" not in self._given:
            self._start_temporal()
        self._say("Bringing the database to the newest schema …")
        migrate(self.environment["CAMPAIGNS_DATABASE_URL"])
        if self._providers:
            self._run("providers", [sys.executable, "-m", "campaigns.cli.embedded.providers", *self._providers])
        self._say("Starting worker and starter …")
        for name in ("worker", "starter"):
            self._run(name, self.command(name))
        self._until_ready()

    def command(self, name: str) -> list[str]:
        """What runs the worker, or the starter."""
        return [sys.executable, "-m", "campaigns.cli.app", name]

    def supervise_once(self) -> None:
        """Starts again what has died; SystemExit where that does not help."""
        for one in self._processes:
            if one.process.poll() is None or self._stopping:
                continue
            now = time.monotonic()
            one.restarts = [at for at in one.restarts if now - at < 60] + [now]
            if len(one.restarts) > self.restarts_a_minute:
                raise SystemExit(f"campaigns: {one.name} dies again and again; see {self._log_path(one.name)}")
            self._say(f"{one.name} ended with {one.process.returncode}; starting it again")
            one.process = self._popen(one.name, one.command)

    def stop(self) -> None:
        """Ends everything, the ones that depend on others first."""
        self._stopping = True
        for one in reversed(self._processes):
            if one.process.poll() is None:
                one.process.send_signal(signal.SIGTERM)
            if one.name in ("starter", "worker"):
                continue
            self._wait(one)
        for one in self._processes:
            self._wait(one)
        if self._lock:
            self._lock.close()

    def kill(self) -> None:
        """SIGKILL for the whole tree, as a crash would."""
        self._stopping = True
        for one in self._processes:
            one.process.kill()
        for one in self._processes:
            one.process.wait()
        if self._lock:
            self._lock.close()

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The process of that name."""
        return next(one.process for one in self._processes if one.name == name)

    def _wait(self, one: _Supervised) -> None:
        try:
            one.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            one.process.kill()
            one.process.wait()

    def _take_lock(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = (self.directory / "lock").open("wb")
        deadline = time.monotonic() + 5
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"campaigns: another process already runs on {self.directory}") from None
                time.sleep(0.1)
            else:
                return

    def _configure(self) -> None:
        """Keys and ports are made on the first start, and kept."""
        kept = self.directory / KEPT
        known = _kept(self.directory)
        keys = known.get("keys") or {
            "CAMPAIGNS_SECRET_KEY": secrets.token_urlsafe(32),
            "CAMPAIGNS_WRITE_KEY": f"wk_{secrets.token_urlsafe(18)}",
            "CAMPAIGNS_API_KEY": f"ak_{secrets.token_urlsafe(24)}",
            "CAMPAIGNS_TWILIO_AUTH_TOKEN": secrets.token_hex(16),
            "CAMPAIGNS_WEBHOOK_SECRET": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        }
        ports = {name: _free_port(known.get("ports", {}).get(name, port)) for name, port in PREFERRED_PORTS.items()}
        unfinished = kept.with_suffix(".part")
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(orjson.dumps({"keys": keys, "ports": ports}, option=orjson.OPT_INDENT_2))
        unfinished.rename(kept)
        self._ports = ports
        self.environment = self._environment(keys, ports)
        host = self.environment["CAMPAIGNS_HOST"]
        self.urls = {"API": f"http://{host}:{self.environment['CAMPAIGNS_PORT']}"}
        if "TEMPORAL_ADDRESS" not in self._given:
            self.urls["Temporal web UI"] = f"http://127.0.0.1:{ports['web_ui']}"

    def _port(self) -> int:
        """The port that was asked for, else 8000, else any that is free."""
        if "CAMPAIGNS_PORT" not in self._given:
            return _free_port(8000)
        wanted = self._given["CAMPAIGNS_PORT"]
        if not wanted.isdigit():
            raise SystemExit(f"campaigns: CAMPAIGNS_PORT: {wanted!r} is not a port")
        if int(wanted) and not _is_free(int(wanted)):
            raise SystemExit(f"campaigns: port {wanted} is in use; please set CAMPAIGNS_PORT to another one")
        return int(wanted) or _free_port(0)

    def _environment(self, keys: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
        port = self._port()
        defaults = {
            **keys,
            "TEMPORAL_ADDRESS": f"127.0.0.1:{ports['temporal']}",
            "CAMPAIGNS_DATABASE_URL": f"sqlite:///{self.directory / 'campaigns.db'}",
            "CAMPAIGNS_HOST": "127.0.0.1",
            "CAMPAIGNS_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "CAMPAIGNS_MAIL_FROM": "Campaigns <campaigns@example.com>",
        }
        self._providers: list[str] = []
        token = self._given.get("CAMPAIGNS_TWILIO_AUTH_TOKEN", keys["CAMPAIGNS_TWILIO_AUTH_TOKEN"])
        sid = self._given.get("CAMPAIGNS_TWILIO_ACCOUNT_SID", TWILIO_SID)
        embedded_smtp = "CAMPAIGNS_SMTP_URL" not in self._given
        embedded_twilio = not {"CAMPAIGNS_TWILIO_BASE_URL", "CAMPAIGNS_TWILIO_ACCOUNT_SID"} & set(self._given)
        embedded_fcm = not {"CAMPAIGNS_FCM_BASE_URL", "CAMPAIGNS_FCM_CREDENTIALS"} & set(self._given)
        if embedded_smtp or embedded_twilio or embedded_fcm:
            self._providers = [str(self.directory), str(ports["smtp"]), str(ports["twilio"]), sid, token]
        if embedded_smtp:
            defaults["CAMPAIGNS_SMTP_URL"] = f"smtp://127.0.0.1:{ports['smtp']}?starttls=never"
        if embedded_twilio:
            defaults["CAMPAIGNS_TWILIO_BASE_URL"] = f"http://127.0.0.1:{ports['twilio']}"
        if embedded_fcm:
            url = f"http://127.0.0.1:{ports['twilio']}"
            defaults["CAMPAIGNS_FCM_BASE_URL"] = url
            defaults["CAMPAIGNS_FCM_CREDENTIALS"] = str(self._service_account(f"{url}/token"))
        # A webhook may reach what runs on this machine: here the whole world does.
        defaults["CAMPAIGNS_WEBHOOK_ALLOW_INTERNAL"] = "true"
        defaults |= {"CAMPAIGNS_TWILIO_ACCOUNT_SID": sid, "CAMPAIGNS_TWILIO_FROM": "+12025550100"}
        return {**defaults, **self._given, "CAMPAIGNS_PORT": str(port), "PYTHONUNBUFFERED": "1"}

    def _service_account(self, token_uri: str) -> Path:
        path = self.directory / "service-account.json"
        if not path.exists() or orjson.loads(path.read_bytes())["token_uri"] != token_uri:
            path.touch(mode=0o600)
            path.write_bytes(orjson.dumps(service_account(token_uri)))
        return path

    def _start_temporal(self) -> None:
        binary = temporal_binary(self._say)
        self._say("Starting the Temporal server …")
        self._run("temporal", server_command(binary, self.directory, self._ports["temporal"], self._ports["web_ui"]))
        deadline = time.monotonic() + READY_S
        while _is_free(self._ports["temporal"]):
            self._check_alive(deadline, "the Temporal server")

    def _until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while True:
            try:
                if httpx2.get(f"{self.urls['API']}/readyz", timeout=5).status_code == 200:
                    return
                self._check_alive(deadline, "the starter")
            except httpx2.HTTPError:
                self._check_alive(deadline, "the starter")

    def _check_alive(self, deadline: float, what: str) -> None:
        time.sleep(0.1)
        for one in self._processes:
            if one.process.poll() is not None:
                tail = self._log_path(one.name).read_text(errors="replace")[-2000:]
                self.stop()
                raise SystemExit(f"campaigns: {one.name} ended with {one.process.returncode}\n{tail}")
        if time.monotonic() > deadline:
            self.stop()
            raise SystemExit(f"campaigns: {what} was not ready within {READY_S} s; see {self.directory / 'logs'}")

    def _log_path(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def _run(self, name: str, command: list[str]) -> None:
        self._processes.append(_Supervised(name, command, self._popen(name, command)))

    def _popen(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log_path(name).open("ab") as log:
            # Ctrl-C reaches the foreground group only: the children are ended by us, in order.
            return subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )


def _die_with_parent() -> None:
    """A killed parent leaves no orphans behind that would hold its ports and files (Linux, prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port(preferred: int) -> int:
    if preferred and _is_free(preferred):
        return preferred
    # Not one that the system gives to whoever connects: it might be given away before it is bound.
    return next(port for port in random.sample(QUIET_PORTS, len(QUIET_PORTS)) if _is_free(port))
