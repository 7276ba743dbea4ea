"""What is said of a channel elsewhere follows from its row."""

from typing import get_args

import pytest

from campaigns.models.addresses import CHECKS, Unsendable, address_of
from campaigns.models.channels import (
    CHANNELS,
    PERSONAL,
    TEMPLATED,
    TEXTS,
    PersonalChannel,
    template_channel,
    texted_from,
)
from campaigns.models.journey.steps import STEP_TYPES, MessageBase
from campaigns.models.settings import RATED


@pytest.mark.parametrize("name", CHANNELS)
def test_each_channel_is_known_wherever_it_has_to_be(name: str):
    channel = CHANNELS[name]
    assert channel.name == name
    assert issubclass(STEP_TYPES[name], MessageBase)
    assert set(channel.content) <= set(STEP_TYPES[name].model_fields)
    assert RATED[name] == (name,)
    assert channel.address is None or channel.address in CHECKS


def test_which_channels_are_alike():
    assert PERSONAL == get_args(PersonalChannel) == ("email", "sms", "whatsapp", "push")
    assert TEXTS == RATED["twilio"] == ("sms", "whatsapp")
    assert TEMPLATED == ("email", "sms", "push")
    assert template_channel("whatsapp") == "sms"


@pytest.mark.parametrize(
    ("sender", "texted"),
    [("+4420", ("sms", "+4420")), ("whatsapp:+4420", ("whatsapp", "+4420")), ("", ("sms", ""))],
)
def test_who_texts_is_known_by_the_prefix(sender: str, texted: tuple[str, str]):
    assert texted_from(sender, "twilio") == texted


@pytest.mark.parametrize(
    ("channel", "value", "address"),
    [
        ("email", " Ann@Example.com ", "Ann@example.com"),
        ("email", "ann", None),
        ("sms", "+44 20 7946 0958", "+442079460958"),
        ("whatsapp", "020 7946 0958", None),
        ("push", " token ", "token"),
        ("push", " ", None),
        ("push", "a\nb", None),
        ("push", "a" * 4097, None),
        ("sms", 4420, None),
    ],
)
def test_an_address_is_checked_by_its_kind(channel: str, value: object, address: str | None):
    expected = Unsendable("failed", "invalid_address") if address is None else address
    assert address_of(channel, {CHANNELS[channel].address or "": value}) == expected


def test_no_address():
    assert address_of("sms", {"email": "ann@example.com"}) == Unsendable("skipped", "no_address")
    assert address_of("webhook", {}) == ""
