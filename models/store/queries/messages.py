"""Messages: the claim before the first try, what came of each attempt, and what happened to them later."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, NotNullable, Select, Update, and_, bindparam, exists, or_, select, update

from campaigns.models.channels import ConsentStatus
from campaigns.models.entry import EntryStatus, MessageStatus
from campaigns.models.journey.definition import CampaignStatus
from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import Insert, insert_of
from campaigns.models.store.tables import (
    Campaign,
    Consent,
    Customer,
    Entry,
    Message,
    OptOut,
    Suppression,
    Topic,
)
from campaigns.models.values import Json

HAPPENINGS = ("delivered", "opened", "clicked", "bounced", "complained", "unsubscribed", "converted")
"""What may come of a message after it was sent: each a column of its time, and a status in conditions."""

_EXPOSING = (MessageStatus.SENT, MessageStatus.UNKNOWN, MessageStatus.SENDING)
_UNSETTLED = (MessageStatus.UNKNOWN, MessageStatus.SENDING, MessageStatus.RETRY)


class MessageRow(NamedTuple):
    """A claimed message."""

    id: str
    status: MessageStatus
    attempt: int
    attempt_ends_at: datetime
    error: str | None


class Recipient(NamedTuple):
    """All that decides about a message of an entry, at one moment."""

    campaign_status: CampaignStatus
    customer_id: str | None
    entry_status: EntryStatus
    exit_request: str | None
    held: str | None
    trigger: Json | None
    attributes: Json | None
    unsubscribed: bool
    suppressed: bool
    message: MessageRow | None


# Statements of the hot path are built once: building one costs more than sending it to SQLite.


@cache
def _recipient(lock: bool) -> Select[*tuple[Any, ...]]:
    said = (Consent.customer_id == Entry.customer_id, Consent.channel == bindparam("channel"))
    topic: BindParameter[str] = bindparam("topic")
    address: BindParameter[str] = bindparam("address")
    unsubscribed = or_(
        exists().where(*said, Consent.topic.in_(("", topic)), Consent.status == ConsentStatus.UNSUBSCRIBED),
        and_(
            exists().where(Topic.key == topic, Topic.opt_in.is_(True)),
            ~exists().where(*said, Consent.topic == topic, Consent.status == ConsentStatus.SUBSCRIBED),
        ),
        exists().where(
            OptOut.subject_hash == address, OptOut.channel == bindparam("channel"), OptOut.topic.in_(("", topic))
        ),
    )
    suppressed = exists().where(Suppression.channel == bindparam("channel"), Suppression.address_hash == address)
    statement = (
        select(
            Campaign.status, Entry.customer_id, Entry.status, Entry.exit_request, Entry.held, Entry.trigger,
            Customer.attributes, unsubscribed, suppressed, Message.id, Message.status, Message.attempt,
            Message.attempt_ends_at, Message.error,
        )
        .join_from(Entry, Campaign, Campaign.key == Entry.campaign_key)
        .outerjoin(Customer, Customer.id == Entry.customer_id)
        .outerjoin(
            Message,
            and_(
                Message.entry_id == Entry.id,
                Message.step_id == bindparam("step"),
                Message.repetition == bindparam("repetition"),
            ),
        )
        .where(Entry.id == bindparam("entry"))
    )  # fmt: skip
    return statement.with_for_update(of=Entry) if lock else statement


async def recipient(
    connection: Connection,
    entry_id: str,
    step: str = "",
    repetition: int = 1,
    channel: str = "",
    topic: str = "",
    address_hash: str = "",
    *,
    lock: bool = False,
) -> Recipient | None:
    """The entry with its campaign's status, its customer's attributes and consent, and the message of the step.

    With the hash of an address what is kept against that counts too. The entry's row is locked if so asked.
    """
    parameters = {
        "entry": entry_id, "step": step, "repetition": repetition, "channel": channel, "topic": topic,
        "address": address_hash,
    }  # fmt: skip
    row = (await connection.execute(_recipient(lock), parameters)).one_or_none()
    if row is None:
        return None
    return Recipient(*row[:9], MessageRow(*row[9:]) if row[9] is not None else None)  # type: ignore[call-arg] # a slice of a row has its length


async def claim(connection: Connection, row: dict[str, Any]) -> bool:
    """Claims the message of a step with its identity, for its first attempt. False where it is claimed already."""
    return bool((await connection.execute(_claim(connection.dialect.name), row)).rowcount)


@cache
def _claim(dialect: str) -> Insert:
    return insert_of(dialect, Message).on_conflict_do_nothing()


async def begin_attempt(connection: Connection, message_id: str, attempt: int, ends_at: datetime, address: str) -> None:
    """A later attempt is about to begin."""
    await connection.execute(
        update(Message)
        .where(Message.id == message_id)
        .values(status=MessageStatus.SENDING, attempt=attempt, attempt_ends_at=ends_at, address=address)
    )


@cache
def _settle() -> Update:
    table = Message.__table__
    return (
        update(table)
        .where(
            table.c.id == bindparam("message"),
            table.c.attempt == bindparam("number"),
            # The provider itself may have said meanwhile that it was sent.
            table.c.status != MessageStatus.SENT,
        )
        .values(
            status=bindparam("new_status"),
            error=bindparam("new_error"),
            settled_at=bindparam("at"),
            provider_id=bindparam("provider"),
        )
    )


async def settle(
    connection: Connection,
    message_id: str,
    attempt: int,
    status: MessageStatus,
    now: datetime,
    provider_id: str | None = None,
    error: str | None = None,
) -> bool:
    """Whether the attempt was the latest, and is now settled so."""
    parameters = {
        "message": message_id,
        "number": attempt,
        "new_status": status,
        "new_error": error,
        "at": None if status == MessageStatus.RETRY else now,
        "provider": provider_id,
    }
    return bool((await connection.execute(_settle(), parameters)).rowcount)


async def last_exposure(connection: Connection, entry_id: str, but_for: str) -> datetime | None:
    """When a message of the entry other than this one was last accepted, or may have been."""
    statement = select(Message.settled_at, Message.claimed_at).where(
        Message.entry_id == entry_id,
        Message.id != but_for,
        Message.status.in_(_EXPOSING),
    )
    return max((settled or claimed for settled, claimed in await connection.execute(statement)), default=None)


class EntryMessage(NamedTuple):
    """A message of an entry, as its timeline shows it."""

    step_id: str
    repetition: int
    status: MessageStatus
    channel: str
    provider_id: str | None
    error: str | None
    attempt: int
    settled_at: datetime | None
    id: str


async def of_entry(connection: Connection, entry_id: str) -> list[EntryMessage]:
    """Return the entry's messages."""
    statement = select(
        Message.step_id, Message.repetition, Message.status, Message.channel, Message.provider_id, Message.error,
        Message.attempt, Message.settled_at, Message.id,
    ).where(Message.entry_id == entry_id)  # fmt: skip
    return [EntryMessage(*row) for row in await connection.execute(statement)]


async def keep_response(connection: Connection, message_id: str, response: Any) -> None:
    """Keeps what a webhook answered."""
    await connection.execute(update(Message).where(Message.id == message_id).values(response={"json": response}))


async def responses(connection: Connection, entry_id: str, steps: Mapping[str, str]) -> Json:
    """What webhooks of the entry answered, by the names that the steps save them as."""
    if not steps:
        return {}
    statement = select(Message.step_id, NotNullable(Message.response)).where(
        Message.entry_id == entry_id, Message.step_id.in_(set(steps.values())), Message.response.is_not(None)
    )
    kept = {step: response["json"] for step, response in await connection.execute(statement)}
    return {name: kept[step] for name, step in steps.items() if step in kept}


async def mark_happened(connection: Connection, message_id: str, what: str, now: datetime) -> bool:
    """Whether this is the first time that it happened to the message."""
    column = getattr(Message, f"{what}_at")
    statement = update(Message).where(Message.id == message_id, column.is_(None))
    return bool((await connection.execute(statement.values({column: now}))).rowcount)


async def status(connection: Connection, message_id: str) -> MessageStatus | None:
    """The status of the message."""
    return (await connection.execute(select(Message.status).where(Message.id == message_id))).scalar_one_or_none()


async def mark_sent(connection: Connection, message_id: str, provider_id: str, now: datetime) -> None:
    """The provider says that it has the message: what nobody knew is settled, and is an exposure."""
    unsettled = (
        Message.id == message_id,
        Message.status.in_(_UNSETTLED),
    )
    # The entry before the message, as everywhere.
    entry = select(Message.entry_id).where(*unsettled).scalar_subquery()
    await connection.execute(update(Entry).where(Entry.id == entry).values(exposed_at=now))
    statement = update(Message).where(*unsettled)
    await connection.execute(
        statement.values(status=MessageStatus.SENT, provider_id=provider_id, error=None, settled_at=now)
    )


class Origin(NamedTuple):
    """Where an event of a message comes from."""

    message_id: str
    channel: str
    address: str | None
    campaign: str
    entry_id: str
    step: str
    customer_id: str | None
    """None where the customer was erased."""


async def origin(connection: Connection, message_id: str) -> Origin | None:
    """Whose message it is; None where there is none."""
    statement = select(
        Message.id, Message.channel, Message.address, Message.campaign_key, Message.entry_id, Message.step_id,
        Entry.customer_id,
    ).join(Entry, Entry.id == Message.entry_id)  # fmt: skip
    row = (await connection.execute(statement.where(Message.id == message_id))).one_or_none()
    return Origin(*row) if row else None


async def customers_at(connection: Connection, channel: str, address: str) -> list[str]:
    """The customers to whom messages went at this address, by id."""
    statement = select(NotNullable(Entry.customer_id)).join(Message, Message.entry_id == Entry.id).distinct()
    statement = statement.where(Message.address == address, Message.channel == channel, Entry.customer_id.is_not(None))
    return sorted((await connection.execute(statement)).scalars())


async def known_provider_ids(connection: Connection, provider_ids: Iterable[str]) -> set[str]:
    """Those of the provider's ids that a message of ours bears already."""
    statement = select(NotNullable(Message.provider_id)).where(Message.provider_id.in_(list(provider_ids)))
    return set((await connection.execute(statement)).scalars())
