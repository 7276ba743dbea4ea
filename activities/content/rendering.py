"""Message texts, rendered by processes of their own that are killed where they take too long.

The processes belong to this process, are started when they are needed, and end with it.
"""

import asyncio
import atexit
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Pipe
from typing import Any

import orjson

PROCESSES = 2
START_S = 60.0
ANSWER_S = 10.0
"""So long an answer may take on a busy machine; its computing time has a limit of its own, which is shorter."""
DYING_S = 0.5
KEPT_SLOW = 1_000
HOPELESS, REFUSED_S = 3, 60.0
TOO_LONG = {"error": "takes too long, or too much memory"}
FAULTS_OF_TEXTS = {signal.SIGPROF, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
"""What a process dies of that computed too long, or whose compiled code failed; any other end is not the text's."""


class RenderingError(Exception):
    """The text cannot be rendered for this customer, or by anybody."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(f"{part}: {reason}" if part else reason)
        self.part, self.reason = part, reason


class RenderingUnavailable(Exception):
    """No process could render just now, for no fault of the text: it may be tried again."""


@dataclass(frozen=True)
class Part:
    """One text of a message; in HTML values are escaped, and it may be MJML."""

    source: str
    html: bool = False


@dataclass(frozen=True)
class Rendered:
    """The parts by their names, and the variables that would have been written and have no value."""

    parts: dict[str, str]
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Checked:
    """What is wrong with parts, and the variables that each takes: the first two parts of each path."""

    errors: dict[str, str]
    variables: dict[str, set[tuple[str, str]]]


@dataclass(frozen=True)
class Looked:
    """Where the links of each HTML lead, and its images with what stands for them; `{{}}` is what Liquid fills."""

    links: dict[str, list[str]]
    images: dict[str, list[tuple[str, str | None]]]


class _Process:
    """One process, used by one thread."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            # Nothing of ours goes with it: no environment, no working directory to import from, no descriptor.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", "campaigns.activities.content.rendering_process", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),), env={"TZ": "UTC"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        if not self._connection.poll(START_S) or self._received() != b"ready":
            self.kill()
            raise RenderingUnavailable("the process that renders does not start")

    def _received(self) -> bytes:
        try:
            return self._connection.recv_bytes()
        except EOFError:
            return b""

    def ask(self, request: bytes) -> bytes | None:
        """The answer; None where the text has killed the process. Raises RenderingUnavailable where that ended so."""
        answer = b""
        with suppress(OSError):  # it has died
            self._connection.send_bytes(request)
            answer = self._received() if self._connection.poll(ANSWER_S) else b""
        if answer:
            return answer
        if self.kill() not in FAULTS_OF_TEXTS:
            raise RenderingUnavailable("the process that renders has ended")
        return None

    def kill(self) -> int:
        """Ends it, if it is not dead already; by which signal it died."""
        self._connection.close()
        with suppress(subprocess.TimeoutExpired):
            return -self._process.wait(DYING_S)
        self._process.kill()
        return -self._process.wait()


class _Pool:
    """Threads with a process each.

    Texts that killed one go one at a time, so that they hold up no others; those that did so several times in a row
    are refused for a while, so that what waits for them holds up nobody either.
    """

    def __init__(self) -> None:
        self._quick = ThreadPoolExecutor(PROCESSES, "rendering")
        self._slow = ThreadPoolExecutor(1, "rendering-slow")
        self._deaths: OrderedDict[int, tuple[int, float]] = OrderedDict()
        """By texts that killed a process: how often in a row, and when last."""
        self._own = threading.local()
        self._processes: set[_Process] = set()

    def submit(self, request: Mapping[str, Any]) -> "Future[dict[str, Any]]":
        """The answer of a process, later."""
        answer: Future[dict[str, Any]] = Future()
        text = hash((request["do"], *(source for source, _ in request["parts"].values())))
        self._quick.submit(self._run, answer, request, text)
        return answer

    def _run(
        self, answer: "Future[dict[str, Any]]", request: Mapping[str, Any], text: int, *, slow: bool = False
    ) -> None:
        if text in self._deaths and not slow:
            self._slow.submit(self._run, answer, request, text, slow=True)
        elif answer.set_running_or_notify_cancel():
            try:
                answer.set_result(self._ask(request, text))
            except Exception as error:
                answer.set_exception(error)

    def _ask(self, request: Mapping[str, Any], text: int) -> dict[str, Any]:
        deaths, died_at = self._deaths.get(text, (0, 0.0))
        if deaths >= HOPELESS and time.monotonic() - died_at < REFUSED_S:
            return dict(TOO_LONG)
        try:
            asked = orjson.dumps(request)
        except TypeError as error:
            return {"error": str(error)}
        try:
            answer = self._answered(asked)
        except RenderingUnavailable:
            answer = self._answered(asked)  # by a new one
        if answer is None:
            self._deaths[text] = deaths + 1, time.monotonic()
            if len(self._deaths) > KEPT_SLOW:
                self._deaths.popitem(last=False)
            return dict(TOO_LONG)
        if deaths:
            self._deaths[text] = 0, died_at
        found: dict[str, Any] = orjson.loads(answer)
        return found

    def _answered(self, request: bytes) -> bytes | None:
        process: _Process | None = getattr(self._own, "process", None)
        if process is None:
            process = self._own.process = _Process()
            self._processes.add(process)
        answer = None
        try:
            answer = process.ask(request)
        finally:
            if answer is None:
                self._processes.discard(process)
                self._own.process = None
        return answer

    def close(self) -> None:
        """Ends the processes."""
        for process in list(self._processes):
            process.kill()


_pool = _Pool()
atexit.register(_pool.close)


def _request(do: str, parts: Mapping[str, Part], **more: Any) -> "Future[dict[str, Any]]":
    return _pool.submit({"do": do, "parts": {name: (part.source, part.html) for name, part in parts.items()}, **more})


async def render(parts: Mapping[str, Part], variables: Mapping[str, Any], *, makes_text: bool = False) -> Rendered:
    """The parts with the variables (JSON) put in; `makes_text` adds a `text` to an `html` that has none.

    Raises RenderingError for anything that is wrong with them, and RenderingUnavailable where it may be tried again.
    """
    answer = await asyncio.wrap_future(_request("render", parts, variables=variables, makes_text=makes_text))
    if "error" in answer:
        raise RenderingError(answer.get("part", ""), answer["error"])
    return Rendered(answer["parts"], answer["missing"])


def check(parts: Mapping[str, Part]) -> Checked:
    """What can be said of texts without anybody to render them for. It waits for the answer."""
    if not parts:
        return Checked({}, {})
    answer = _request("check", parts).result()
    if "error" in answer:
        return Checked(dict.fromkeys(parts, answer["error"]), {})
    variables = {name: {(root, path) for root, path in found} for name, found in answer["variables"].items()}
    return Checked(answer["errors"], variables)


async def look(parts: Mapping[str, Part]) -> Looked:
    """The links and images of HTML. Raises RenderingError for what is none."""
    answer = await asyncio.wrap_future(_request("look", parts))
    if "error" in answer:
        raise RenderingError("", answer["error"])
    return Looked(
        answer["links"], {name: [(src, alt) for src, alt in found] for name, found in answer["images"].items()}
    )
