"""Statistics, counted from the rows themselves in one snapshot, so that they add up at every read."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, select, union_all

from campaigns.models.entry import EntryStatus, StepState
from campaigns.models.store.database import Connection
from campaigns.models.store.queries.messages import HAPPENINGS
from campaigns.models.store.tables import Entry, Holdout, Message, PastDecision, PrunedDecisions, StepOutcome


async def entries(connection: Connection, campaign: str) -> Sequence[Row[int, EntryStatus, int, int]]:
    """Version, status, number, number converted."""
    statement = select(Entry.version, Entry.status, func.count(), func.count(Entry.converted_at))
    statement = statement.where(Entry.campaign_key == campaign)
    return (await connection.execute(statement.group_by(Entry.version, Entry.status))).all()


async def decisions(connection: Connection, campaign: str) -> Sequence[Row[str, int]]:
    """Outcome, number; those that were pruned too."""
    kept = select(PastDecision.outcome, func.count().label("number")).where(PastDecision.campaign_key == campaign)
    pruned = select(PrunedDecisions.outcome, PrunedDecisions.number).where(PrunedDecisions.campaign_key == campaign)
    both = union_all(kept.group_by(PastDecision.outcome), pruned).subquery()
    statement = select(both.c.outcome, func.sum(both.c.number)).group_by(both.c.outcome)
    return (await connection.execute(statement)).all()


async def steps(
    connection: Connection, campaign: str, version: int | None
) -> Sequence[Row[str, StepState, str | None, int]]:
    """Step, outcome, reason, number; of one version, or of all."""
    statement = select(StepOutcome.step_id, StepOutcome.outcome, StepOutcome.reason, func.count())
    statement = statement.where(StepOutcome.campaign_key == campaign)
    if version is not None:
        statement = statement.where(StepOutcome.version == version)
    return (
        await connection.execute(statement.group_by(StepOutcome.step_id, StepOutcome.outcome, StepOutcome.reason))
    ).all()


async def messages(connection: Connection, campaign: str, version: int | None) -> Sequence[Row[*tuple[Any, ...]]]:
    """Step, status, number, and how many of them each of `HAPPENINGS` came to; of one version, or of all."""
    happened = [func.count(getattr(Message, f"{what}_at")) for what in HAPPENINGS]
    statement = select(Message.step_id, Message.status, func.count(), *happened)
    statement = statement.where(Message.campaign_key == campaign)
    if version is not None:
        statement = statement.join(Entry, Entry.id == Message.entry_id).where(Entry.version == version)
    return (await connection.execute(statement.group_by(Message.step_id, Message.status))).all()


async def holdout(connection: Connection, campaign: str) -> Row[int, int]:
    """Customers left out, those of them who converted."""
    statement = select(func.count(), func.count(Holdout.converted_at)).where(Holdout.campaign_key == campaign)
    return (await connection.execute(statement)).one()
