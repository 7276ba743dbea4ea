"""History: customers and events that are imported. They count in segments, and trigger and signal nothing."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from campaigns.models.profiles import change
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import customers, erasures, events
from campaigns.models.values import Json
from campaigns.starter.customer import Person
from campaigns.starter.intake.tracking import TrackingCall
from campaigns.starter.segments.follow import Touch, follow_all

_ANSWER: Json = {"success": True, "decisions": [], "signalled": []}


async def put_customers(
    connection: Connection, signing: Callable[[], Signing], calls: Sequence[TrackingCall], now: datetime
) -> None:
    """Make or change the customers of these `identify` calls, in the order of the calls; memberships follow.

    `signing` is asked for where customers were erased, to know them again.
    """
    ids = {call.user_id for call in calls if call.user_id}
    before = await customers.lock_many(connection, ids)
    new = ids - before.keys()
    await _make(connection, signing, new, now)
    after = before | await customers.lock_many(connection, new)
    changed: set[str] = set()
    for call in calls:
        if call.user_id:
            made = change(after[call.user_id], call.traits)
            after[call.user_id] = made.attributes
            changed |= made.changed
    await customers.write_many(connection, after, now)
    await _follow(connection, after, new, Touch("import", attributes=frozenset(changed)), now)


async def _make(
    connection: Connection, signing: Callable[[], Signing], customer_ids: Collection[str], now: datetime
) -> None:
    await customers.create_missing(connection, customer_ids, now)
    if customer_ids and await erasures.any_erased(connection):
        for customer_id in sorted(customer_ids):
            await erasures.readmit(connection, customer_id, signing().hash("customer", customer_id))


async def erased_ids(
    connection: Connection, signing: Callable[[], Signing], calls: Sequence[TrackingCall]
) -> Collection[str]:
    """Return those of the calls' customers who were erased and are not known anew: events do not bring them back."""
    ids = {call.user_id for call in calls if call.user_id}
    if not ids or not await erasures.any_erased(connection):
        return ()
    hashes = {customer_id: signing().hash("customer", customer_id) for customer_id in ids}
    hashed = await erasures.erased_among(connection, hashes.values())
    erased = {customer_id for customer_id in ids if hashes[customer_id] in hashed}
    return erased - (await customers.lock_many(connection, erased)).keys()


async def add_events(connection: Connection, calls: Sequence[TrackingCall], now: datetime) -> None:
    """Keep the events, make their customers where they are unknown, and let memberships follow."""
    ids = {call.user_id for call in calls if call.user_id}
    known = await customers.lock_many(connection, ids)
    new = ids - known.keys()
    await customers.create_missing(connection, new, now)
    names = frozenset(call.event_name for call in calls if call.event_name)
    await events.remember_names(connection, names, now)
    await events.add_many(connection, [{**call.row(now), "answer": _ANSWER} for call in calls])
    attributes = known | await customers.lock_many(connection, new)
    await _follow(connection, attributes, new, Touch("import", events=names), now)


async def _follow(
    connection: Connection, attributes: dict[str, Json], new: Collection[str], touch: Touch, now: datetime
) -> None:
    people = [Person(customer_id, known, False, now) for customer_id, known in attributes.items()]
    await follow_all(connection, [person for person in people if person.id not in new], touch)
    await follow_all(connection, [person for person in people if person.id in new], Touch(touch.cause, is_new=True))
