"""A mail as it goes over the wire (RFC 5322): headers that are encoded and never parsed, bodies in seven bits.

Seven bits, because a relay may re-encode what the next server does not take, and the signature would be false. What
stands in a subject or a name is somebody's words: the header block is held against the names that belong there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from types import MappingProxyType

import idna

from campaigns.activities.senders.base import Outgoing
from campaigns.models.values import utc_now

LINE = 998
"""RFC 5322, 2.1.1: the most characters that a line may have."""
FOLDED = 76
"""RFC 2047, 2: the most that a line with encoded words may have; and what lines should have anyway."""
ID_HEADER = "X-Campaigns-Message"
"""Bears the message's id, for services that put a Message-ID of their own in place of ours."""

_BODY_POLICY = SMTP.clone(cte_type="7bit", max_line_length=LINE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BODY_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_FIELD = re.compile(rb"([!-9;-~]+):")


class Unwritable(ValueError):
    """What was asked for is no mail."""


@dataclass(frozen=True)
class Mail:
    """A mail and its envelope; addresses have their domains in ASCII (RFC 5890)."""

    raw: bytes
    sender: str
    to: str
    needs_utf8: bool
    """An address has letters beyond ASCII before its @, so only a server with SMTPUTF8 (RFC 6531) takes it."""

    @property
    def domain(self) -> str:
        """The domain that it is from."""
        return self.sender.rpartition("@")[2]


def write_mail(outgoing: Outgoing, sender: str, id_headers: Mapping[str, str] = MappingProxyType({})) -> Mail:
    """Return the mail, its Message-ID fixed by the message's id. Raise Unwritable.

    `id_headers` are a service's own for an id of ours: the name, and the value around `{id}`.
    """
    name, address = parseaddr(sender)
    from_, to = _wire_address(address), _wire_address(outgoing.to)
    fields = {"From": _mailbox("From", name, from_), "To": to}
    if outgoing.reply_to:
        reply_name, reply_address = parseaddr(outgoing.reply_to)
        fields["Reply-To"] = _mailbox("Reply-To", reply_name, _wire_address(reply_address))
    fields["Subject"] = _text("Subject", outgoing.subject)
    fields["Date"] = format_datetime(utc_now())
    fields["Message-ID"] = f"<{outgoing.message_id}@{from_.rpartition('@')[2]}>"
    fields[ID_HEADER] = outgoing.message_id
    fields |= {name: value.format(id=outgoing.message_id) for name, value in id_headers.items()}
    if outgoing.unsubscribe_url:
        # RFC 2369 and RFC 8058. In one line each: mailbox providers read no folded or encoded ones.
        fields["List-Unsubscribe"] = f"<{outgoing.unsubscribe_url}>"
        fields["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    try:
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
        raw = head + _body(outgoing)
    except UnicodeError as error:
        raise Unwritable(f"holds what is no text: {error.reason if hasattr(error, 'reason') else error}") from None
    _check(raw, [*fields, *_BODY_FIELDS])
    return Mail(raw, from_, to, not head.isascii())


def _wire_address(address: str) -> str:
    local, _, domain = address.rpartition("@")
    if not local or not domain or _CONTROL.search(address) or any(mark in address for mark in ' <>,;:"()[]\\'):
        raise Unwritable("an address is none")
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        if domain.isascii():
            return address  # such as a name with an underscore, which is the server's to refuse
        raise Unwritable("the domain of an address is none") from None


def _mailbox(field: str, name: str, address: str) -> str:
    name = _line(name)
    if not name:
        return address
    if not _PLAIN_NAME.fullmatch(name) or "=?" in name or len(field) + len(name) + 4 > FOLDED:
        name = _quoted(name) if _fits(field, name) else _encoded(field, name)
    return f"{name} <{address}>" if len(name.rpartition("\n")[2]) + len(address) < FOLDED else f"{name}\r\n <{address}>"


def _fits(field: str, name: str) -> bool:
    return name.isascii() and "=?" not in name and len(field) + len(_quoted(name)) + 2 <= FOLDED


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(field: str, value: str) -> str:
    """Words as a header has them: folded where they are ASCII, else as encoded words (RFC 2047)."""
    value = _line(value)
    words = value.split(" ")
    # What looks like an encoded word and is none of ours would be decoded by whoever reads it.
    if not value.isascii() or "=?" in value or any(len(word) > FOLDED - len(field) - 2 for word in words):
        return _encoded(field, value)
    lines = [f"{field}: {words[0]}"]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > FOLDED:
            lines.append(f" {word}")
        else:
            lines[-1] += f" {word}"
    return "\r\n".join(lines).removeprefix(f"{field}: ")


def _encoded(field: str, value: str) -> str:
    try:
        return Header(value, "utf-8", maxlinelen=FOLDED - 1, header_name=field).encode(linesep="\r\n")
    except UnicodeError as error:
        raise Unwritable(f"{field} holds what is no text: {error}") from None


def _line(value: str) -> str:
    return " ".join(_CONTROL.sub(" ", value).split())


_BODY_FIELDS = ("Content-Type", "Content-Transfer-Encoding", "MIME-Version")


def _body(outgoing: Outgoing) -> bytes:
    """The text, the HTML, or both as alternatives (RFC 2046), behind the headers that belong to them."""
    body = EmailMessage(policy=_BODY_POLICY)
    html = outgoing.html
    if outgoing.text is not None or html is None:
        body.set_content(outgoing.text or "", cte=_cte(outgoing.text or ""))
        if html is not None:
            body.add_alternative(html, subtype="html", cte=_cte(html))
    else:
        body.set_content(html, subtype="html", cte=_cte(html))
    return body.as_bytes()


def _cte(text: str) -> str | None:
    """How the body is encoded; None leaves it to the library, which takes control characters as they are."""
    return "quoted-printable" if _BODY_CONTROL.search(text) else None


def _check(raw: bytes, expected: list[str]) -> None:
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    names = [match[1].decode() for line in lines if (match := _FIELD.match(line))]
    if len(names) != len(lines) or len(set(names)) != len(names) or not set(names) <= set(expected):
        raise Unwritable("a header would hold another one")
    if not body.isascii():
        raise Unwritable("the body is not in seven bits")
    if b"\n" in raw.replace(b"\r\n", b"") or b"\r" in raw.replace(b"\r\n", b""):
        raise Unwritable("a line ends in another way than lines of mail do")
    if any(len(line) > LINE for line in raw.split(b"\r\n")):
        raise Unwritable(f"a line has more than {LINE} characters")
