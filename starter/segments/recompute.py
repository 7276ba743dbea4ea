"""Rules of segments at work on all customers: an edited rule, and what time alone turns."""

import asyncio

import structlog

from campaigns.models.journey.conditions import Condition
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.segment_rules import cycle, known_rule, mentions, parse_rule, turns_with_time
from campaigns.models.store.database import Connection, Database
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import campaigns, customers, segment_sql, segments
from campaigns.models.store.queries.segment_sql import NotInSql
from campaigns.models.store.queries.segments import SegmentRow
from campaigns.models.values import Json, utc_now
from campaigns.starter.outbox import Outbox
from campaigns.starter.segments.follow import Touch, compare
from campaigns.starter.segments.moved import look_again

EVERY_S = 1.0
TURNS = 200
SQL_PAGE = 20_000
AT_ONCE = 4
"""So many pages of an edited rule are worked off before it is answered; the rest in the background."""

log = structlog.get_logger()


class Rules:
    """Sets, previews and applies the rules of segments. Doing a page twice is harmless, so any starter may."""

    def __init__(self, database: Database, outbox: Outbox, definitions: Definitions) -> None:
        self._database = database
        self._outbox = outbox
        self._definitions = definitions

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            try:
                while await self.turn_once() == TURNS or await self.recompute_once():
                    pass
            except Exception:
                log.exception("following rules failed, and goes on")
            await asyncio.sleep(EVERY_S)

    async def put(self, key: str, name: str, active: bool, raw: object, *, triggers: bool, keeps: bool) -> SegmentRow:
        """Make or change a segment; `keeps` its rule where none was given. Raise Invalid."""
        rule = None if raw is None else parse_rule(raw)
        async with self._database.write() as connection:
            known = await segments.get(connection, key, lock=True)
            if rule is not None:
                await _check(connection, key, rule)
            await segments.put(connection, key, name, active, utc_now())
            changed = (known.rule if known else None) != raw and not keeps
            if changed:
                mentioned = mentions(rule).by_kind() if rule is not None else {}
                await segments.set_rule(
                    connection, key, raw if isinstance(raw, dict) else None, mentioned, triggers=triggers
                )
        if changed and rule is not None:
            for _ in range(AT_ONCE):
                if not await self.recompute_once(key):
                    break
        async with self._database.read() as connection:
            row = await segments.get(connection, key)
        if row is None:
            raise AssertionError("the segment was just written")
        return row

    async def preview(self, key: str, raw: object) -> Json:
        """Return how many would enter and leave by the rule, and who would be messaged. Raise Invalid."""
        rule = parse_rule(raw)
        enter = leave = 0
        after: str | None = ""
        async with self._database.read() as connection:
            await _check(connection, key, rule)
            row = await segments.get(connection, key)
            listening = [campaign.key for campaign in await campaigns.triggered_by(connection, key) if campaign.is_live]
            try:
                enter, leave = await segment_sql.count_differing(
                    connection, key, segment_sql.compiled(connection, rule, utc_now())
                )
            except NotInSql:
                while after is not None:
                    page = await compare(connection, key, rule, after)
                    enter, leave, after = enter + len(page.enter), leave + len(page.leave), page.last
                    # Others have work to do too.
                    await asyncio.sleep(0)
            members = await segments.count_members(connection, key)
        reached = enter if listening and (row is None or row.active) else 0
        return {
            "enter": enter,
            "leave": leave,
            "members": members + enter - leave,
            "campaigns": listening,
            "messaged": reached,
        }

    async def recompute_once(self, key: str | None = None) -> bool:
        """Apply an edited rule to some more customers; return whether there is more to do."""
        async with self._database.read() as connection:
            row = await (segments.to_recompute(connection) if key is None else segments.get(connection, key))
            if row is None or row.rule is None or row.recomputed_to is None:
                return False
            rule = known_rule(row.rule)
            alone = not row.recompute_triggers and not turns_with_time(rule)
            alone = alone and not await segments.touched(connection, (), (), [row.key], dependents_only=True)
        if alone:
            try:
                return await self._apply(row, rule) or key is None
            except NotInSql:
                pass
        async with self._database.read() as connection:
            page = await compare(connection, row.key, rule, row.recomputed_to)
        touch = Touch("rule", segments=frozenset([row.key]))
        for customer_id in sorted({*page.enter, *page.leave, *page.turning}):
            await self._look_again(customer_id, touch, triggers=row.recompute_triggers)
        async with self._database.write() as connection:
            await segments.mark_recomputed(connection, row.key, row.rule_version, page.last)
        return page.last is not None or key is None

    async def _apply(self, row: SegmentRow, rule: Condition) -> bool:
        """Apply the rule, from which nothing else follows, to a page of customers; return whether more are left."""
        async with self._database.write() as connection:
            known = await segments.get(connection, row.key, lock=True)
            if known is None or known.rule_version != row.rule_version or known.recomputed_to is None:
                return True
            now = utc_now()
            belongs = segment_sql.compiled(connection, rule, now)
            last = await segment_sql.apply(connection, row.key, belongs, known.recomputed_to, SQL_PAGE, now, "rule")
            await segments.mark_recomputed(connection, row.key, row.rule_version, last)
        return last is not None

    async def turn_once(self) -> int:
        """Look again at those whom time alone may have turned; return how many there were."""
        async with self._database.read() as connection:
            due = await segments.turns(connection, utc_now(), TURNS)
        for key, customer_id in due:
            await self._look_again(customer_id, Touch("time", segments=frozenset([key])))
        return len(due)

    async def _look_again(self, customer_id: str, touch: Touch, *, triggers: bool = True) -> None:
        await look_again(self._outbox, self._definitions, customer_id, touch, triggers=triggers)

    async def progress(self, row: SegmentRow) -> Json | None:
        """Return how far an edited rule has come; None where it was applied to all."""
        if row.recomputed_to is None:
            return None
        async with self._database.read() as connection:
            left = await customers.count_after(connection, row.recomputed_to)
            total = await customers.count_after(connection, "")
        return {"done": total - left, "total": total}


async def _check(connection: Connection, key: str, rule: Condition) -> None:
    """Raise Invalid where the rule asks about a segment that there is not, or about its own."""
    others = {row.key: known_rule(row.rule) for row in await segments.by_rule(connection) if row.rule}
    missing = await segments.missing(connection, mentions(rule).segments - {key})
    errors = [FieldError("rule", f"segment: there is no segment {segment!r}") for segment in sorted(missing)]
    if path := cycle(key, rule, others):
        errors.append(FieldError("rule", f"segment: comes back to itself: {' > '.join(path)}"))
    if errors:
        raise Invalid(errors)
