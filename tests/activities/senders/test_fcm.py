"""Push by FCM's HTTP v1, through its stand-in."""

import json

import pytest

from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, OwnFault, Refused, Unknown
from campaigns.activities.senders.fcm import FcmSender, read_credentials


@pytest.fixture
async def sender(providers):
    sender = FcmSender(read_credentials(providers.service_account), f"http://127.0.0.1:{providers.twilio_port}")
    yield sender
    await sender.close()


async def test_a_message_and_its_identity(sender, providers):
    result = await sender.send(Outgoing("m-1", "token", title="Title", text="Body", link="app://cart"))
    assert isinstance(result, Accepted)
    assert result.provider_id.startswith("projects/campaigns-dev/messages/")
    (message,) = providers.pushes
    assert message["notification"] == {"title": "Title", "body": "Body"}
    assert message["data"] == {"message_id": "m-1", "link": "app://cart"}
    assert message["android"]["notification"]["tag"] == message["apns"]["headers"]["apns-collapse-id"] == "m-1"
    assert "fcm_options" not in message["webpush"]  # which takes https links alone


async def test_a_device_that_is_gone(sender):
    assert await sender.send(Outgoing("m", "unregistered-1")) == Refused("UNREGISTERED: UNREGISTERED", bad_address=True)


@pytest.mark.parametrize(
    ("fault", "expected"), [(429, NotSent), (503, NotSent), (500, Unknown), (403, OwnFault), ("stall", Unknown)]
)
async def test_what_fails(sender, providers, monkeypatch, fault, expected):
    providers.text_faults.append(fault)
    providers.stall_s = 0.1
    assert isinstance(await sender.send(Outgoing("m", "token")), expected)
    providers.stall_s = 60.0


async def test_nobody_there(providers):
    info = read_credentials(providers.service_account)
    for credentials, url in ((info, "http://127.0.0.1:1"), ({**info, "token_uri": "http://127.0.0.1:1/token"}, None)):
        sender = FcmSender(credentials, url)
        result = await sender.send(Outgoing("m", "token"))
        await sender.close()
        assert isinstance(result, NotSent)
        assert result.outage


def test_credentials_that_are_none(tmp_path, providers):
    file = tmp_path / "key.json"
    file.write_text(providers.service_account)
    assert read_credentials(str(file))["project_id"] == "campaigns-dev"
    for wrong in ("{}", "{", json.dumps({**json.loads(providers.service_account), "project_id": None})):
        with pytest.raises(ValueError):  # noqa: PT011 - of three libraries
            read_credentials(wrong)
    with pytest.raises(OSError, match="No such file"):
        read_credentials(str(tmp_path / "nothing"))
