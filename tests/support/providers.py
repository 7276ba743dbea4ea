"""Providers that speak their protocols, and fail as they are told."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import uvicorn
from aiosmtpd.smtp import SMTP
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from campaigns.cli.embedded.providers import Fcm, Twilio, received, service_account


class Providers:
    """An SMTP server and Twilio, with what each has received.

    `mail_faults` and `text_faults` are used up one by one, a message each: for mail a reply such as `451 later` at RCPT
    or DATA (`rcpt 550 no`), `drop` (the line breaks once the data is there), `drop before`, `stall`; for text messages
    an HTTP status, `stall`, or `taken 503` (it is taken, and the answer says nothing of it).
    """

    def __init__(self, directory: Path) -> None:
        self.sid, self.token = "AC" + "1" * 32, "t" * 32
        self.mails: list[EmailMessage] = []
        self.raw_mails: list[bytes] = []
        self.mail_faults: deque[str] = deque()
        self.text_faults: deque[str | int] = deque()
        self.stall_s = 60.0
        self._let_go = asyncio.Event()
        self.smtp_port = self.twilio_port = 0
        self._log = directory / "messages.jsonl"
        self._push_log = directory / "push.jsonl"
        fcm = Fcm(self._push_log)
        self._app = Starlette(routes=[*Twilio(self._log, self.sid, self.token).routes(), *fcm.routes()])
        self.service_account = ""
        self.requests: list[tuple[str, dict, dict]] = []
        self.webhook_answers: deque[tuple[int, object]] = deque()

    @property
    def texts(self) -> list[dict]:
        return received(self._log)

    @property
    def pushes(self) -> list[dict]:
        return received(self._push_log)

    def mails_to(self, customer: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"] == f"{customer}@example.com"]

    def let_go(self) -> None:
        """Ends what stalls just now."""
        self._let_go.set()
        self._let_go = asyncio.Event()

    async def _stall(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.stall_s):
                await self._let_go.wait()

    def clear(self) -> None:
        self.let_go()
        self.stall_s = 60.0
        self.mails.clear()
        self.raw_mails.clear()
        self.mail_faults.clear()
        self.text_faults.clear()
        self.requests.clear()
        self.webhook_answers.clear()
        self._log.unlink(missing_ok=True)
        self._push_log.unlink(missing_ok=True)

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.mail_faults and self.mail_faults[0].startswith("rcpt "):
            return self.mail_faults.popleft().removeprefix("rcpt ")
        if self.mail_faults and self.mail_faults[0] == "drop before":
            self.mail_faults.popleft()
            server.transport.abort()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        fault = self.mail_faults.popleft() if self.mail_faults else ""
        if fault[:1].isdigit():
            return fault
        self.raw_mails.append(envelope.original_content)
        self.mails.append(message_from_bytes(envelope.original_content, policy=policy.default))
        if fault == "drop":
            server.transport.abort()
        elif fault == "stall":
            await self._stall()
        return "250 2.0.0 taken"

    async def http(self, scope, receive, send) -> None:
        """Twilio's and FCM's stand-ins behind the faults, and the receiver of webhooks under `/hook`."""
        request = Request(scope, receive)
        if request.url.path.startswith("/hook"):
            content = await request.body()
            self.requests.append((request.method, dict(request.headers), json.loads(content) if content else {}))
            status, answer = self.webhook_answers.popleft() if self.webhook_answers else (200, {"ok": True})
            await JSONResponse(answer, status)(scope, receive, send)
            return
        if request.url.path == "/token":
            await self._app(scope, receive, send)
            return
        fault = self.text_faults.popleft() if request.method == "POST" and self.text_faults else None
        if isinstance(fault, int):
            body = {"code": 20429 if fault == 429 else 20500, "message": "fault", "status": fault}
            await JSONResponse(body, fault)(scope, receive, send)
        elif fault == "stall":
            await self._stall()
            await Response(status_code=504)(scope, receive, send)
        elif fault == "taken 503":

            async def kept_to_itself(message: dict) -> None:
                pass

            await self._app(scope, receive, kept_to_itself)
            await Response(status_code=503)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@asynccontextmanager
async def running_providers(directory: Path) -> AsyncIterator[Providers]:
    providers = Providers(directory)
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: SMTP(providers, hostname="localhost"), "127.0.0.1", 0)
    providers.smtp_port = smtp.sockets[0].getsockname()[1]
    http = await loop.create_server(lambda: None, "127.0.0.1", 0)  # type: ignore[arg-type,return-value] # finds a port
    providers.twilio_port = http.sockets[0].getsockname()[1]
    http.close()
    providers.service_account = json.dumps(service_account(f"http://127.0.0.1:{providers.twilio_port}/token"))
    config = uvicorn.Config(
        providers.http, "127.0.0.1", providers.twilio_port, log_level="error", interface="asgi3", lifespan="off"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield providers
    server.should_exit = True
    await serving
    smtp.close()
