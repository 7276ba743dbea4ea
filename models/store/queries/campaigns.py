"""Campaigns, their versions and what triggers them."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Select, bindparam, delete, select, update

from campaigns.models.journey.definition import CampaignStatus, Definition, SegmentTrigger
from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import Campaign, CampaignTrigger, CampaignVersion


class CampaignRow(NamedTuple):
    """A campaign without its definition."""

    key: str
    name: str
    status: CampaignStatus
    version: int
    revision: int
    created_at: datetime
    updated_at: datetime
    paused_because: str | None

    @property
    def is_draft(self) -> bool:
        """Whether it was never live, so that its definition may still change."""
        return self.status == CampaignStatus.DRAFT

    @property
    def is_live(self) -> bool:
        """Whether customers may enter it."""
        return self.status == CampaignStatus.LIVE


def _rows() -> Select[str, str, CampaignStatus, int, int, datetime, datetime, str | None]:
    return select(
        Campaign.key, Campaign.name, Campaign.status, Campaign.version, Campaign.revision,
        Campaign.created_at, Campaign.updated_at, Campaign.paused_because,
    )  # fmt: skip


async def get(connection: Connection, key: str, *, lock: bool = False) -> CampaignRow | None:
    """The campaign, locked against changes of its status if so asked."""
    statement = _rows().where(Campaign.key == key)
    row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
    return CampaignRow(*row) if row else None


async def lock_status(connection: Connection, key: str) -> CampaignStatus | None:
    """The status, which cannot change before the transaction's end."""
    statement = select(Campaign.status).where(Campaign.key == key).with_for_update(read=True)
    return (await connection.execute(statement)).scalar_one_or_none()


async def page(connection: Connection, after: str, limit: int) -> list[CampaignRow]:
    """Campaigns by key."""
    statement = _rows().where(Campaign.key > after).order_by(Campaign.key).limit(limit)
    return [CampaignRow(*row) for row in await connection.execute(statement)]


async def create(connection: Connection, definition: Definition, now: datetime) -> bool:
    """Whether the campaign was made: False where the key is taken."""
    statement = insert(connection, Campaign).values(
        key=definition.key,
        name=definition.name,
        status=CampaignStatus.DRAFT,
        version=1,
        revision=1,
        created_at=now,
        updated_at=now,
    )
    if not (await connection.execute(statement.on_conflict_do_nothing())).rowcount:
        return False
    await _write_version(connection, definition, 1, now)
    return True


async def edit(connection: Connection, row: CampaignRow, definition: Definition, now: datetime) -> CampaignRow:
    """A draft is overwritten, anything later gets a new version. The row must be locked."""
    version = row.version if row.is_draft else row.version + 1
    changed = row._replace(name=definition.name, version=version, revision=row.revision + 1, updated_at=now)
    await connection.execute(
        update(Campaign)
        .where(Campaign.key == row.key)
        .values(name=changed.name, version=version, revision=changed.revision, updated_at=now)
    )
    await _write_version(connection, definition, version, now)
    return changed


async def set_status(
    connection: Connection, row: CampaignRow, status: CampaignStatus, now: datetime, because: str | None = None
) -> CampaignRow:
    """Moves the campaign on; the row must be locked. `because` is the fault of our own for which it is paused."""
    changed = row._replace(status=status, revision=row.revision + 1, updated_at=now, paused_because=because)
    values = {"status": status, "revision": changed.revision, "updated_at": now, "paused_because": because}
    await connection.execute(update(Campaign).where(Campaign.key == row.key).values(values))
    return changed


async def pause_for_fault(connection: Connection, key: str, because: str, now: datetime) -> None:
    """Pauses a live campaign for a fault of our own, and says why: each further message would fail alike."""
    row = await get(connection, key, lock=True)
    if row is not None and row.is_live:
        await set_status(connection, row, CampaignStatus.PAUSED, now, because=because)


async def _write_version(connection: Connection, definition: Definition, version: int, now: datetime) -> None:
    key, content = definition.key, definition.to_json()
    statement = insert(connection, CampaignVersion).values(
        campaign_key=key, version=version, definition=content, created_at=now
    )
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["campaign_key", "version"], set_={"definition": content, "created_at": now}
        )
    )
    await connection.execute(delete(CampaignTrigger).where(CampaignTrigger.campaign_key == key))
    kind = "segment" if isinstance(definition.trigger, SegmentTrigger) else "event"
    rows = [{"type": kind, "name": name, "campaign_key": key} for name in sorted(set(definition.trigger_names))]
    if definition.goal:
        rows.append({"type": "goal", "name": definition.goal.event, "campaign_key": key})
    await connection.execute(insert(connection, CampaignTrigger).values(rows))


async def triggered_by(connection: Connection, segment: str) -> list[CampaignRow]:
    """The campaigns of every status that entering the segment triggers, in a stable order."""
    found = await connection.execute(_listening(), {"types": ["segment"], "name": segment})
    return [CampaignRow(*row[1:]) for row in found]


async def listening_to(connection: Connection, event: str) -> tuple[list[CampaignRow], list[CampaignRow]]:
    """The campaigns of every status that the event triggers, and those of which it is the goal, in a stable order."""
    found = (await connection.execute(_listening(), {"types": ["event", "goal"], "name": event})).all()
    triggered = [CampaignRow(*row[1:]) for row in found if row[0] == "event"]
    return triggered, [CampaignRow(*row[1:]) for row in found if row[0] == "goal"]


@cache
def _listening() -> Select[*tuple[Any, ...]]:
    rows = _rows().join(CampaignTrigger, CampaignTrigger.campaign_key == Campaign.key)
    statement = rows.with_only_columns(CampaignTrigger.type, *rows.selected_columns, maintain_column_froms=True)
    types: BindParameter[Sequence[str]] = bindparam("types", expanding=True)
    statement = statement.where(CampaignTrigger.type.in_(types), CampaignTrigger.name == bindparam("name"))
    return statement.order_by(Campaign.created_at, Campaign.key)
