"""Text messages over Twilio's HTTP API, and what each fault means."""

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, OwnFault, Refused, Unknown
from campaigns.activities.senders.twilio.send import TwilioSender
from tests.support.product import free_port
from tests.support.providers import Providers

TEXT = Outgoing("m1", "+12025550123", text="Hello")


@pytest.fixture
async def sender(providers: Providers):
    sender = TwilioSender(providers.sid, providers.token, "+12025550100", f"http://127.0.0.1:{providers.twilio_port}")
    yield sender
    await sender.close()


async def test_accepted(sender: TwilioSender, providers: Providers):
    result = await sender.send(TEXT)
    (text,) = providers.texts
    assert result == Accepted(text["sid"])
    assert (text["to"], text["from"], text["body"]) == ("+12025550123", "+12025550100", "Hello")


@pytest.mark.parametrize(("fault", "result"), [(429, NotSent), (500, Unknown), (503, Unknown), (400, Refused)])
async def test_what_an_answer_means(sender: TwilioSender, providers: Providers, fault: int, result: type):
    providers.text_faults.append(fault)
    assert isinstance(await sender.send(TEXT), result)
    assert providers.texts == []  # one try, and no more


async def test_no_answer(sender: TwilioSender, providers: Providers, monkeypatch):
    monkeypatch.setattr("campaigns.activities.senders.twilio.send.TIMEOUT_S", 0.3)
    providers.stall_s = 1
    providers.text_faults.append("stall")
    assert isinstance(await sender.send(TEXT), Unknown)


async def test_refusals(sender: TwilioSender, providers: Providers):
    result = await sender.send(Outgoing("m1", "12", text="Hello"))
    assert isinstance(result, Refused)
    assert result.bad_address
    wrong = TwilioSender(providers.sid, "wrong", "+12025550100", f"http://127.0.0.1:{providers.twilio_port}")
    assert isinstance(await wrong.send(TEXT), OwnFault)
    await wrong.close()


async def test_no_server_at_all():
    sender = TwilioSender("AC1", "token", "+12025550100", f"http://127.0.0.1:{free_port()}")
    assert isinstance(await sender.send(TEXT), NotSent)
    await sender.close()


async def test_twilio_is_asked_what_it_has(sender: TwilioSender, providers: Providers):
    since = datetime.now(UTC)
    await sender.send(TEXT)
    await sender.send(Outgoing("m2", TEXT.to, text="Another"))
    await sender.send(Outgoing("m3", "+12025550199", text="Hello"))
    assert await sender.find(TEXT.to, "Hello", since) == [providers.texts[0]["sid"]]
    assert await sender.find(TEXT.to, "Hello", since + timedelta(hours=1)) == []
    assert await sender.find("+12025550111", "Hello", since) == []
