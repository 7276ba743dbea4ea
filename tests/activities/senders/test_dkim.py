"""The bytes of a signed marketing mail, checked by the library and by a verifier that shares nothing with it."""

import base64
import hashlib
import re
from email import message_from_bytes, policy

import dkim
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from campaigns.activities.senders.base import Accepted, Outgoing
from campaigns.activities.senders.smtp import Dkim, SmtpSender
from campaigns.models.settings import SmtpServer
from tests.support.providers import Providers

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
UNSUBSCRIBE = "https://campaigns.example/u/" + "x" * 150
MAIL = Outgoing(
    "m1",
    "ann@example.com",
    subject="Grüße aus Köln " * 6,
    html="<p>Grüße</p>",
    text="Grüße",
    unsubscribe_url=UNSUBSCRIBE,
)


async def sent(providers: Providers) -> bytes:
    server = SmtpServer(f"smtp://127.0.0.1:{providers.smtp_port}?starttls=never")
    sender = SmtpSender(server, "Shop <shop@example.com>", Dkim("s1", PEM))
    assert isinstance(await sender.send(MAIL), Accepted)
    await sender.close()
    return providers.raw_mails[0]


async def test_the_library_verifies_it(providers: Providers):
    raw = await sent(providers)
    public = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def dns(name: bytes, timeout: int = 5) -> bytes:
        assert name == b"s1._domainkey.example.com."
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)

    assert dkim.verify(raw, dnsfunc=dns)
    assert not dkim.verify(raw.replace(b"One-Click", b"Two-Clicks"), dnsfunc=dns)


async def test_a_verifier_of_its_own_verifies_it(providers: Providers):
    """RFC 6376, 3.4 and 3.7, relaxed/relaxed."""
    raw = await sent(providers)
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = re.findall(rb"^[^\s:]+:(?:[^\r\n]|\r\n[ \t])*", head, re.MULTILINE)
    named = {field.partition(b":")[0].lower(): field for field in fields}
    tags = dict(
        part.strip().split("=", 1)
        for part in re.sub(r"\s+", "", named[b"dkim-signature"].decode().partition(":")[2]).split(";")
        if part
    )
    signed = tags["h"].split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post", "from", "message-id"} <= set(signed)
    assert (tags["d"], tags["s"], tags["c"]) == ("example.com", "s1", "relaxed/relaxed")
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    canonical = b"\r\n".join(lines).rstrip(b"\r\n") + b"\r\n"
    assert base64.b64encode(hashlib.sha256(canonical).digest()).decode() == tags["bh"]

    def relaxed(field: bytes) -> bytes:
        name, _, value = field.partition(b":")
        return name.lower() + b":" + re.sub(rb"\s+", b" ", value.replace(b"\r\n", b"")).strip()

    unsigned = re.sub(rb"([;\s]b=)[^;]*", rb"\1", named[b"dkim-signature"])
    over = b"".join(relaxed(named[name.encode()]) + b"\r\n" for name in signed) + relaxed(unsigned)
    KEY.public_key().verify(base64.b64decode(tags["b"]), over, padding.PKCS1v15(), hashes.SHA256())


async def test_the_headers_of_rfc_8058_are_one_line_each(providers: Providers):
    raw = await sent(providers)
    assert f"\r\nList-Unsubscribe: <{UNSUBSCRIBE}>\r\n".encode() in raw
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw
    parsed = message_from_bytes(raw, policy=policy.default)
    assert parsed["Subject"] == " ".join(MAIL.subject.split())
    assert parsed.get_body(("plain",)).get_content().strip() == "Grüße"


def test_what_is_no_key_is_said(tmp_path):
    with pytest.raises(ValueError, match="not a private RSA key"):
        Dkim("s1", "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----")
    with pytest.raises(OSError, match="No such file"):
        Dkim("s1", str(tmp_path / "none.pem"))
    (tmp_path / "key.pem").write_text(PEM)
    Dkim("s1", str(tmp_path / "key.pem"))
    Dkim("s1", PEM.replace("\n", "\\n"))
