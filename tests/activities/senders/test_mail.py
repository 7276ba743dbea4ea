"""Whatever validation lets through goes out as the RFCs have it, means the same when it is read, and raises nothing."""

import asyncio
import base64
import re
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import parseaddr

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, OwnFault, Refused
from campaigns.activities.senders.mime import Unwritable, write_mail
from campaigns.activities.senders.smtp import Dkim, SmtpSender
from campaigns.models.journey.steps import mailbox
from campaigns.models.settings import SmtpServer
from tests.support.strict_smtp import StrictServer, strict_server

KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC = base64.b64encode(
    KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
)
INJECTION = "Hi =?utf-8?q?=0D=0ABcc:_eve@example.com=0D=0A=0D=0A<h1>evil?="

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.sampled_from(
    [
        "",
        INJECTION,
        "Grüße " * 40,
        "x" * 2_000,
        "日本語" * 100,
        "a\r\nBcc: eve@example.com",
        "👩‍👩‍👧 family",
        '"Ann" \\ <b>',
        "a  b",
    ]
)
bodies = st.text(st.characters(exclude_categories=["Cs"]), max_size=2_000) | st.sampled_from(
    ["", ".", "..\r\n.\r\n.", "x" * 5_000, "ä" * 5_000, "a\0b\rc\x0bd", "From me\n\n", "日本語\n" * 50]
)
local_parts = st.sampled_from(["ann", "o'neil+tag", "ann.b", "jörg", "用户"])
domains = st.sampled_from(
    ["example.com", "bücher.example", "xn--bcher-kva.example", "sub_domain.example", "faß.example"]
)
addresses = st.builds("{}@{}".format, local_parts, domains)


def plain(text: str) -> str:
    """What of a header's words can arrive: without control characters, white space as one space."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())


def read_word(mail: bytes, field: str) -> str:
    """The header as RFC 2047 says: by the library's other parser, that of before 2012."""
    return str(make_header(decode_header(message_from_bytes(mail)[field] or "")))


def valid(address: str) -> bool:
    try:
        mailbox(address)
    except ValueError:
        return False
    return True


def no_dns(name: bytes, timeout: int = 5) -> bytes:
    return b"v=DKIM1; k=rsa; p=" + PUBLIC


def check_mail(server: StrictServer, outgoing: Outgoing) -> None:
    assert server.breaches == []
    _, to, raw = server.mails[-1]
    head = raw.partition(b"\r\n\r\n")[0]
    assert re.findall(rb"^bcc:", head, re.IGNORECASE | re.MULTILINE) == []
    for word in re.findall(rb"=\?[^?]+\?[bq]\?[^?]*\?=", head, re.IGNORECASE):
        assert len(word) <= 75
    # The library's own parser reads raw UTF-8 in no header; what is in it is looked at by bytes.
    if head.isascii():
        assert plain(read_word(raw, "Subject")) == plain(outgoing.subject)
    assert b"\r\nX-Campaigns-Message: m1\r\n" in raw
    mail = message_from_bytes(raw, policy=policy.default)
    text = mail.get_body(("plain",))
    if outgoing.text is not None:
        sent = outgoing.text or ""
        ended = sent if sent.endswith(("\r", "\n")) else f"{sent}\n"  # a mail's text ends with its line
        assert text.get_content().splitlines() == ended.splitlines() or not sent.strip("\r\n")
    assert dkim.verify(raw, dnsfunc=no_dns, minkey=1024)
    assert to.rpartition("@")[0] == outgoing.to.rpartition("@")[0]
    assert to.rpartition("@")[2].isascii()


@pytest.mark.parametrize(
    "features", [{}, {"smtputf8": False, "eightbitmime": False, "size": 20_000}], ids=["all", "none"]
)
async def test_what_validation_lets_through_arrives(features):
    async with strict_server(**features) as server:
        sender = SmtpSender(
            SmtpServer(f"smtp://127.0.0.1:{server.port}?starttls=never"), "shop@example.com", Dkim("s", PEM)
        )
        seen = {"accepted": 0, "refused": 0}

        async def check(outgoing: Outgoing) -> None:
            before = len(server.mails)
            result = await sender.send(outgoing)
            needs_utf8 = not all(
                parseaddr(one)[1].rpartition("@")[0].isascii()
                for one in (outgoing.to, outgoing.sender, outgoing.reply_to or "")
            )
            if isinstance(result, Refused):
                seen["refused"] += 1
                assert len(server.mails) == before
                assert not result.bad_address
                assert (needs_utf8 and not server.smtputf8) or "bytes, and the mail server takes" in result.reason
                return
            seen["accepted"] += 1
            assert isinstance(result, Accepted)
            check_mail(server, outgoing)

        loop = asyncio.get_running_loop()

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(addresses, words, addresses, words, bodies, st.none() | bodies, st.none() | addresses, st.booleans())
        @example("ann@example.com", "", "ann@example.com", "", "\x0c", None, None, False)
        @example("ann@example.com", INJECTION, "ann@example.com", INJECTION, "Hi", None, None, True)
        @example("用户@bücher.example", "Shöp", "jörg@faß.example", "ß", "ä", "<p>ä</p>", "jörg@faß.example", False)
        def run(shop, name, to, subject, text, html, reply_to, marketing):
            name = plain(name)[:200]
            quoted = name.replace("\\", "").replace('"', "")
            from_ = f'"{quoted}" <{shop}>' if quoted else shop
            if not valid(from_):
                return
            url = "https://campaigns.example/u/" + "x" * 200 if marketing else None
            mail = Outgoing("m1", to, from_, reply_to, subject, html, text, unsubscribe_url=url)
            asyncio.run_coroutine_threadsafe(check(mail), loop).result()

        await asyncio.to_thread(run)
        await sender.close()
    assert seen["accepted"] > 30, seen
    assert bool(seen["refused"]) == bool(features), seen


@pytest.mark.parametrize("name", [INJECTION, "Shop, Inc.", 'The "Shop"', "Shöp " * 30, "", "=?utf-8?b?QQ==?="])
def test_names_are_written_as_they_are(name: str):
    raw = write_mail(
        Outgoing("m1", "ann@example.com", subject=name, text="x"), f'"{name.replace(chr(34), "")}" <a@b.example>'
    ).raw
    shown, address = parseaddr(message_from_bytes(raw)["From"].replace("\r\n", ""))
    assert (str(make_header(decode_header(shown))), address) == (plain(name.replace('"', "")), "a@b.example")
    assert read_word(raw, "Subject") == plain(name)


@pytest.mark.parametrize(
    ("address", "wire"),
    [
        ("ann@bücher.example", "ann@xn--bcher-kva.example"), ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@faß.example", "ann@xn--fa-hia.example"), ("ann@EXAMPLE.com", "ann@example.com"),
    ],
)  # fmt: skip
def test_domains_go_out_in_ascii(address: str, wire: str):
    mail = write_mail(Outgoing("m1", address, text="x"), f"Shop <{address}>")
    assert (mail.to, mail.sender, mail.needs_utf8) == (wire, wire, False)
    assert f"@{wire.partition('@')[2]}>\r\n".encode() in mail.raw


@pytest.mark.parametrize(
    "to", ["ann", "ann@", "@b", "a b@example.com", "a@b>c", "a@b\r\nRCPT TO:<eve@example.com>", "a@\u200b"]
)
def test_what_is_no_address_is_no_mail(to: str):
    with pytest.raises(Unwritable):
        write_mail(Outgoing("m1", to, text="x"), "shop@example.com")


async def test_what_is_no_text_is_refused():
    sender = SmtpSender(SmtpServer("smtp://127.0.0.1:1"), "shop@example.com")
    for field in ("subject", "text", "html"):
        result = await sender.send(Outgoing("m1", "ann@example.com", **{field: "\ud800"}))
        assert isinstance(result, Refused)
        assert "cannot be written as a mail" in result.reason


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("554 Message rejected: Email address is not verified.", OwnFault),  # Amazon SES, at the end of DATA
        ("rcpt 554 5.7.1 <ann@example.com>: Relay access denied", OwnFault),  # Postfix
        ("rcpt 550 5.7.1 Unable to relay", Refused),
        ("rcpt 530 5.7.0 Authentication required", OwnFault),
        ("550 5.7.1 Sending is paused for this account", OwnFault),
        ("rcpt 550 5.1.1 no such user", Refused),
        ("554 5.7.1 spam", Refused),
        ("451 4.7.1 Greylisted", NotSent),
    ],
)
async def test_our_own_faults_wherever_they_are_said(providers, fault: str, expected: type):
    sender = SmtpSender(SmtpServer(f"smtp://127.0.0.1:{providers.smtp_port}?starttls=never"), "shop@example.com")
    providers.mail_faults.append(fault)
    assert isinstance(await sender.send(Outgoing("m1", "ann@example.com", text="x")), expected)
    await sender.close()
