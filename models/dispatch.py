"""What a committed decision owes to Temporal: a row each, one constructor a kind.

A row's id is also the request id by which Temporal knows a signal that comes twice: what may be owed twice for one
reason has an id of that reason.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import uuid4

from campaigns.models.entry import EndedBy
from campaigns.models.values import Json, iso


class DispatchKind(StrEnum):
    """What is to be done; the kinds of signals have the signals' names."""

    START = "start"
    EVENT = "event"
    EXIT = "exit"
    RESUME = "resume"
    SKIP_WAIT = "skip_wait"
    RESCHEDULE = "reschedule"
    ERASE = "erase"
    FOLLOW = "follow"
    EXISTING = "existing"


class DispatchRow(NamedTuple):
    """One thing to do in Temporal."""

    id: str
    kind: str
    """A DispatchKind; of another version's row perhaps none that is known here."""
    entry_id: str
    payload: Json


def start(entry_id: str) -> DispatchRow:
    """Owe the entry its workflow."""
    return DispatchRow(f"start-{entry_id}", DispatchKind.START, entry_id, {})


def event(
    entry_id: str, event_id: str, name: str, at: datetime, matches: list[str], message_steps: dict[str, str] | None
) -> DispatchRow:
    """Signal an event to the entry, with the keys of its listeners that it matches.

    `message_steps` says of each key which step's message the event is of, where it is one of a message.
    """
    payload: Json = {"event_id": event_id, "name": name, "at": iso(at), "matches": matches}
    if message_steps is not None:
        payload["message_steps"] = message_steps
    return DispatchRow(uuid4().hex, DispatchKind.EVENT, entry_id, payload)


def exit(entry_id: str, cause: EndedBy) -> DispatchRow:
    """Signal the entry to end."""
    return DispatchRow(f"exit-{entry_id}-{cause.value}", DispatchKind.EXIT, entry_id, {"cause": cause.value})


def skip_wait(entry_id: str) -> DispatchRow:
    """Signal the entry to end its present delay or wait."""
    return DispatchRow(uuid4().hex, DispatchKind.SKIP_WAIT, entry_id, {})


def reschedule(entry_id: str) -> DispatchRow:
    """Signal the entry that what its times hang on has changed."""
    return DispatchRow(uuid4().hex, DispatchKind.RESCHEDULE, entry_id, {})


def erase(entry_id: str) -> DispatchRow:
    """Delete the entry's execution."""
    return DispatchRow(f"erase-{entry_id}", DispatchKind.ERASE, entry_id, {})


def follow(entry_id: str, position: int, customer_id: str, attributes: Iterable[str], campaign: str) -> DispatchRow:
    """Let memberships follow attributes that the entry has changed at that position of its journey.

    A worker owes this to a starter, for it admits nobody itself.
    """
    payload = {"customer_id": customer_id, "attributes": sorted(attributes), "campaign": campaign}
    return DispatchRow(f"follow-{entry_id}-{position}", DispatchKind.FOLLOW, entry_id, payload)


def existing(campaign: str, begin: datetime) -> DispatchRow:
    """Enter the campaign's existing members from that time on; the campaign stands in the entry's place."""
    return DispatchRow(f"existing-{campaign}", DispatchKind.EXISTING, campaign, {"begin": iso(begin)})
