"""The channels of messages, a row each: all that is said of a channel elsewhere follows from its row.

A new channel is a row here, a sender, and its line in `workers/senders.py`; and a step's model where its fields differ.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

_OF_MAIL = ("Delivered", "Opened", "Link Clicked", "Bounced", "Marked as Spam", "Unsubscribed")


@dataclass(frozen=True)
class Channel:
    """A way to reach a person, or another service."""

    name: str
    """Also the type of its steps."""
    title: str
    """How the names of its events begin: `Email Delivered`."""
    content: tuple[str, ...]
    """The fields of its steps that a template stands for; channels of the same content share their templates."""
    address: str | None = None
    """The customer's attribute that holds the address; None where the step itself says where it goes."""
    events: tuple[str, ...] = ()
    """What providers and readers tell of its messages."""
    account: str | None = None
    """The provider whose rate limit it shares with others."""
    prefix: str = ""
    """What the provider wants before an address."""


CHANNELS = {
    channel.name: channel
    for channel in (
        Channel("email", "Email", ("subject", "html", "text"), "email", _OF_MAIL),
        Channel("sms", "SMS", ("body",), "phone", ("Delivered", "Failed"), account="twilio"),
        Channel(
            "whatsapp", "WhatsApp", ("body",), "phone", ("Delivered", "Opened", "Failed"),
            account="twilio", prefix="whatsapp:",
        ),
        Channel("push", "Push", ("title", "body", "link"), "pushToken"),
        Channel("webhook", "Webhook", ("url",)),
    )
}  # fmt: skip
PERSONAL = tuple(channel.name for channel in CHANNELS.values() if channel.address is not None)
"""Those that reach a person: consents, quiet hours, caps and tests of templates are about these."""
TEXTS = tuple(channel.name for channel in CHANNELS.values() if channel.content == ("body",))
"""Those whose messages are a text alone."""


class ConsentStatus(StrEnum):
    """What a person said last about a channel, or a topic of it."""

    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    PENDING = "pending"
    """They asked for it, and are still to confirm that."""


def template_channel(channel: str) -> str:
    """Return the channel that names the templates of this one: the first of the same content."""
    content = CHANNELS[channel].content
    return next(other.name for other in CHANNELS.values() if other.content == content)


def texted_from(sender: str, account: str) -> tuple[str, str]:
    """Return the channel and the phone number of a sender as the provider of that account writes it."""
    texting = [channel for channel in CHANNELS.values() if channel.account == account]
    longest = max(texting, key=lambda channel: len(channel.prefix) if sender.startswith(channel.prefix) else -1)
    return longest.name, sender.removeprefix(longest.prefix)


TEMPLATED = tuple(dict.fromkeys(map(template_channel, PERSONAL)))
"""Those that name templates."""

if TYPE_CHECKING:  # a type checker takes no computed Literal
    PersonalChannel = str
    TextChannel = str
    TemplateChannel = str
else:
    PersonalChannel = Literal[PERSONAL]
    TextChannel = Literal[TEXTS]
    TemplateChannel = Literal[TEMPLATED]
