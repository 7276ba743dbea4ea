"""Segments by rule: who enters and leaves, when, and what follows."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.product import Product, Starter, until

MAIL = {"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}
PRO = {"attribute": "plan", "op": "equals", "value": "pro"}
BUYER = {
    "event": "Bought",
    "where": {"property": "total", "op": "at_least", "value": 10},
    "count": {"op": "at_least", "value": 2},
}


async def members(starter: Starter, key: str) -> set[str]:
    return {
        one["customer_id"] for one in (await starter.call("GET", f"/v1/segments/{key}/members?limit=1000"))["members"]
    }


async def segment(starter: Starter, key: str, rule: object, **more) -> dict:
    return await starter.call("PUT", f"/v1/segments/{key}", {"name": key, "rule": rule, **more})


async def causes(starter: Starter, customer: str) -> list[tuple[str, str, str]]:
    changes = (await starter.call("GET", f"/v1/customers/{customer}/segments"))["changes"]
    return [(one["segment"], one["change"], one["cause"]) for one in reversed(changes)]


async def test_membership_follows_attributes_and_triggers(product: Product):
    starter = await product.starter()
    async with product.worker():
        await segment(starter, "pro", PRO)
        await starter.campaign("c", trigger={"type": "segment", "segments": ["pro"]}, steps=[MAIL])
        answer = await starter.call("PUT", "/v1/customers/ann", {"plan": "pro", "email": "ann@example.com"})
        assert [(one["campaign"], one["outcome"]) for one in answer["decisions"]] == [("c", "entered")]
        identified = await starter.tracking.post("/v1/identify", json={"userId": "bob", "traits": {"plan": "pro"}})
        assert [one["outcome"] for one in identified.json()["decisions"]] == ["entered"]
        assert await members(starter, "pro") == {"ann", "bob"}
        await starter.call("PUT", "/v1/customers/ann", {"plan": "free"})
        await starter.call("PUT", "/v1/customers/ann", {"city": "Athens"})
        assert await members(starter, "pro") == {"bob"}
        assert await causes(starter, "ann") == [("pro", "entered", "api: email, plan"), ("pro", "left", "api: plan")]
        await starter.until_ended("c")
        shown = await starter.call("GET", "/v1/segments/pro")
        assert (shown["members"], shown["rule"], shown["recomputing"]) == (1, PRO, None)
        refused = await starter.api.post("/v1/segments/pro/members", json={"customer_ids": ["ann"]})
        assert refused.status_code == 409


async def test_membership_follows_events_and_an_event_counts_itself(product: Product):
    starter = await product.starter()
    async with product.worker():
        await segment(starter, "buyers", BUYER)
        await starter.campaign("s", trigger={"type": "segment", "segments": ["buyers"]}, steps=[MAIL])
        where = {"segment": "buyers"}
        await starter.campaign("e", trigger={"type": "event", "event": "Bought", "where": where}, steps=[MAIL])
        first = await starter.track("ann", "Bought", {"total": 10})
        second = await starter.track("ann", "Bought", {"total": 9})
        third = await starter.track("ann", "Bought", {"total": 30})
        outcomes = [[(one["campaign"], one["outcome"]) for one in one["decisions"]] for one in (first, second, third)]
        assert outcomes == [[("e", "not_matching")], [("e", "not_matching")], [("e", "entered"), ("s", "entered")]]
        again = await starter.track("ann", "Bought", {"total": 30})
        assert [one["campaign"] for one in again["decisions"]] == ["e"]
        assert await causes(starter, "ann") == [("buyers", "entered", "event Bought")]
        await starter.until_ended("s")
        await starter.until_ended("e")


async def test_segments_of_segments_and_not(product: Product):
    starter = await product.starter()
    async with product.worker():
        await starter.call("PUT", "/v1/segments/vip", {"name": "VIP"})
        await segment(starter, "pro", PRO)
        await segment(starter, "both", {"all": [{"segment": "pro"}, {"segment": "vip"}]})
        await segment(starter, "rest", {"not": {"segment": "both"}})
        await starter.campaign(
            "c", trigger={"type": "segment", "segments": ["both"]}, exit_on_leave=True,
            steps=[{"id": "rest", "type": "delay", "for": "P1D"}],
        )  # fmt: skip
        await starter.call("PUT", "/v1/customers/ann", {"plan": "pro"})
        assert await members(starter, "rest") == {"ann"}
        made = await starter.call("POST", "/v1/segments/vip/members", {"customer_ids": ["ann"]})
        assert [(one["campaign"], one["outcome"]) for one in made["decisions"]] == [("c", "entered")]
        assert (await members(starter, "both"), await members(starter, "rest")) == ({"ann"}, set())
        await starter.until_waiting("c", "rest")
        await starter.call("PUT", "/v1/customers/ann", {"plan": None})
        await starter.until_ended("c")
        (entry,) = await starter.entries("c")
        assert entry["ended_by"] == "left_segment"
        assert (await members(starter, "both"), await members(starter, "rest")) == (set(), {"ann"})


async def test_time_alone_lets_them_enter_and_leave(product: Product):
    starter = await product.starter()
    async with product.worker():
        lately = {"event": "Seen", "within": "PT2S"}
        await segment(starter, "lately", lately)
        await segment(starter, "asleep", {"all": [{"event": "Seen"}, {"not": lately}]})
        await starter.campaign("wake", trigger={"type": "segment", "segments": ["asleep"]}, steps=[MAIL])
        await starter.customer("ann")
        began = datetime.now(UTC)
        await starter.track("ann", "Seen")
        assert await members(starter, "lately") == {"ann"}
        await starter.until_ended("wake")
        assert datetime.now(UTC) - began >= timedelta(seconds=2)
        assert (await members(starter, "lately"), await members(starter, "asleep")) == (set(), {"ann"})
        await starter.track("ann", "Seen")
        assert (await members(starter, "lately"), await members(starter, "asleep")) == ({"ann"}, set())
        assert ("asleep", "entered", "time") in await causes(starter, "ann")


async def test_an_edited_rule_and_its_preview(product: Product):
    starter = await product.starter()
    async with product.worker():
        for number in range(6):
            await starter.customer(f"c{number}", plan="pro" if number < 4 else "free", age=number)
        old = {"attribute": "age", "op": "at_most", "value": 2}
        assert (await segment(starter, "s", old))["members"] == 3
        await starter.campaign("c", trigger={"type": "segment", "segments": ["s"]}, steps=[MAIL])
        preview = await starter.call(
            "POST", "/v1/segments/s/preview", {"rule": {"attribute": "age", "op": "at_least", "value": 2}}
        )
        assert preview == {"key": "s", "enter": 3, "leave": 2, "members": 4, "campaigns": ["c"], "messaged": 3}
        assert await members(starter, "s") == {"c0", "c1", "c2"}
        # Who enters by an edited rule triggers only where that is said.
        await segment(starter, "s", PRO)
        assert await members(starter, "s") == {"c0", "c1", "c2", "c3"}
        assert await starter.entries("c") == []
        await segment(starter, "s", {"attribute": "age", "op": "at_least", "value": 3}, trigger=True)
        assert await members(starter, "s") == {"c3", "c4", "c5"}
        assert {entry["customer_id"] for entry in await starter.entries("c")} == {"c4", "c5"}
        # Without a word of the rule it stays; with null members are set by hand.
        await starter.call("PUT", "/v1/segments/s", {"name": "New name", "active": True})
        assert (await starter.call("GET", "/v1/segments/s"))["rule"]["op"] == "at_least"
        await segment(starter, "s", None)
        assert len(await members(starter, "s")) == 3
        await starter.call("POST", "/v1/segments/s/members", {"customer_ids": ["c0"]})
        await starter.until_ended("c")


@pytest.mark.parametrize("op", ["at_least", "after"])
async def test_an_edited_rule_reaches_everyone_in_the_background(
    product: Product, monkeypatch: pytest.MonkeyPatch, op: str
):
    monkeypatch.setattr("campaigns.starter.segments.follow.PAGE", 3)
    monkeypatch.setattr("campaigns.starter.segments.recompute.SQL_PAGE", 3)
    starter = await product.starter()
    for number in range(40):
        await starter.call("PUT", f"/v1/customers/c{number:02}", {"n": number, "on": f"2026-01-{number % 28 + 1:02}"})
    # The one by SQL, the other by Python.
    rule = (
        {"attribute": "n", "op": op, "value": 1}
        if op == "at_least"
        else {"attribute": "on", "op": op, "value": "2026-01-02"}
    )
    answer = await segment(starter, "even", rule)
    assert answer["recomputing"]["total"] == 40
    assert answer["recomputing"]["done"] < 40

    async def done() -> bool:
        return (await starter.call("GET", "/v1/segments/even"))["recomputing"] is None

    await until(done)
    expected = {f"c{n:02}" for n in range(40) if (n >= 1 if op == "at_least" else n % 28 >= 2)}
    assert await members(starter, "even") == expected
    assert await causes(starter, "c03") == [("even", "entered", "rule")]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"property": "total", "op": "exists"}, "property: belongs into the where"),
        ({"step": "x", "status": "sent"}, "step: a segment knows no steps"),
        ({"attribute": "a", "op": "equals", "value": {"trigger": "x"}}, "a segment knows no trigger"),
        ({"segment": "nowhere"}, "there is no segment 'nowhere'"),
        ({"segment": "self"}, "comes back to itself: self > self"),
        ({"attribute": "a"}, "rule"),
        ({"any": []}, "rule.any"),
        ("x", "rule"),
    ],
)
async def test_rules_that_are_none(product: Product, rule: object, said: str):
    starter = await product.starter()
    for path in ("/v1/segments/self", "/v1/segments/self/preview"):
        body = {"rule": rule} if path.endswith("preview") else {"name": "Self", "rule": rule}
        answer = await (starter.api.post if path.endswith("preview") else starter.api.put)(path, json=body)
        assert answer.status_code == 400
        assert said in answer.text


async def test_no_cycles(product: Product):
    starter = await product.starter()
    await segment(starter, "a", PRO)
    await segment(starter, "b", {"not": {"segment": "a"}})
    await segment(starter, "c", {"any": [{"segment": "b"}, PRO]})
    answer = await starter.api.put("/v1/segments/a", json={"name": "A", "rule": {"segment": "c"}})
    assert answer.status_code == 400
    assert "a > c > b > a" in answer.text


async def test_an_update_lets_others_follow_but_not_its_own_campaign(product: Product):
    starter = await product.starter()
    async with product.worker():
        await segment(starter, "marked", {"attribute": "mark", "op": "exists"})
        trigger = {"type": "segment", "segments": ["marked"]}
        update = {"id": "update", "type": "update", "attributes": {"mark": 1}}
        await starter.campaign("own", trigger=trigger, steps=[update], frequency={"type": "every_time"})
        await starter.campaign("other", trigger=trigger, steps=[MAIL])
        await starter.customer("ann")
        await starter.customer("bob", mark=1)
        await starter.until_ended("own")
        await starter.campaign("start", trigger={"type": "event", "event": "Go"}, steps=[update])
        await starter.track("ann", "Go")

        async def followed() -> bool:
            return "ann" in {entry["customer_id"] for entry in await starter.entries("other")}

        await until(followed)
        decisions = await starter.call("GET", "/v1/customers/ann/decisions")
        assert {(one["campaign"], one["outcome"]) for one in decisions["decisions"]} == {
            ("start", "entered"), ("other", "entered"), ("own", "entered"),
        }  # fmt: skip


async def test_an_update_writes_by_the_rules_of_identify(product: Product):
    """Null takes away, the id is no attribute, and memberships follow."""
    starter = await product.starter()
    async with product.worker():
        await segment(starter, "planless", {"attribute": "plan", "op": "not_exists"})
        update = {"id": "update", "type": "update", "attributes": {"plan": None, "id": "bob", "age": 5}}
        await starter.campaign("c", trigger={"type": "event", "event": "Go"}, steps=[update])
        await starter.call("PUT", "/v1/customers/ann", {"plan": "pro", "n": 1})
        await starter.track("ann", "Go")
        await starter.until_ended("c")

        async def followed() -> bool:
            return (await starter.call("GET", "/v1/customers/ann"))["segments"] == ["planless"]

        await until(followed)
        known = await starter.call("GET", "/v1/customers/ann")
    shown = {name: value for name, value in known.items() if name not in ("segments", "consents", "entries")}
    assert shown == {"id": "ann", "n": 1, "age": 5}


# The membership of one customer, followed step by step, is what the whole base gives.

paths = st.sampled_from(["plan", "age", "a.b"])
values = st.sampled_from(["pro", "free", 1, 2.5, True, None, ["pro"], {"b": 1}])
conditions = st.recursive(
    st.builds(lambda path, value: {"attribute": path, "op": "equals", "value": value}, paths, values.filter(lambda one: one is not None))
    | st.builds(lambda path, op: {"attribute": path, "op": op}, paths, st.sampled_from(["exists", "not_exists"]))
    | st.builds(lambda count, op: {"event": "E", "count": {"op": op, "value": count}}, st.integers(0, 3), st.sampled_from(["at_least", "equals", "at_most"])),
    lambda below: st.builds(lambda one: {"not": one}, below)
    | st.builds(lambda some: {"all": some}, st.lists(below, min_size=1, max_size=3))
    | st.builds(lambda some: {"any": some}, st.lists(below, min_size=1, max_size=3)),
    max_leaves=5,
)  # fmt: skip
steps = st.lists(
    st.just("event") | st.dictionaries(paths.map(lambda path: path.partition(".")[0]), values, min_size=1), max_size=5
)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_following_gives_what_the_whole_base_gives(product: Product):
    starter = await product.starter()
    loop = asyncio.get_running_loop()
    count = 0

    async def check(rule: dict, done: list) -> None:
        nonlocal count
        count += 1
        name = f"c{count}"
        await segment(starter, "followed", rule)
        for one in done:
            if one == "event":
                await starter.track(name, "E")
            else:
                await starter.call("PUT", f"/v1/customers/{name}", one)
        if not done:
            await starter.call("PUT", f"/v1/customers/{name}", {})
        followed = name in await members(starter, "followed")
        preview = await starter.call("POST", "/v1/segments/fresh/preview", {"rule": rule})
        all_followed = await members(starter, "followed")
        assert preview["enter"] == len(all_followed), (rule, done)
        assert followed == (name in all_followed)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(conditions, steps)
    def run(rule, done):
        asyncio.run_coroutine_threadsafe(check(rule, done), loop).result()

    await asyncio.to_thread(run)
