"""How many marketing messages may reach a customer, over all campaigns."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Select, delete, func, select

from campaigns.models.entry import MessageStatus
from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import Entry, Message, MessageCap


@dataclass(frozen=True)
class Cap:
    """So many marketing messages a customer may get on the channel, or on all, within some time."""

    channel: str | None
    count: int
    within: str


async def listed(connection: Connection) -> list[Cap]:
    """The caps, in their order."""
    return [Cap(*row) for row in await connection.execute(_listed())]


@cache
def _listed() -> Select[str | None, int, str]:
    return select(MessageCap.channel, MessageCap.count, MessageCap.within).order_by(MessageCap.position)


async def replace(connection: Connection, wanted: Sequence[Cap]) -> None:
    """Replaces the caps."""
    await connection.execute(delete(MessageCap))
    rows = [{"position": position, **asdict(cap)} for position, cap in enumerate(wanted)]
    if rows:
        await connection.execute(insert(connection, MessageCap), rows)


async def count_marketing(connection: Connection, customer_id: str, channel: str | None, since: datetime) -> int:
    """How many marketing messages the customer has got, or is about to get, that began after this."""
    statement = select(func.count()).select_from(Message).join(Entry, Entry.id == Message.entry_id)
    statement = statement.where(
        Entry.customer_id == customer_id,
        Message.category == "marketing",
        Message.channel != "webhook",
        Message.status != MessageStatus.FAILED,
        Message.claimed_at > since,
    )
    if channel is not None:
        statement = statement.where(Message.channel == channel)
    return int((await connection.execute(statement)).scalar_one())
