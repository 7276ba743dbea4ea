"""Batches, and more than can be taken in at once."""

import asyncio

import httpx2
import pytest

from campaigns.models.store.queries import events
from campaigns.models.values import utc_now
from tests.support.product import WRITE_KEY, Product, Starter, until

PAUSE = {"id": "pause", "type": "delay", "for": "P1D"}


async def batch(starter: Starter, messages: list[dict]) -> list[dict]:
    answer = await starter.tracking.post("/v1/batch", json={"batch": messages})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def track(customer: str | None, event: str, message_id: str, **properties) -> dict:
    who = {"userId": customer} if customer else {"anonymousId": "somebody"}
    return {"type": "track", "event": event, "messageId": message_id, "properties": properties, **who}


async def history(starter: Starter, customer: str, *names: str) -> list[str]:
    async with starter.parts.database.read() as connection:
        return sorted(event.name for event in await events.history(connection, customer, names))


async def test_a_batch_that_concerns_nobody(product: Product):
    starter = await product.starter()
    await starter.customer("ann")
    messages = [track("ann" if n % 2 else None, f"Seen {n % 3}", f"m{n}", n=n) for n in range(1_200)]
    results = await batch(starter, messages)
    assert [one["messageId"] for one in results] == [one["messageId"] for one in messages]
    assert all(
        one == {"success": True, "messageId": one["messageId"], "decisions": [], "signalled": []} for one in results
    )
    assert len(await history(starter, "ann", "Seen 0", "Seen 1", "Seen 2")) == 600
    # Again it changes nothing, and a message that is bad stands alone.
    assert await batch(starter, messages[:3]) == results[:3]
    mixed = await batch(starter, [messages[0], {"type": "track"}, track("ann", "New", "n1"), track("ann", "New", "n1")])
    assert [one["success"] for one in mixed] == [True, False, True, True]
    assert mixed[1]["error"]["errors"][0]["field"]
    assert len(await history(starter, "ann", "Seen 0", "Seen 1", "Seen 2", "New")) == 601


async def test_a_batch_keeps_each_customers_order(product: Product):
    starter = await product.starter()
    where = {"all": [{"event": "Seen", "count": {"op": "equals", "value": 2}}, {"attribute": "plan", "op": "exists"}]}
    trigger = {"type": "event", "event": "Bought", "where": where}
    await starter.campaign("c", trigger=trigger, steps=[PAUSE])
    await starter.customer("ann")
    await starter.customer("bob")
    results = await batch(
        starter,
        [
            track("bob", "Seen", "b1"),
            track("ann", "Seen", "a1"),
            {"type": "identify", "userId": "ann", "messageId": "a2", "traits": {"plan": "pro"}},
            track("ann", "Seen", "a3"),
            track("ann", "Bought", "a4"),
            track("ann", "Seen", "a5"),
            track("new", "Seen", "n1"),
        ],
    )
    outcomes = {one["messageId"]: [decision["outcome"] for decision in one["decisions"]] for one in results}
    assert outcomes == {"b1": [], "a1": [], "a2": [], "a3": [], "a4": ["entered"], "a5": [], "n1": []}
    # Who is new is known from then on; who is inside hears what the campaign listens for.
    assert await history(starter, "new", "Seen") == ["Seen"]
    assert (await starter.call("GET", "/v1/customers/new"))["id"] == "new"


async def test_an_event_in_a_batch_reaches_a_running_entry(product: Product):
    starter = await product.starter()
    wait = {"id": "wait", "type": "wait", "timeout": "P1D", "for": [{"name": "go", "event": "Go"}]}
    async with product.worker():
        await starter.campaign("c", steps=[wait])
        await starter.customer("ann")
        await starter.track("ann", "c")
        results = await batch(starter, [track("ann", "Other", "o"), track("ann", "Go", "g"), track("ann", "Go", "g")])
        assert [len(one["signalled"]) for one in results] == [0, 1, 1]
        await starter.until_ended("c")


async def test_an_erased_customer_in_a_batch(product: Product):
    starter = await product.starter()
    await starter.customer("ann")
    await starter.call("DELETE", "/v1/customers/ann")
    await batch(starter, [track("ann", "Seen", "m1"), track("ann", "Seen", "m2")])
    assert (await starter.api.get("/v1/customers/ann")).status_code == 404
    assert await history(starter, "ann", "Seen") == []


async def test_no_call_of_an_erased_customer_leaves_a_row_of_theirs(product: Product):
    from sqlalchemy import text

    starter = await product.starter()
    await starter.customer("ann")
    await starter.call("DELETE", "/v1/customers/ann")
    others = [
        {"userId": "ann", "messageId": kind, "type": kind, "traits": {"city": "Bonn"}} for kind in ("group", "alias")
    ]
    assert [one["success"] for one in await batch(starter, [track("ann", "Seen", "m"), *others])] == [True, True, True]
    async with starter.parts.database.read() as connection:
        rows = (await connection.execute(text("SELECT customer_id, name, properties FROM event"))).all()
    assert [(row[0], row[1]) for row in rows] == [(None, None)] * 3
    assert "Bonn" not in str(rows)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_too_much_at_once_is_said_so(product: Product, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("campaigns.starter.http.keys.few_at_once.__defaults__", (8,))
    starter = await product.starter()
    release = asyncio.Event()
    take = starter.parts.intake.take

    async def slow(message):
        await release.wait()
        return await take(message)

    monkeypatch.setattr(starter.parts.intake, "take", slow)
    async with httpx2.AsyncClient(
        base_url=starter.url, auth=(WRITE_KEY, ""), timeout=30, limits=httpx2.Limits(max_connections=40)
    ) as client:
        calls = [
            asyncio.create_task(client.post("/v1/track", json={"userId": f"c{n}", "event": "E"})) for n in range(20)
        ]

        async def all_but_those_at_work() -> bool:
            return sum(call.done() for call in calls) >= 12

        await until(all_but_those_at_work, timeout=60)
        refused = [call.result() for call in calls if call.done()]
        assert len(refused) == 12
        assert {(one.status_code, one.headers["retry-after"], one.headers["content-type"]) for one in refused} == {
            (429, "1", "application/problem+json")
        }
        release.set()
        answers = await asyncio.gather(*calls)
    assert sorted(one.status_code for one in answers) == [200] * 8 + [429] * 12
    after = await starter.track("c99", "E")
    assert after["success"]


async def test_names_of_events_are_kept(product: Product):
    starter = await product.starter()
    await starter.track("ann", "One")
    await batch(starter, [track(None, "Two", "t"), track("ann", "One", "x")])
    async with starter.parts.database.write() as connection:
        await events.remember_names(connection, ["One", None], utc_now())
        assert await events.unheard(connection, ["One", "Two", "Three"]) == {"Three"}
