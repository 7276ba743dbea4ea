"""A sender for worlds in which nothing is sent: simulations, and stories of the test kit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.activities.senders.base import Accepted, Outgoing, Result
from campaigns.models.values import utc_now


@dataclass(frozen=True)
class Taken:
    """A message that was taken, and when, in the time of its world."""

    outgoing: Outgoing
    at: datetime


class Recorder:
    """Takes every message of every channel, sends none, and keeps them in order."""

    def __init__(self, response: Any = None) -> None:
        self._response = response
        """What a webhook answers, as JSON."""
        self.taken: list[Taken] = []

    async def send(self, outgoing: Outgoing) -> Result:
        """Take the message."""
        self.taken.append(Taken(outgoing, utc_now()))
        return Accepted(response=self._response)

    async def close(self) -> None:
        """Nothing is open."""
        return
