"""Entries that are due again by themselves, at their interval."""

from datetime import datetime

from sqlalchemy import delete, select

from campaigns.models.database import Connection
from campaigns.models.queries.base import insert
from campaigns.models.tables import ReEntry


async def put(connection: Connection, campaign: str, customer_id: str, due_at: datetime) -> None:
    """The customer is due at that time, and not before."""
    statement = insert(connection, ReEntry).values(campaign_key=campaign, customer_id=customer_id, due_at=due_at)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["campaign_key", "customer_id"], set_={"due_at": due_at})
    )


async def remove(connection: Connection, campaign: str, customer_id: str) -> None:
    """The customer does not enter again by itself."""
    await connection.execute(
        delete(ReEntry).where(ReEntry.campaign_key == campaign, ReEntry.customer_id == customer_id)
    )


async def due(connection: Connection, now: datetime, limit: int) -> list[tuple[str, str]]:
    """Campaign and customer of those who are due, the longest first."""
    statement = select(ReEntry.campaign_key, ReEntry.customer_id).where(ReEntry.due_at <= now)
    rows = await connection.execute(statement.order_by(ReEntry.due_at).limit(limit))
    return [(campaign, customer_id) for campaign, customer_id in rows]


async def due_at(connection: Connection, campaign: str, customer_id: str) -> datetime | None:
    """When the customer is due."""
    statement = select(ReEntry.due_at).where(ReEntry.campaign_key == campaign, ReEntry.customer_id == customer_id)
    found: datetime | None = (await connection.execute(statement)).scalar_one_or_none()
    return found
