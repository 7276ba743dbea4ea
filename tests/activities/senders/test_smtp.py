"""Mail over real SMTP: the bytes on the wire, and what each fault of a server means."""

from email import message_from_bytes, policy

import pytest

from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, Refused, Unknown
from campaigns.activities.senders.mime import write_mail
from campaigns.activities.senders.smtp import SmtpSender
from campaigns.models.settings import SmtpServer
from tests.support.product import free_port
from tests.support.providers import Providers

MAIL = Outgoing("m1", "ann@example.com", subject="Grüße", text="Hello", html="<p>Hello</p>")


@pytest.fixture
async def sender(providers: Providers):
    sender = SmtpSender(SmtpServer(f"smtp://127.0.0.1:{providers.smtp_port}?starttls=never"), "Shop <shop@example.com>")
    yield sender
    await sender.close()


@pytest.mark.parametrize(
    ("fault", "result", "taken"),
    [
        (None, Accepted, 1),
        ("rcpt 550 no such user", Refused, 0),
        ("rcpt 451 later", NotSent, 0),
        ("drop before", NotSent, 0),
        ("554 refused", Refused, 0),
        ("451 later", NotSent, 0),
        ("drop", Unknown, 1),
    ],
)
async def test_what_a_fault_means(sender: SmtpSender, providers: Providers, fault, result, taken):
    for _ in range(2):
        # The second time over a connection that lay idle, where there is one.
        if fault:
            providers.mail_faults.append(fault)
        assert isinstance(await sender.send(MAIL), result)
    assert len(providers.mails) == 2 * taken
    assert isinstance(await sender.send(MAIL), Accepted)


async def test_a_server_that_stalls(sender: SmtpSender, providers: Providers, monkeypatch):
    monkeypatch.setattr("campaigns.activities.senders.smtp.TIMEOUT_S", 0.3)
    providers.stall_s = 1
    providers.mail_faults.append("stall")
    assert isinstance(await sender.send(MAIL), Unknown)


async def test_no_server_at_all():
    sender = SmtpSender(SmtpServer(f"smtp://127.0.0.1:{free_port()}"), "shop@example.com")
    assert isinstance(await sender.send(MAIL), NotSent)


async def test_a_server_without_the_tls_that_is_required(providers: Providers):
    sender = SmtpSender(SmtpServer(f"smtp://127.0.0.1:{providers.smtp_port}"), "shop@example.com")
    assert isinstance(await sender.send(MAIL), NotSent)
    assert providers.mails == []


async def test_connections_are_kept(sender: SmtpSender, providers: Providers):
    for _ in range(3):
        await sender.send(MAIL)
    assert len(sender._idle) == 1


def test_the_bytes_of_a_marketing_mail():
    url = "https://campaigns.example.com/u/" + "x" * 150
    outgoing = Outgoing(
        "m1", "ann@example.com", subject="Grüße\r\nBcc: x@example.com", text="ä" * 500, unsubscribe_url=url
    )
    raw = write_mail(outgoing, "Shöp <shop@example.com>").raw
    lines = raw.split(b"\r\n")
    assert f"List-Unsubscribe: <{url}>".encode() in lines
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines
    assert all(len(line) <= 998 for line in lines)
    assert b"\n" not in raw.replace(b"\r\n", b"")
    mail = message_from_bytes(raw, policy=policy.default)
    assert mail["Message-ID"] == "<m1@example.com>"
    assert mail["Subject"] == "Grüße Bcc: x@example.com"
    assert mail["Bcc"] is None
    assert mail["From"] == "Shöp <shop@example.com>"
    assert mail.get_content().strip() == "ä" * 500
