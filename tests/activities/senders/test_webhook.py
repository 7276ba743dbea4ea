"""Webhook requests: what they reach, what comes of each answer."""

import asyncio
import base64

import pytest
import standardwebhooks

from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, Refused
from campaigns.activities.senders.webhook import WebhookSender, is_global
from tests.support.providers import Providers


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/hook", "http://localhost:{port}/hook", "http://[::1]:{port}/hook", "http://0.0.0.0:{port}/hook",
        "http://2130706433:{port}/hook", "http://127.1:{port}/hook", "http://[::ffff:127.0.0.1]:{port}/hook",
        "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://169.254.169.254/latest", "http://10.0.0.1/", "http://224.0.0.1/",
    ],
)  # fmt: skip
async def test_it_reaches_nothing_inside(providers, url):
    sender = WebhookSender()
    try:
        result = await sender.send(Outgoing("m", url.format(port=providers.twilio_port), method="POST"))
    finally:
        await sender.close()
    assert isinstance(result, Refused), result
    assert "not global" in result.reason or "not a canonical IPv4 address" in result.reason
    assert providers.requests == []


@pytest.mark.parametrize(("address", "expected"), [("8.8.8.8", True), ("2606:4700::1111", True), ("192.168.1.1", False), ("fe80::1%eth0", False), ("100.64.0.1", False)])  # fmt: skip
def test_what_is_global(address, expected):
    assert is_global(address) is expected


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (200, {"a": 1}, Accepted(response={"a": 1})),
        (201, [1], Accepted(response=[1])),
        (302, {}, Refused),
        (400, {}, Refused),
        (410, {}, Refused),
        (408, {}, NotSent),
        (429, {}, NotSent),
        (500, {}, NotSent),
        (503, {}, NotSent),
        (200, {"big": "x" * 70_000}, Accepted(response=None)),
    ],
)
async def test_what_comes_of_an_answer(providers, status, answer, expected):
    sender = WebhookSender(allow_internal=True)
    providers.webhook_answers.append((status, answer))
    url = f"http://127.0.0.1:{providers.twilio_port}/hook"
    try:
        result = await sender.send(Outgoing("m-1", url, method="PUT", text='{"b":2}', headers={"X-A": "b"}))
    finally:
        await sender.close()
    if isinstance(expected, type):
        assert isinstance(result, expected), result
    else:
        assert result == expected
    ((method, headers, body),) = providers.requests
    assert (method, body, headers["webhook-id"], headers["x-a"]) == ("PUT", {"b": 2}, "m-1", "b")


async def test_nobody_there_and_no_url():
    sender = WebhookSender(allow_internal=True)
    assert isinstance(await sender.send(Outgoing("m", "http://127.0.0.1:1/", method="GET")), NotSent)
    assert isinstance(await sender.send(Outgoing("m", "http://nowhere.invalid/", method="GET")), NotSent)
    assert isinstance(await sender.send(Outgoing("m", "http://[half", method="GET")), Refused)
    assert isinstance(
        await sender.send(Outgoing("m", "http://127.0.0.1:1/", method="GET", headers={"A": "b\nc"})), Refused | NotSent
    )
    await sender.close()


async def test_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("campaigns.activities.senders.webhook.TIMEOUT_S", 0.2)
    server = await asyncio.start_server(lambda *_: asyncio.sleep(5), "127.0.0.1", 0)
    sender = WebhookSender(allow_internal=True)
    port = server.sockets[0].getsockname()[1]
    # A receiver knows a double by its id, so it is tried again.
    assert isinstance(await sender.send(Outgoing("m", f"http://127.0.0.1:{port}/", method="POST")), NotSent)
    await sender.close()
    server.close()


async def test_requests_are_signed_by_standard_webhooks(providers: Providers):
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    sender = WebhookSender(allow_internal=True, secret=secret)
    url = f"http://127.0.0.1:{providers.twilio_port}/hook"
    for text in ('{"a": "ü"}', None):
        await sender.send(Outgoing("m1", url, method="POST", text=text))
        _, headers, _ = providers.requests.pop()
        assert headers["webhook-id"] == "m1"
        standardwebhooks.Webhook(secret).verify(text or "", headers, json_parse=False)
    await sender.close()
