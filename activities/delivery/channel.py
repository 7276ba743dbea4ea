"""The channels' senders: tried once and in time, and left alone where their providers do not answer."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from temporalio import activity

from campaigns.activities.contract import SendResult
from campaigns.activities.senders.base import Asks, NotSent, Outgoing, Result, Sender, Unknown

ATTEMPT_S = 20
"""How long a provider may take."""
ASK_S = 10
"""How long a provider may take to say what became of a message."""
LOCAL_SENDS = 10
"""So many messages of one channel may be on their way in local activities: the others' workflow tasks need room."""
OUTAGE_S = 10
"""So long after a provider did not answer, local activities leave its messages to the normal ones."""


def is_local() -> bool:
    """Whether this is the one quick try; a simulation has no other."""
    return not activity.in_activity() or activity.info().is_local


class Channels:
    """The senders by channel, and what this worker knows of their providers."""

    def __init__(self, senders: Mapping[str, Sender], rated: Mapping[str, str]) -> None:
        """`rated` are the channels whose rate is limited, with the task queue on which Temporal keeps it."""
        self._senders = senders
        self._rated = rated
        self._outages: dict[str, float] = {}
        self._local_sends: Counter[str] = Counter()

    def against(self, channel: str) -> SendResult | None:
        """Return why the message has to be tried elsewhere or later, if it has to."""
        if channel not in self._senders:
            return SendResult("retry", detail=f"no sender for {channel} is set up")
        queue = self._rated.get(channel)
        if queue is not None and activity.info().task_queue != queue:
            return SendResult("retry", detail=f"{channel} has a limited rate", queue=queue)
        if is_local() and self._is_slow(channel):
            # Its workflow task would wait with it, and with the task the messages of other providers.
            return SendResult("retry", detail="the provider is slow")
        return None

    async def send(self, channel: str, outgoing: Outgoing) -> Result:
        """Try once."""
        local = is_local()
        self._local_sends[channel] += local
        try:
            async with asyncio.timeout(ATTEMPT_S):
                result: Result = await self._senders[channel].send(outgoing)
        except TimeoutError:
            result = Unknown(f"no answer within {ATTEMPT_S} s")
        finally:
            self._local_sends[channel] -= local
        if isinstance(result, Unknown) or (isinstance(result, NotSent) and result.outage):
            self._outages[channel] = time.monotonic() + OUTAGE_S
        return result

    async def find(self, channel: str, outgoing: Outgoing, since: datetime) -> list[str]:
        """Return the provider's ids of messages like this one since then; none where it can't be asked."""
        sender = self._senders.get(channel)
        if not isinstance(sender, Asks):
            return []
        try:
            async with asyncio.timeout(ASK_S):
                return await sender.find(outgoing.to, outgoing.text or "", since)
        except OSError:  # a time-out is one too
            return []

    def _is_slow(self, channel: str) -> bool:
        """Whether the channel's provider did not answer lately, or has many messages under way."""
        down = time.monotonic() < self._outages.get(channel, 0)
        return down or self._local_sends[channel] >= LOCAL_SENDS
