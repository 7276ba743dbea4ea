"""The events that an entry was told of, kept until a wait uses them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from campaigns.workflows.contract import EventSignal

KEPT_EVENTS = 5_000
"""So many events wait for a wait to use them; no journey has that many waits, and a payload has its limit."""
SEEN_EVENTS = 2_000
"""So many ids of events are taken along when an entry continues as new: doubles come soon, or never."""


@dataclass(frozen=True)
class Listening:
    """What a wait listens for."""

    step: str
    names: Collection[str]
    """Of its ways but the time-out."""
    messages: Collection[str] = ()
    """The steps of the entry's last messages: an event of another message does not count."""
    since: datetime | None = None
    """Events from before do not count; None where all since the entry began do."""

    def met_by(self, event: EventSignal) -> str | None:
        """Return the way that the event opens, or None."""
        if self.since is not None and event.at < self.since:
            return None
        for name in self.names:
            key = f"{self.step}/{name}"
            if key in event.matches and event.message_steps.get(key) in (None, *self.messages):
                return name
        return None


class Inbox:
    """Keeps each event once, and gives it to one wait."""

    def __init__(self, events: Iterable[EventSignal] = (), seen: Iterable[str] = ()) -> None:
        self._events = list(events)
        self._seen = dict.fromkeys(seen)

    @property
    def events(self) -> list[EventSignal]:
        """The events that no wait has used, as they came."""
        return list(self._events)

    @property
    def seen(self) -> list[str]:
        """The ids of the latest events, used or not, by which doubles are known."""
        return list(self._seen)[-SEEN_EVENTS:]

    def keep(self, event: EventSignal) -> None:
        """Keep the event, unless it was kept before."""
        if event.event_id not in self._seen:
            self._seen[event.event_id] = None
            if len(self._events) < KEPT_EVENTS:
                self._events.append(event)

    def take(self, wait: Listening) -> str | None:
        """Use up the event that happened first of those that meet the wait, and return the way that it opens."""
        for event in sorted(self._events, key=lambda event: event.at):
            if way := wait.met_by(event):
                self._events.remove(event)
                return way
        return None

    def has(self, wait: Listening) -> bool:
        """Whether an event meets the wait."""
        return any(wait.met_by(event) for event in self._events)

    def forget_before(self, wait: Listening) -> None:
        """Drop the events that only this wait could have used, and that came too early for it."""
        since, keys = wait.since, {f"{wait.step}/{name}" for name in wait.names}
        if since is not None:
            self._events = [event for event in self._events if event.at >= since or not keys.issuperset(event.matches)]
