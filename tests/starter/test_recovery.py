"""What a killed starter leaves behind is done by the next: each accepted message has had its effect once."""

import asyncio

import pytest
from temporalio.client import Client

from tests.support.product import Product, until

MAIL = [{"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}]
WAIT = [{"id": "wait", "type": "wait", "for": [{"name": "go", "event": "Go", "steps": MAIL}], "timeout": "PT60S"}]


async def owed(starter) -> int:
    from campaigns.models.store.queries import outbox

    async with starter.parts.database.read() as connection:
        return await outbox.count(connection)


async def test_committed_but_never_dispatched(product: Product):
    """The starter dies between its commit and the start: the sweep of another starts the entry, and signals it."""
    dying = await product.starter(dispatching=False)
    await dying.customer("ann")
    await dying.campaign("c", steps=WAIT)
    entered = await dying.track("ann", "c")
    assert (await dying.track("ann", "Go"))["signalled"] == [entered["decisions"][0]["entry_id"]]
    assert await owed(dying) == 2
    async with product.worker():
        other = await product.starter()
        await other.until_ended("c", timeout=30)
        assert len(product.providers.mails) == 1
        await until(lambda: _nothing_owed(other))


async def _nothing_owed(starter) -> bool:
    return await owed(starter) == 0


async def test_started_but_not_marked(product: Product):
    """It dies between the start and its mark: doing both again changes nothing."""
    starter = await product.starter(dispatching=False)
    await starter.customer("ann")
    await starter.campaign("c", steps=WAIT)
    await starter.track("ann", "c")
    await starter.track("ann", "Go")
    async with product.worker():
        from campaigns.models.store.queries import outbox
        from campaigns.models.values import utc_now

        async with starter.parts.database.read() as connection:
            assert await outbox.any_due(connection, utc_now()) is False
        rows = await _rows(starter)
        for row in [*rows, *rows, *reversed(rows)]:
            assert await starter.parts.relay.act(row)
        await starter.until_ended("c")
        for row in rows:
            # Long after the end, too: what has begun is not started again.
            assert await starter.parts.relay.act(row)
        await asyncio.sleep(1)
    assert len(product.providers.mails) == 1
    assert (await starter.statistics("c"))["entries"]["completed"] == 1


async def _rows(starter):
    from sqlalchemy import select

    from campaigns.models.dispatch import DispatchRow
    from campaigns.models.store.tables import Dispatch

    async with starter.parts.database.read() as connection:
        columns = select(Dispatch.id, Dispatch.kind, Dispatch.entry_id, Dispatch.payload)
        return [DispatchRow(*row) for row in await connection.execute(columns.order_by(Dispatch.due_at))]


async def _start_and_signal_owed(product: Product):
    """A starter that owes Temporal an entry's start and its first signal, with both rows."""
    starter = await product.starter(dispatching=False)
    await starter.customer("ann")
    await starter.campaign("c", steps=WAIT)
    await starter.track("ann", "c")
    await starter.track("ann", "Go")
    start, signal = sorted(await _rows(starter), key=lambda row: row.kind != "start")
    return starter, start, signal


async def test_an_event_that_comes_before_the_start(product: Product):
    """The signal overtakes the start: signal-with-start keeps it."""
    starter, start, signal = await _start_and_signal_owed(product)
    assert await starter.parts.relay.act(signal)
    assert await starter.parts.relay.act(start)
    async with product.worker():
        await starter.until_ended("c")
    assert len(product.providers.mails) == 1


async def test_another_starter_starts_the_entry_while_the_signal_is_on_its_way(
    product: Product, monkeypatch: pytest.MonkeyPatch
):
    """Nothing has begun when the signal finds no workflow, and then it has: the event is signalled all the same."""
    from campaigns.models.store.queries import steps

    starter, start, signal = await _start_and_signal_owed(product)
    original = steps.has_begun

    async def other_starts_then(connection: object, entry_id: str) -> bool:
        monkeypatch.setattr(steps, "has_begun", original)
        found = await original(connection, entry_id)
        assert await starter.parts.relay.act(start)
        await starter.until_waiting("c", "wait")
        return found

    async with product.worker():
        monkeypatch.setattr(steps, "has_begun", other_starts_then)
        assert await starter.parts.relay.act(signal)
        await starter.until_ended("c")
    assert len(product.providers.mails) == 1


async def test_the_database_is_away_for_a_moment(product: Product, monkeypatch: pytest.MonkeyPatch):
    """Every kind of activity fails at first: the entry goes on where it was, and nothing is sent twice."""
    from campaigns.activities import progress
    from campaigns.activities.delivery import ledger
    from campaigns.models.store.queries import entries, messages

    faults: list[list[int]] = []

    def fails_first(owner: object, name: str, times: int) -> None:
        original, left = getattr(owner, name), [times]
        faults.append(left)

        async def fails(*given, **named):
            left[0] -= 1
            if left[0] >= 0:
                raise ConnectionRefusedError(111, "Connection refused")
            return await original(*given, **named)

        monkeypatch.setattr(owner, name, fails)

    starter = await product.starter()
    await starter.customer("ann")
    branch = {
        "id": "b",
        "type": "branch",
        "branches": [{"name": "all", "when": {"not": {"segment": "no"}}, "steps": MAIL}],
    }
    await starter.call("PUT", "/v1/segments/no", {"name": "No"})
    wait = {"id": "wait", "type": "wait", "for": [{"name": "go", "event": "Go", "steps": []}], "timeout": "PT60S"}
    await starter.campaign("c", steps=[{"id": "rest", "type": "delay", "for": "PT1S"}, branch, wait])
    fails_first(messages, "recipient", 4)
    fails_first(ledger, "write_reports", 2)
    fails_first(progress, "write_reports", 3)
    fails_first(entries, "end", 2)
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_waiting("c", "wait", timeout=60)
        await starter.call("POST", f"/v1/entries/{(await starter.entries('c'))[0]['id']}/exit")
        statistics = await starter.until_ended("c", timeout=60)
    assert all(left < 0 for (left,) in faults)
    assert statistics["entries"]["exited"] == 1
    assert len(product.providers.mails) == 1


async def test_terminated_in_temporal_is_failed(product: Product, client: Client):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", steps=WAIT)
    async with product.worker():
        entry_id = (await starter.track("ann", "c"))["decisions"][0]["entry_id"]
        await starter.until_waiting("c", "wait")
        await client.get_workflow_handle(f"entry-{entry_id}").terminate("an operator's click")
        statistics = await starter.until_ended("c", timeout=40)
    assert statistics["entries"]["failed"] == 1
    assert statistics["steps"][0]["exited"] == 1
    assert (await starter.entries("c"))[0]["ended_by"] == "terminated"


async def test_cancelled_in_temporal_is_taken_out(product: Product, client: Client):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", steps=WAIT)
    async with product.worker():
        entry_id = (await starter.track("ann", "c"))["decisions"][0]["entry_id"]
        await starter.until_waiting("c", "wait")
        await client.get_workflow_handle(f"entry-{entry_id}").cancel()
        statistics = await starter.until_ended("c")
    assert statistics["entries"]["exited"] == 1
    assert (await starter.entries("c"))[0]["ended_by"] == "operator"


async def test_an_erased_customer(product: Product, client: Client):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.call("PUT", "/v1/segments/vip", {"name": "VIP"})
    await starter.call("POST", "/v1/segments/vip/members", {"customer_ids": ["ann"]})
    await starter.campaign(
        "c", frequency={"type": "every_time"}, steps=[*MAIL, *WAIT[:0], {"id": "rest", "type": "delay", "for": "P1D"}]
    )
    async with product.worker():
        entry_id = (await starter.track("ann", "c"))["decisions"][0]["entry_id"]
        await starter.until_waiting("c", "rest")
        await starter.call("DELETE", "/v1/customers/ann", status=204)
        await starter.call("GET", "/v1/customers/ann", status=404)

        async def gone() -> bool:
            try:
                await client.get_workflow_handle(f"entry-{entry_id}").describe()
            except Exception:
                return True
            return False

        await until(gone)
        statistics = await starter.until_ended("c")
        assert (statistics["entries"]["exited"], statistics["steps"][0]["messages"]["sent"]) == (1, 1)
        assert [one["outcome"] for one in (await starter.track("ann", "c"))["decisions"]] == ["erased"]
        await starter.call("GET", "/v1/customers/ann", status=404)
    from sqlalchemy import text

    async with starter.parts.database.read() as connection:
        for table in ("customer", "entry", "decision", "segment_member", "event", "consent", "holdout"):
            column = "id" if table == "customer" else "customer_id"
            count = await connection.execute(text(f"SELECT count(*) FROM {table} WHERE {column} = 'ann'"))
            assert count.scalar_one() == 0, table
    await starter.customer("ann")
    assert [one["outcome"] for one in (await starter.track("ann", "c"))["decisions"]] == ["entered"]


async def test_what_a_newer_version_owes_is_left_to_it(product: Product):
    """A rolling update: a row of a kind that this version does not know is neither done nor lost."""
    from sqlalchemy import text

    from campaigns.models.dispatch import DispatchRow
    from campaigns.models.store.queries import outbox
    from campaigns.models.values import utc_now

    starter = await product.starter()
    row = DispatchRow("new", "newer_kind", "e", {})
    with pytest.raises(ValueError, match="newer_kind"):
        await starter.parts.relay.act(row)
    async with starter.parts.database.write() as connection:
        await outbox.add(connection, [row], utc_now())

    async def swept() -> bool:
        async with starter.parts.database.read() as connection:
            return (await connection.execute(text("SELECT attempts FROM dispatch"))).scalar_one() > 0

    await until(swept)
    await starter.parts.relay.stop()
    assert await owed(starter) == 1
