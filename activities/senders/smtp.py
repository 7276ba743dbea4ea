"""Mail by SMTP (RFC 5321), one recipient a transaction, over connections that are kept open."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import aiosmtplib
import dkim

from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, OwnFault, Refused, Result, Unknown
from campaigns.activities.senders.mime import Mail, Unwritable, write_mail
from campaigns.models.settings import SmtpServer

TIMEOUT_S = 15
MAX_IDLE_S = 30
_STATUS = re.compile(r"5\.(\d{1,3})\.\d{1,3}\b")
_NOBODY = re.compile(
    r"no such|unknown|n[o']t exist|invalid|unavailable|not found|no mailbox|disabled|inactive", re.IGNORECASE
)
_OWN_FAULT = re.compile(
    r"relay(ing)?( access)? (is )?(denied|not (permitted|allowed))|not permitted to relay"
    r"|(address|domain|identity) is not verified|authentication (is )?required|not authenticated"
    r"|sending (is |has been )?(paused|disabled|suspended)|account (is |has been )?(suspended|disabled|closed)",
    re.IGNORECASE,
)
"""What servers say, wherever in the protocol, when it is us whom they do not serve."""
_LOST = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, aiosmtplib.SMTPConnectError, OSError)


@dataclass
class _Idle:
    connection: aiosmtplib.SMTP
    since: float


class Dkim:
    """Signs mail (RFC 6376) for the domain that it is from, with one RSA key under one selector."""

    HEADERS = (
        b"from", b"to", b"subject", b"date", b"message-id", b"reply-to", b"mime-version", b"content-type",
        b"content-transfer-encoding", b"x-campaigns-message", b"list-unsubscribe", b"list-unsubscribe-post",
    )  # fmt: skip
    """RFC 8058, 4: a signature must cover both List-Unsubscribe headers."""

    def __init__(self, selector: str, key: str) -> None:
        """`key` is the private key in PEM, or the path of its file. Raises OSError or ValueError where it is none."""
        pem = key if key.lstrip().startswith("-----BEGIN") else Path(key).read_text()
        self._selector = selector.encode()
        # Some environments hold line breaks as two characters.
        self._key = pem.replace("\\n", "\n").encode()
        try:
            self.signed(b"From: a@example.com\r\n\r\n", "example.com")
        except (dkim.DKIMException, ValueError, TypeError) as error:
            raise ValueError(f"is not a private RSA key in PEM: {error}") from None

    def signed(self, raw: bytes, domain: str) -> bytes:
        """The mail behind its signature."""
        present = {line.partition(b":")[0].lower() for line in raw.partition(b"\r\n\r\n")[0].split(b"\r\n")}
        header = dkim.sign(
            raw,
            self._selector,
            domain.encode(),
            self._key,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[name for name in self.HEADERS if name in present],
        )
        return bytes(header) + raw


class SmtpSender:
    """Sends mail through one server, signed where there is a key."""

    def __init__(
        self, server: SmtpServer, mail_from: str, dkim: Dkim | None = None, id_headers: Mapping[str, str] | None = None
    ) -> None:
        """`id_headers` are those by which the services that send the mail keep an id of ours."""
        self._server = server
        self._mail_from = mail_from
        self._dkim = dkim
        self._id_headers = id_headers or {}
        self._idle: list[_Idle] = []

    async def send(self, outgoing: Outgoing) -> Result:
        """Tries once; only a line that breaks while the data is under way leaves the outcome unknown."""
        try:
            mail = self._signed(write_mail(outgoing, outgoing.sender or self._mail_from, self._id_headers))
        except (Unwritable, dkim.DKIMException) as error:
            return Refused(f"cannot be written as a mail: {error}")
        try:
            connection = await self._ready_connection(mail)
        except Unwritable as error:
            return Refused(str(error))
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPAuthenticationError) as error:
            # Whoever the recipient is: the server does not take this sender, or not from us.
            reason = f"{error.code} {error.message}"[:500]
            return OwnFault(reason) if error.code >= 500 else NotSent(reason)
        except (aiosmtplib.SMTPException, OSError) as error:
            return NotSent(f"no connection: {error}", outage=True)
        return await self._transfer(connection, mail)

    def _signed(self, mail: Mail) -> Mail:
        return replace(mail, raw=self._dkim.signed(mail.raw, mail.domain)) if self._dkim else mail

    async def close(self) -> None:
        """Closes the idle connections."""
        for idle in self._idle:
            idle.connection.close()
        self._idle.clear()

    async def _ready_connection(self, mail: Mail) -> aiosmtplib.SMTP:
        """A connection on which MAIL FROM was accepted: one that lay idle, if it still works, else a new one.

        Raise Unwritable for a mail that this server takes from nobody.
        """
        while self._idle:
            idle = self._idle.pop()
            if time.monotonic() - idle.since > MAX_IDLE_S:
                idle.connection.close()
                continue
            try:
                await self._begin(idle.connection, mail)
            except Unwritable:
                self._idle.append(idle)
                raise
            except (*_LOST, aiosmtplib.SMTPException):
                idle.connection.close()
                continue
            return idle.connection
        connection = await self._connect()
        try:
            await self._begin(connection, mail)
        except Unwritable:
            self._idle.append(_Idle(connection, time.monotonic()))
            raise
        except BaseException:
            connection.close()
            raise
        return connection

    async def _begin(self, connection: aiosmtplib.SMTP, mail: Mail) -> None:
        if connection.is_ehlo_or_helo_needed:
            try:
                await connection.ehlo()
            except aiosmtplib.SMTPHeloError:
                await connection.helo()
        if mail.needs_utf8 and not connection.supports_extension("smtputf8"):
            raise Unwritable("the mail server takes no address with letters beyond ASCII (SMTPUTF8)")
        # RFC 1870
        limit = connection.esmtp_extensions.get("size", "")
        if limit.isdigit() and 0 < int(limit) < len(mail.raw):
            raise Unwritable(f"has {len(mail.raw)} bytes, and the mail server takes {limit}")
        options = ["SMTPUTF8", "BODY=8BITMIME"] if mail.needs_utf8 else []
        await connection.mail(mail.sender, options=options, encoding="utf-8")

    async def _connect(self) -> aiosmtplib.SMTP:
        server = self._server
        connection = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.tls_from_start,
            start_tls={"require": True, "never": False}.get(server.starttls) if not server.tls_from_start else False,
            timeout=TIMEOUT_S,
        )
        await connection.connect()
        return connection

    async def _transfer(self, connection: aiosmtplib.SMTP, mail: Mail) -> Result:
        try:
            await connection.rcpt(mail.to, encoding="utf-8")
        except aiosmtplib.SMTPRecipientRefused as error:
            await self._keep(connection, reset=True)
            return _refusal(error.code, error.message, of_recipient=True)
        except (*_LOST, aiosmtplib.SMTPException) as error:
            connection.close()
            return NotSent(f"before the data: {error}", outage=True)
        try:
            reply = await connection.data(mail.raw)
        except aiosmtplib.SMTPDataError as error:
            await self._keep(connection, reset=True)
            return _refusal(error.code, error.message)
        except (*_LOST, aiosmtplib.SMTPException) as error:
            connection.close()
            return Unknown(f"the line broke in the data: {error}")
        except BaseException:
            connection.close()
            raise
        await self._keep(connection)
        return Accepted(reply.message[:200])

    async def _keep(self, connection: aiosmtplib.SMTP, *, reset: bool = False) -> None:
        try:
            if reset:
                await connection.rset()
        except (*_LOST, aiosmtplib.SMTPException):
            connection.close()
            return
        self._idle.append(_Idle(connection, time.monotonic()))


def _refusal(code: int, message: str, *, of_recipient: bool = False) -> Result:
    # RFC 5321, 4.2.1: 4yz is transient, and the message was not taken; 5yz is permanent.
    reason = f"{code} {message}"[:500]
    if 400 <= code < 500:
        return NotSent(reason)
    if code == 530 or _OWN_FAULT.search(message):
        return OwnFault(reason)
    # RFC 3463, 3.2: X.1.Z is about the address. A bare 550, 551 or 553 at RCPT may be (RFC 5321, 4.3.2), or may say
    # that our server is blocked, which is no reason to suppress anybody: its words decide.
    status = _STATUS.match(message)
    about_address = status[1] == "1" if status else code in (550, 551, 553) and bool(_NOBODY.search(message))
    return Refused(reason, bad_address=of_recipient and about_address)
