"""Stand-ins of the providers: a mail sink, Twilio's Messages resource, FCM's. They speak the real protocols.

Run as `python -m campaigns.cli.embedded.providers DIRECTORY SMTP_PORT HTTP_PORT ACCOUNT_SID AUTH_TOKEN`.
"""

import asyncio
import base64
import contextlib
import re
import sys
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import httpx2
import orjson
import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from twilio.request_validator import RequestValidator

E164 = re.compile(r"(whatsapp:)?\+[1-9]\d{6,14}")
PROJECT = "campaigns-dev"


class MailSink:
    """Takes every mail, and keeps each as a file of its own: doubles show."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keeps the mail, and says so only then."""
        name = f"{time.time_ns()}-{uuid4().hex[:8]}"
        unfinished = self.directory / f"{name}.part"
        unfinished.write_bytes(envelope.original_content or b"")
        unfinished.rename(self.directory / f"{name}.eml")
        return "250 2.0.0 kept"


def received_mails(directory: Path) -> Iterator[EmailMessage]:
    """Every mail in the sink, in the order in which they came."""
    for path in sorted(directory.glob("*.eml")):
        yield message_from_bytes(path.read_bytes(), policy=policy.default)


class Twilio:
    """Twilio's Messages resource: creates messages, and lists them by `To`."""

    def __init__(self, log: Path, account_sid: str, auth_token: str) -> None:
        self._log = log
        self._sid = account_sid
        self._credentials = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._validator = RequestValidator(auth_token)
        self._http = httpx2.AsyncClient(timeout=10)
        self._telling: set[asyncio.Task[None]] = set()
        log.parent.mkdir(parents=True, exist_ok=True)

    def routes(self) -> list[Route]:
        """Its part of the HTTP application."""
        path = f"/2010-04-01/Accounts/{self._sid}/Messages.json"
        return [Route(path, self.create, methods=["POST"]), Route(path, self.list, methods=["GET"])]

    async def create(self, request: Request) -> JSONResponse:
        """Takes a message, or refuses it as Twilio does."""
        if refused := self._unauthorized(request):
            return refused
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if not E164.fullmatch(form.get("To", "")):
            return _error(400, 21211, f"The 'To' number {form.get('To', '')} is not a valid phone number.")
        if not form.get("Body"):
            return _error(400, 21602, "Message body is required.")
        message = {
            "sid": f"SM{uuid4().hex}", "account_sid": self._sid, "to": form["To"], "from": form.get("From"),
            "body": form["Body"], "status": "queued", "direction": "outbound-api", "error_code": None,
            "date_created": time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime()),
        }  # fmt: skip
        with self._log.open("ab") as log:
            log.write(orjson.dumps(message) + b"\n")
        if url := form.get("StatusCallback"):
            telling = asyncio.create_task(self._tell(url, message))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
        return JSONResponse(message, 201)

    async def _tell(self, url: str, message: dict[str, Any]) -> None:
        """The status callbacks of a message that arrives, signed as Twilio's are."""
        for status in ("sent", "delivered"):
            form = {"MessageSid": message["sid"], "MessageStatus": status, "To": message["to"], "AccountSid": self._sid}
            headers = {"X-Twilio-Signature": self._validator.compute_signature(url, form)}
            with contextlib.suppress(httpx2.HTTPError):
                await self._http.post(url, data=form, headers=headers)

    async def list(self, request: Request) -> JSONResponse:
        """The messages to one number, or all."""
        if refused := self._unauthorized(request):
            return refused
        to = request.query_params.get("To")
        listed = [one for one in received(self._log) if to is None or one["to"] == to]
        return JSONResponse({"messages": listed, "page": 0, "page_size": len(listed), "next_page_uri": None})

    def _unauthorized(self, request: Request) -> JSONResponse | None:
        if request.headers.get("authorization") == f"Basic {self._credentials}":
            return None
        return _error(401, 20003, "Authenticate")


class Fcm:
    """FCM's HTTP v1, and the OAuth 2.0 token endpoint in front of it. A token `unregistered…` is no device's."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._token = uuid4().hex
        log.parent.mkdir(parents=True, exist_ok=True)

    def routes(self) -> list[Route]:
        """Its part of the HTTP application."""
        return [
            Route("/token", self.token, methods=["POST"]),
            Route("/v1/projects/{project}/messages:send", self.send, methods=["POST"]),
        ]

    async def token(self, request: Request) -> JSONResponse:
        """An access token for a signed assertion (RFC 7523)."""
        form = parse_qs((await request.body()).decode())
        if form.get("grant_type") != ["urn:ietf:params:oauth:grant-type:jwt-bearer"] or not form.get("assertion"):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse({"access_token": self._token, "expires_in": 3600, "token_type": "Bearer"})

    async def send(self, request: Request) -> JSONResponse:
        """Takes a message, or refuses it as FCM does."""
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return _google_error(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")
        message = orjson.loads(await request.body())["message"]
        if not message.get("token"):
            return _google_error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
        if message["token"].startswith("unregistered"):
            return _google_error(404, "NOT_FOUND", "UNREGISTERED")
        with self._log.open("ab") as log:
            log.write(orjson.dumps(message) + b"\n")
        return JSONResponse({"name": f"projects/{request.path_params['project']}/messages/{uuid4().hex}"})


def _google_error(status: int, name: str, code: str) -> JSONResponse:
    details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
    return JSONResponse({"error": {"code": status, "message": code, "status": name, "details": details}}, status)


def service_account(token_uri: str) -> dict[str, str]:
    """The key of a service account that is nobody's but this stand-in's."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": uuid4().hex,
        "private_key": pem.decode(),
        "client_email": f"campaigns@{PROJECT}.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }


def _error(status: int, code: int, message: str) -> JSONResponse:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return JSONResponse({"code": code, "message": message, "more_info": more, "status": status}, status)


def received(log: Path) -> list[dict[str, Any]]:
    """Every message that was taken, in order."""
    if not log.exists():
        return []
    return [orjson.loads(line) for line in log.read_bytes().splitlines() if line]


async def _serve(directory: Path, smtp_port: int, http_port: int, account_sid: str, auth_token: str) -> None:
    sink = MailSink(directory / "mail")
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: SMTP(sink, hostname="localhost", enable_SMTPUTF8=True), "127.0.0.1", smtp_port)
    twilio = Twilio(directory / "sms" / "messages.jsonl", account_sid, auth_token)
    app = Starlette(routes=[*twilio.routes(), *Fcm(directory / "push" / "messages.jsonl").routes()])
    config = uvicorn.Config(app, "127.0.0.1", http_port, log_level="warning")
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]))
