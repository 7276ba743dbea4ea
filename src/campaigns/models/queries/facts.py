"""What conditions ask about one customer, fetched as far as they ask."""

from collections.abc import Iterable
from datetime import datetime

from campaigns.models.conditions import Condition, Facts, needs
from campaigns.models.database import Connection
from campaigns.models.queries import events, messages, segments
from campaigns.models.values import Json


async def load(
    connection: Connection,
    conditions: Iterable[Condition | None],
    now: datetime,
    customer_id: str | None,
    attributes: Json,
    *,
    properties: Json,
    trigger: Json,
    entry_id: str | None = None,
) -> Facts:
    """The facts for these conditions: `properties` of the event at hand, `trigger` the properties of the trigger."""
    wanted = needs(conditions)
    return Facts(
        now=now,
        attributes={**attributes, "id": customer_id},
        properties=properties,
        trigger=trigger,
        segments=await segments.of_customer(connection, customer_id)
        if wanted.segments and customer_id
        else frozenset(),
        events=await events.history(connection, customer_id, wanted.events) if customer_id else (),
        steps=await messages.statuses(connection, entry_id, wanted.steps) if entry_id else {},
    )
