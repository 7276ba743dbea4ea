"""The narrow protocol between a message and its provider."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Outgoing:
    """A message, rendered and addressed; which parts are set depends on the channel."""

    message_id: str
    to: str
    sender: str | None = None
    reply_to: str | None = None
    subject: str = ""
    html: str | None = None
    text: str | None = None
    title: str = ""
    link: str | None = None
    method: str = ""
    unsubscribe_url: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    step: str = ""
    """The step that it is the message of."""


@dataclass(frozen=True)
class Accepted:
    """The provider has the message."""

    provider_id: str | None = None
    response: Any = None
    """What a webhook answered, where it was JSON."""


@dataclass(frozen=True)
class Refused:
    """The provider will not take this message, however often it is tried."""

    reason: str
    bad_address: bool = False
    """The address will never do: nothing more is sent to it."""


@dataclass(frozen=True)
class OwnFault:
    """The provider takes no message of ours as we are set up: somebody must mend that first."""

    reason: str


@dataclass(frozen=True)
class NotSent:
    """The provider certainly does not have the message; trying again is safe."""

    reason: str
    outage: bool = False
    """The provider could not be reached at all: the next message will hardly fare better."""


@dataclass(frozen=True)
class Unknown:
    """The provider may have the message."""

    reason: str


Result = Accepted | Refused | OwnFault | NotSent | Unknown


class Sender(Protocol):
    """One provider of one channel. It tries once, never retries, and raises nothing for what a provider may do."""

    async def send(self, outgoing: Outgoing) -> Result:
        """Tries to send the message once."""
        ...

    async def close(self) -> None:
        """Gives connections back."""
        ...


@runtime_checkable
class Asks(Protocol):
    """A sender whose provider can be asked what became of a message."""

    async def find(self, to: str, text: str, since: datetime) -> list[str]:
        """The provider's ids of messages like this one, begun since then. Raises OSError where nobody answers."""
        ...
