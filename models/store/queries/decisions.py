"""Decisions and holdouts."""

from collections import Counter
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, delete, select, update

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import Insert, insert, insert_of
from campaigns.models.store.tables import PastDecision, PrunedDecisions
from campaigns.models.values import Json


async def add(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Keeps decisions."""
    if rows:
        await connection.execute(_add(connection.dialect.name), rows)


@cache
def _add(dialect: str) -> Insert:
    return insert_of(dialect, PastDecision)


async def entered_by(connection: Connection, customer_id: str, trigger_id: str) -> set[str]:
    """The campaigns that this trigger has already entered the customer to."""
    asked = {"customer": customer_id, "trigger": trigger_id}
    return set((await connection.execute(_entered_by(), asked)).scalars())


@cache
def _entered_by() -> Select[str]:
    return select(PastDecision.campaign_key).where(
        PastDecision.customer_id == bindparam("customer"),
        PastDecision.trigger_id == bindparam("trigger"),
        PastDecision.outcome == "entered",
    )


class DecisionRow(NamedTuple):
    """A decision about a customer."""

    id: int
    campaign_key: str
    trigger_name: str
    outcome: str
    entry_id: str | None
    winner: str | None
    retry_at: datetime | None
    facts: Json | None
    decided_at: datetime


async def of_customer(connection: Connection, customer_id: str, before: int | None, limit: int) -> list[DecisionRow]:
    """Return the customer's decisions, the newest first."""
    statement = select(
        PastDecision.id, PastDecision.campaign_key, PastDecision.trigger_name,
        PastDecision.outcome, PastDecision.entry_id, PastDecision.winner, PastDecision.retry_at, PastDecision.facts,
        PastDecision.decided_at,
    ).where(PastDecision.customer_id == customer_id)  # fmt: skip
    if before is not None:
        statement = statement.where(PastDecision.id < before)
    rows = await connection.execute(statement.order_by(PastDecision.id.desc()).limit(limit))
    return [DecisionRow(*row) for row in rows]


async def make_anonymous(connection: Connection, customer_id: str) -> None:
    """Takes the customer out of decisions: what is left only counts."""
    statement = update(PastDecision).where(PastDecision.customer_id == customer_id)
    await connection.execute(statement.values(customer_id=None, trigger_id="", facts=None))


UNINTERESTING = ("not_live", "not_started", "ended", "segment_inactive", "not_matching", "duplicate", "erased")
"""Outcomes that say nothing of the customer's own history with the campaign."""


async def prune(connection: Connection, before: datetime, limit: int) -> int:
    """Deletes some uninteresting decisions from before; how many. They are counted still."""
    found = select(PastDecision.id, PastDecision.campaign_key, PastDecision.outcome)
    found = found.where(PastDecision.decided_at < before, PastDecision.outcome.in_(UNINTERESTING)).limit(limit)
    rows = (await connection.execute(found.with_for_update(skip_locked=True))).all()
    if not rows:
        return 0
    await connection.execute(delete(PastDecision).where(PastDecision.id.in_([row.id for row in rows])))
    for (key, outcome), number in Counter((row.campaign_key, row.outcome) for row in rows).items():
        statement = insert(connection, PrunedDecisions).values(campaign_key=key, outcome=outcome, number=number)
        more = PrunedDecisions.number + number
        await connection.execute(
            statement.on_conflict_do_update(index_elements=["campaign_key", "outcome"], set_={"number": more})
        )
    return len(rows)
