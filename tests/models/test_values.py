"""Durations, and secrets in settings."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from campaigns.models.settings import Settings, SmtpServer
from campaigns.models.signing import Signing
from campaigns.models.values import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT2S", 2), ("P7D", 604800), ("P1W", 604800), ("P1DT2H3M4.5S", 93784.5), ("-P3D", -259200), ("PT0S", 0)],
)
def test_durations(text: str, seconds: float):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1Y", "P1M", "1D", "P1DT", "P1D2H", "PT1.5H", "P99999D", "PT1S ", "P1W1D"]
)
def test_no_durations(text: str):
    with pytest.raises(ValueError, match=r"duration|longer"):
        parse_duration(text)


@pytest.mark.parametrize(
    "field",
    [
        {"secret_key": "short"},
        {"smtp_url": "http://mail"},
        {"smtp_url": "smtp://mail?starttls=maybe"},
        {"database_url": "mysql://x"},
        {"port": 70000},
        {"mail_from": "nobody"},
    ],
)
def test_settings_that_are_refused(field: dict):
    with pytest.raises(ValidationError):
        Settings(**field)


def test_rate_limits():
    assert Settings(rate_limits="email=50, twilio=0.5").rates == {"email": 50, "twilio": 0.5}
    assert Settings().rates == {}
    for value in (
        "email",
        "email=",
        "email=0",
        "email=-1",
        "email=inf",
        "email=nan",
        "fax=1",
        "twilio=1,sms=2",
        "sms=1,",
    ):
        with pytest.raises(ValidationError):
            Settings(rate_limits=value)


def test_what_is_required_is_named():
    with pytest.raises(SystemExit, match="CAMPAIGNS_SECRET_KEY, CAMPAIGNS_API_KEY"):
        Settings().require("secret_key", "api_key")


def test_the_smtp_url():
    server = SmtpServer("smtp://us%40er:pa%3Ass@mail.example.com:2525?starttls=opportunistic")
    assert (server.host, server.port, server.user, server.password) == ("mail.example.com", 2525, "us@er", "pa:ss")
    assert (server.starttls, server.tls_from_start) == ("opportunistic", False)
    assert SmtpServer("smtp://mail").starttls == "require"
    assert SmtpServer("smtps://mail").port == 465


def test_links_cannot_be_forged():
    token = Signing("a" * 32).token("unsubscribe", "m1")
    assert Signing("a" * 32).value_of("unsubscribe", token) == "m1"
    assert Signing("b" * 32).value_of("unsubscribe", token) is None
    assert Signing("a" * 32).value_of("unsubscribe", token[:-1]) is None
    assert Signing("a" * 32).value_of("unsubscribe", "") is None
