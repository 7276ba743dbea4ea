"""An SMTP server and Twilio that fail by chance, each as they really do, and keep a log of what they took."""

import asyncio
import random
import threading
from collections import Counter
from email import message_from_bytes
from urllib.parse import parse_qs
from uuid import uuid4

import httpx2
import uvicorn
from aiosmtpd.smtp import SMTP
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator

SID, TOKEN = "AC" + "2" * 32, "f" * 32
MAIL_FAULTS = {
    "451 later": 0.06,
    "rcpt 450 busy": 0.04,
    "drop before": 0.02,
    "drop in": 0.01,
    "drop after": 0.01,
    "slow": 0.01,
}
TEXT_FAULTS = {429: 0.06, 503: 0.02, "taken 503": 0.02, "taken drop": 0.01, "slow": 0.01}


class FailingProviders:
    """Runs in a thread of its own. `mails` and `texts` count what was taken, by the id of the message."""

    def __init__(self, *, tells: bool = True) -> None:
        self.mails: Counter[str] = Counter()
        self.texts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.smtp_port = self.http_port = 0
        self._tells = tells
        self._listed: list[dict] = []
        self._chance = random.Random(7)
        self._validator = RequestValidator(TOKEN)
        self._telling: set[asyncio.Task] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> dict[str, str]:
        """Starts them; the settings that lead to them."""
        self._thread.start()
        self._ready.wait(30)
        return {
            "CAMPAIGNS_SMTP_URL": f"smtp://127.0.0.1:{self.smtp_port}?starttls=never",
            "CAMPAIGNS_TWILIO_BASE_URL": f"http://127.0.0.1:{self.http_port}",
            "CAMPAIGNS_TWILIO_ACCOUNT_SID": SID,
            "CAMPAIGNS_TWILIO_AUTH_TOKEN": TOKEN,
        }

    def _fault(self, faults: dict) -> str | int | None:
        drawn = self._chance.random()
        for fault, share in faults.items():
            drawn -= share
            if drawn < 0:
                self.faults[str(fault)] += 1
                return fault
        return None

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        """Fails before the data, or takes the recipient."""
        session.fault = self._fault(MAIL_FAULTS)
        if session.fault == "rcpt 450 busy":
            return "450 busy"
        if session.fault == "drop before":
            server.transport.abort()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        """Fails in the data or behind it, or takes the mail."""
        if session.fault == "451 later":
            return "451 later"
        if session.fault == "drop in":
            server.transport.abort()
            return "451 gone"
        mail = message_from_bytes(envelope.original_content)
        self.mails[mail["Message-ID"].strip("<>").partition("@")[0]] += 1
        if session.fault == "drop after":
            server.transport.abort()
        elif session.fault == "slow":
            await asyncio.sleep(3)
        return "250 2.0.0 taken"

    async def create(self, request: Request) -> Response:
        """Twilio's Messages resource: takes a message, or fails."""
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        fault = self._fault(TEXT_FAULTS)
        if isinstance(fault, int):
            return JSONResponse({"code": 20000 + fault, "message": "fault", "status": fault}, fault)
        url = form["StatusCallback"]
        message = {
            "sid": f"SM{uuid4().hex}", "to": form["To"], "from": form["From"], "body": form["Body"],
            "status": "queued", "date_created": None,
        }  # fmt: skip
        self.texts[url.rpartition("/")[2]] += 1
        self._listed.append(message)
        if self._tells:
            telling = asyncio.create_task(self._tell(url, message["sid"]))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
        if fault == "slow":
            await asyncio.sleep(3)
        if fault == "taken 503":
            return JSONResponse({"code": 20503, "message": "fault", "status": 503}, 503)
        if fault == "taken drop":
            raise ConnectionResetError
        return JSONResponse(message, 201)

    async def _tell(self, url: str, sid: str) -> None:
        """Callbacks that come late, twice and disordered."""
        statuses = ["sent", "delivered", "delivered"]
        self._chance.shuffle(statuses)
        for status in statuses:
            await asyncio.sleep(self._chance.random() * 2)
            form = {"MessageSid": sid, "MessageStatus": status}
            headers = {"X-Twilio-Signature": self._validator.compute_signature(url, form)}
            for _ in range(30):
                try:
                    if (await self._http.post(url, data=form, headers=headers)).status_code < 500:
                        break
                except httpx2.HTTPError:
                    pass
                await asyncio.sleep(1)

    async def list(self, request: Request) -> JSONResponse:
        """The messages to a number."""
        to = request.query_params.get("To")
        return JSONResponse({"messages": [one for one in self._listed if one["to"] == to], "next_page_uri": None})

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._http = httpx2.AsyncClient(timeout=10)
        smtp = await loop.create_server(lambda: SMTP(self, hostname="localhost"), "127.0.0.1", 0)
        self.smtp_port = smtp.sockets[0].getsockname()[1]
        path = f"/2010-04-01/Accounts/{SID}/Messages.json"
        app = Starlette(routes=[Route(path, self.create, methods=["POST"]), Route(path, self.list, methods=["GET"])])
        server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="critical"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        self.http_port = server.servers[0].sockets[0].getsockname()[1]
        self._ready.set()
        await serving
