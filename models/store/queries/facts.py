"""What conditions ask about one customer, fetched as far as they ask."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from campaigns.models.journey.conditions import Condition, Facts, needs
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import events, segments, steps
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
        steps=await steps.statuses(connection, entry_id, wanted.steps) if entry_id else {},
    )


async def load_many(
    connection: Connection,
    rule: Condition,
    now: datetime,
    people: Sequence[tuple[str, Json]],
    memberships: Mapping[str, Iterable[str]] | None = None,
) -> dict[str, Facts]:
    """The facts of a segment's rule for each of the customers, by id and attributes; memberships where known."""
    wanted = needs([rule])
    ids = [customer_id for customer_id, _ in people]
    member_of = await segments.memberships(connection, ids) if memberships is None else memberships
    happened = await events.histories(connection, ids, wanted.events)
    return {
        customer_id: Facts(
            now=now,
            attributes={**attributes, "id": customer_id},
            segments=frozenset(member_of.get(customer_id, ())),
            events=tuple(happened.get(customer_id, ())),
        )
        for customer_id, attributes in people
    }
