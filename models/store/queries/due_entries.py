"""Members of segments who are due to enter: all at a campaign's start, or again at an interval."""

from datetime import datetime

from sqlalchemy import delete, func, literal, select

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import DueEntry, SegmentMember


async def put(connection: Connection, campaign: str, customer_id: str, due_at: datetime) -> None:
    """The customer is due at that time, and not before."""
    statement = insert(connection, DueEntry).values(
        campaign_key=campaign, customer_id=customer_id, due_at=due_at, existing=False
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["campaign_key", "customer_id"], set_={"due_at": due_at, "existing": False}
        )
    )


async def remove(connection: Connection, campaign: str, customer_id: str) -> None:
    """The customer does not enter again by itself."""
    await connection.execute(
        delete(DueEntry).where(DueEntry.campaign_key == campaign, DueEntry.customer_id == customer_id)
    )


async def add_existing(connection: Connection, campaign: str, segments: list[str], due_at: datetime) -> None:
    """All present members of the segments are due then, once each: one statement, however many they are."""
    members = select(literal(campaign), SegmentMember.customer_id, literal(due_at, DueEntry.due_at.type), literal(True))
    members = members.where(SegmentMember.segment_key.in_(segments)).distinct()
    columns = ["campaign_key", "customer_id", "due_at", "existing"]
    await connection.execute(insert(connection, DueEntry).from_select(columns, members))


async def due(
    connection: Connection, now: datetime, limit: int, existing_of: str | None = None
) -> list[tuple[str, str]]:
    """Campaign and customer of those who are due at an interval, or as existing members; the longest first."""
    statement = select(DueEntry.campaign_key, DueEntry.customer_id).where(DueEntry.due_at <= now)
    if existing_of is None:
        statement = statement.where(DueEntry.existing.is_(False))
    else:
        statement = statement.where(DueEntry.existing.is_(True), DueEntry.campaign_key == existing_of)
    rows = await connection.execute(statement.order_by(DueEntry.due_at).limit(limit))
    return [(campaign, customer_id) for campaign, customer_id in rows]


async def count_existing(connection: Connection, campaign: str) -> int:
    """How many existing members are still to be decided about."""
    statement = select(func.count()).select_from(DueEntry)
    statement = statement.where(DueEntry.existing.is_(True), DueEntry.campaign_key == campaign)
    return int((await connection.execute(statement)).scalar_one())


async def due_at(connection: Connection, campaign: str, customer_id: str) -> datetime | None:
    """When the customer is due."""
    statement = select(DueEntry.due_at).where(DueEntry.campaign_key == campaign, DueEntry.customer_id == customer_id)
    found: datetime | None = (await connection.execute(statement)).scalar_one_or_none()
    return found
