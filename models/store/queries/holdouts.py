"""Customers whom campaigns leave out, to measure themselves against."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select, update

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import Holdout


async def add(connection: Connection, campaigns: Iterable[str], customer_id: str, now: datetime) -> None:
    """Remembers that the campaigns left the customer out."""
    rows = [{"campaign_key": key, "customer_id": customer_id, "since": now} for key in campaigns]
    if rows:
        await connection.execute(insert(connection, Holdout).values(rows).on_conflict_do_nothing())


async def unconverted(connection: Connection, customer_id: str, campaigns: Iterable[str]) -> dict[str, datetime]:
    """Those of the campaigns that left the customer out, with the time, and saw no conversion yet."""
    statement = select(Holdout.campaign_key, Holdout.since).where(
        Holdout.customer_id == customer_id, Holdout.campaign_key.in_(list(campaigns)), Holdout.converted_at.is_(None)
    )
    return dict((await connection.execute(statement)).all())


async def mark_converted(connection: Connection, campaign: str, customer_id: str, now: datetime) -> None:
    """Counts the conversion of one who was left out."""
    statement = update(Holdout).where(Holdout.campaign_key == campaign, Holdout.customer_id == customer_id)
    await connection.execute(statement.values(converted_at=now))
