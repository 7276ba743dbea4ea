"""Pause, stop, goals, leaving, consent: what may happen to an entry besides its steps."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from temporalio.client import Client

from campaigns.cli.demo import inconsistencies
from campaigns.starter.admission import due_entries
from tests.support.product import Product, Starter, until

MAIL = {"id": "mail", "type": "email", "subject": "Hello", "html": "<a href='{{ unsubscribe_url }}'>x</a>"}
PAUSE = {"id": "pause", "type": "delay", "for": "PT1S"}
REST = {"id": "rest", "type": "delay", "for": "P30D"}


async def test_a_pause_holds_and_loses_nobody(product: Product):
    starter = await product.starter()
    await starter.campaign("c", steps=[PAUSE, MAIL])
    async with product.worker():
        for n in range(5):
            await starter.customer(f"c{n}")
            await starter.track(f"c{n}", "c")
        await starter.call("POST", "/v1/campaigns/c/pause")
        await starter.until_waiting("c", "mail")
        assert [one["outcome"] for one in (await starter.track("late", "c"))["decisions"]] == ["not_live"]
        await asyncio.sleep(1.5)
        statistics = await starter.statistics("c")
        assert (statistics["entries"]["running"], statistics["steps"][1]["waiting"]) == (5, 5)
        assert inconsistencies(statistics) == []
        assert product.providers.mails == []
        timeline = (await starter.call("GET", f"/v1/entries/{(await starter.entries('c'))[0]['id']}"))["timeline"]
        assert timeline[-1]["detail"] == "held: paused"
        await starter.call("POST", "/v1/campaigns/c/resume")
        statistics = await starter.until_ended("c")
    assert statistics["entries"]["completed"] == 5
    assert len(product.providers.mails) == 5


async def test_stop_ends_all_without_another_message(product: Product):
    starter = await product.starter()
    await starter.campaign("c", steps=[PAUSE, MAIL])
    async with product.worker():
        for n in range(5):
            await starter.customer(f"c{n}")
            await starter.track(f"c{n}", "c")
        await starter.until_waiting("c", "pause")
        await starter.call("POST", "/v1/campaigns/c/stop")
        statistics = await starter.until_ended("c")
        await asyncio.sleep(1.5)
    assert statistics["entries"]["exited"] == 5
    assert {entry["ended_by"] for entry in await starter.entries("c")} == {"stopped"}
    assert product.providers.mails == []
    assert inconsistencies(statistics) == []


async def test_stop_while_paused(product: Product):
    starter = await product.starter()
    await starter.campaign("c", steps=[PAUSE, MAIL])
    async with product.worker():
        await starter.customer("ann")
        await starter.track("ann", "c")
        await starter.call("POST", "/v1/campaigns/c/pause")
        await starter.until_waiting("c", "mail")
        await starter.call("POST", "/v1/campaigns/c/stop")
        statistics = await starter.until_ended("c")
    assert statistics["entries"]["exited"] == 1
    assert product.providers.mails == []


async def test_a_goal_ends_a_long_delay_at_once(product: Product):
    starter = await product.starter()
    where = {"property": "order", "op": "equals", "value": {"trigger": "order"}}
    await starter.campaign("c", goal={"event": "Bought", "where": where, "within": "P14D"}, steps=[MAIL, REST])
    async with product.worker():
        await starter.customer("ann")
        await starter.track("ann", "c", {"order": 7})
        await starter.until_waiting("c", "rest")
        assert (await starter.track("ann", "Bought", {"order": 8}))["signalled"] == []
        assert len((await starter.track("ann", "Bought", {"order": 7}))["signalled"]) == 1
        statistics = await starter.until_ended("c")
    assert (statistics["entries"]["exited"], statistics["entries"]["converted"]) == (1, 1)
    assert statistics["steps"][0]["messages"]["converted"] == 1
    assert statistics["steps"][1]["exited"] == 1
    assert (await starter.entries("c"))[0]["ended_by"] == "goal"


async def test_a_goal_counts_after_the_end_too(product: Product):
    starter = await product.starter()
    await starter.campaign("c", goal={"event": "Bought", "within": "PT2S"}, steps=[MAIL])
    async with product.worker():
        for customer in ("ann", "bob"):
            await starter.customer(customer)
            await starter.track(customer, "c")
        await starter.until_ended("c")
        await starter.track("ann", "Bought")
        await starter.track("ann", "Bought")
        await asyncio.sleep(2)
        await starter.track("bob", "Bought")
    assert (await starter.statistics("c"))["entries"]["converted"] == 1


async def test_the_holdout_gets_nothing_and_is_compared(product: Product):
    starter = await product.starter()
    await starter.campaign("c", holdout_percent=100, goal={"event": "Bought"}, steps=[MAIL])
    assert [one["outcome"] for one in (await starter.track("ann", "c"))["decisions"]] == ["holdout"]
    await starter.track("bob", "c")
    await starter.track("ann", "Bought")
    statistics = await starter.statistics("c")
    assert statistics["holdout"] == {"customers": 2, "converted": 1}
    assert statistics["entries"]["entered"] == 0


async def test_leaving_the_segments_ends_the_entry(product: Product):
    starter = await product.starter()
    for segment in ("a", "b"):
        await starter.call("PUT", f"/v1/segments/{segment}", {"name": segment})
    await starter.campaign("c", trigger={"type": "segment", "segments": ["a", "b"]}, exit_on_leave=True, steps=[REST])
    async with product.worker():
        await starter.customer("ann")
        for segment in ("a", "b"):
            await starter.call("POST", f"/v1/segments/{segment}/members", {"customer_ids": ["ann"]})
        await starter.until_waiting("c", "rest")
        await starter.call("DELETE", "/v1/segments/a/members/ann")
        assert (await starter.statistics("c"))["entries"]["running"] == 1
        await starter.call("DELETE", "/v1/segments/b/members/ann")
        await starter.until_ended("c")
    assert (await starter.entries("c"))[0]["ended_by"] == "left_segment"


async def test_entering_a_segment_twice_is_one_trigger(product: Product):
    starter = await product.starter()
    await starter.call("PUT", "/v1/segments/a", {"name": "a"})
    await starter.campaign(
        "c", trigger={"type": "segment", "segments": ["a"]}, frequency={"type": "every_time"}, steps=[{"type": "exit"}]
    )
    await starter.customer("ann")
    members = {"customer_ids": ["ann"]}
    assert len((await starter.call("POST", "/v1/segments/a/members", members))["decisions"]) == 1
    assert (await starter.call("POST", "/v1/segments/a/members", members))["decisions"] == []


async def test_an_edit_changes_new_entries_only(product: Product):
    starter = await product.starter()
    await starter.campaign("c", steps=[{**PAUSE, "for": "PT2S"}, MAIL])
    async with product.worker():
        await starter.customer("ann")
        await starter.customer("bob")
        await starter.track("ann", "c")
        edited = {**MAIL, "id": "other", "subject": "New"}
        definition = {"name": "c", "trigger": {"type": "event", "event": "c"}, "steps": [edited]}
        assert (await starter.call("PUT", "/v1/campaigns/c", definition))["version"] == 2
        await starter.track("bob", "c")
        statistics = await starter.until_ended("c")
    assert {entry["customer_id"]: entry["version"] for entry in await starter.entries("c")} == {"ann": 1, "bob": 2}
    assert [mail["Subject"] for mail in product.providers.mails_to("ann")] == ["Hello"]
    assert [mail["Subject"] for mail in product.providers.mails_to("bob")] == ["New"]
    assert [step["id"] for step in statistics["steps"]] == ["other", "pause", "mail"]
    assert inconsistencies(statistics) == []


async def test_unsubscribing_by_the_link_in_the_mail(product: Product):
    starter = await product.starter()
    await starter.campaign("c", frequency={"type": "every_time"}, steps=[MAIL])
    await starter.campaign(
        "receipt",
        trigger={"type": "event", "event": "c"},
        frequency={"type": "every_time"},
        steps=[{**MAIL, "category": "transactional"}],
    )
    async with product.worker():
        await starter.customer("ann")
        await starter.track("ann", "c")
        await starter.until_ended("c")
        await starter.until_ended("receipt")
        mails = product.providers.mails_to("ann")
        (mail,) = [one for one in mails if one["List-Unsubscribe"]]
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        path = mail["List-Unsubscribe"].strip("<>").removeprefix("http://campaigns.test")
        starter.api.headers.pop("Authorization")
        page = await starter.api.get(path)
        assert (page.status_code, "Unsubscribe" in page.text) == (200, True)
        assert (await starter.api.post(path[:-2] + "xx")).status_code == 404
        starter.api.headers["Authorization"] = "Bearer test-api-key"
        assert (await starter.call("GET", "/v1/customers/ann"))["consents"] == []
        for _ in range(2):
            answer = await starter.tracking.post(path, data={"List-Unsubscribe": "One-Click"}, auth=None)
            assert answer.status_code == 200
        await starter.track("ann", "c")
        statistics = await starter.until_ended("c")
        await starter.until_ended("receipt")
    assert statistics["steps"][0]["skipped"] == {"unsubscribed": 1}
    assert statistics["steps"][0]["messages"]["unsubscribed"] == 1
    assert len(product.providers.mails_to("ann")) == 3


async def test_skip_a_wait_and_take_one_out(product: Product, client: Client):
    starter = await product.starter()
    await starter.campaign("c", steps=[REST, MAIL])
    async with product.worker():
        for customer in ("ann", "bob"):
            await starter.customer(customer)
            await starter.track(customer, "c")

        async def both_wait() -> bool:
            return (await starter.statistics("c"))["steps"][0]["waiting"] == 2

        await until(both_wait)
        ann, bob = sorted(await starter.entries("c"), key=lambda entry: entry["customer_id"])
        await starter.call("POST", f"/v1/entries/{ann['id']}/skip-wait", status=202)
        await starter.call("POST", f"/v1/entries/{bob['id']}/exit", status=202)
        statistics = await starter.until_ended("c")
        await starter.call("POST", f"/v1/entries/{bob['id']}/exit", status=409)
    assert (statistics["entries"]["completed"], statistics["entries"]["exited"]) == (1, 1)
    assert len(product.providers.mails) == 1


async def test_an_interval_is_a_minimum_gap(product: Product):
    starter = await product.starter()
    await starter.campaign("c", frequency={"type": "interval", "every": "PT2S"}, steps=[MAIL])
    async with product.worker():
        await starter.customer("ann")
        await starter.track("ann", "c")
        await starter.until_ended("c")
        (decision,) = (await starter.track("ann", "c"))["decisions"]
        assert decision["outcome"] == "interval"
        await asyncio.sleep(2)
        assert [one["outcome"] for one in (await starter.track("ann", "c"))["decisions"]] == ["entered"]
        await starter.until_ended("c")
    assert len(product.providers.mails) == 2
    listed = (await starter.call("GET", "/v1/customers/ann/decisions"))["decisions"]
    assert [one["outcome"] for one in listed] == ["entered", "interval", "entered"]
    assert listed[1]["facts"]["interval_s"] == 2
    assert listed[1]["explanation"].endswith(f"from {decision['retry_at']} on.")


async def test_a_branch_on_history_and_segments(product: Product):
    starter = await product.starter()
    await starter.call("PUT", "/v1/segments/vip", {"name": "VIP"})
    cases = [
        {
            "name": "regular",
            "when": {
                "event": "Bought",
                "count": {"op": "at_least", "value": 2},
                "where": {"property": "total", "op": "at_least", "value": 10},
            },
        },
        {"name": "vip", "when": {"segment": "vip"}},
        {"name": "big", "when": {"property": "total", "op": "greater_than", "value": 100}},
    ]
    await starter.campaign("c", steps=[{"id": "which", "type": "branch", "branches": cases}])
    async with product.worker():
        for customer in ("ann", "bob", "cid", "dan"):
            await starter.customer(customer)
        for total in (10, 20, 5):
            await starter.track("ann", "Bought", {"total": total})
        await starter.call("POST", "/v1/segments/vip/members", {"customer_ids": ["bob"]})
        for customer in ("ann", "bob", "dan"):
            await starter.track(customer, "c")
        await starter.track("cid", "c", {"total": 101})

        async def all_ended() -> bool:
            return (await starter.statistics("c"))["entries"]["completed"] == 4

        await until(all_ended)
    assert (await starter.statistics("c"))["steps"][0]["branches"] == {"regular": 1, "vip": 1, "big": 1, "otherwise": 1}


async def members_enter_again(product: Product, starters: int, **fields) -> list[Starter]:
    running = [await product.starter() for _ in range(starters)]
    await running[0].call("PUT", "/v1/segments/a", {"name": "A"})
    trigger = {"type": "segment", "segments": ["a"]}
    frequency = {"type": "interval", "every": "PT2S"}
    await running[0].campaign("c", trigger=trigger, frequency=frequency, steps=[MAIL], **fields)
    for customer in ("ann", "bob"):
        await running[0].customer(customer)
    await running[0].call("POST", "/v1/segments/a/members", {"customer_ids": ["ann", "bob"]})
    return running


async def times_entered(starter: Starter, customer: str) -> list[datetime]:
    entries = [one for one in await starter.entries("c") if one["customer_id"] == customer]
    return sorted(datetime.fromisoformat(one["entered_at"]) for one in entries)


async def test_members_enter_again_at_each_interval(product: Product):
    async with product.worker():
        starter, _ = await members_enter_again(product, 2)
        await starter.call("DELETE", "/v1/segments/a/members/bob")
        of_bob = await times_entered(starter, "bob")

        async def thrice() -> bool:
            return len(product.providers.mails_to("ann")) >= 3

        await until(thrice, timeout=60)
        of_ann = await times_entered(starter, "ann")
        assert all(b - a >= timedelta(seconds=2) for a, b in pairwise(of_ann)), of_ann
        assert await times_entered(starter, "bob") == of_bob
        assert len(product.providers.mails_to("bob")) == len(of_bob) > 0
        assert (await starter.statistics("c"))["decisions"]["entered"] >= len(of_ann) + len(of_bob)
    # What is due is looked for so often that nobody waits five seconds for it.
    assert due_entries.EVERY_S < 5


async def test_what_a_pause_lets_pass_is_not_made_up(product: Product):
    async with product.worker():
        (starter,) = await members_enter_again(product, 1)
        await starter.until_ended("c")
        await starter.call("POST", "/v1/campaigns/c/pause")
        before = await times_entered(starter, "ann")
        await asyncio.sleep(4.5)  # two intervals, at least
        assert await times_entered(starter, "ann") == before
        await starter.call("POST", "/v1/campaigns/c/resume")

        async def again() -> bool:
            return all([len(await times_entered(starter, one)) > len(before) for one in ("ann", "bob")])

        await until(again, timeout=60)
        await starter.call("POST", "/v1/campaigns/c/stop")
        stopped = {one["id"] for one in await starter.entries("c")}
        for customer in ("ann", "bob"):
            at = await times_entered(starter, customer)
            assert all(b - a >= timedelta(seconds=2) for a, b in pairwise(at)), at
        await asyncio.sleep(3)
        assert {one["id"] for one in await starter.entries("c")} == stopped


async def test_existing_members_enter_once_each(product: Product):
    dying = await product.starter(dispatching=False)
    for segment in ("a", "b", "quiet"):
        await dying.call("PUT", f"/v1/segments/{segment}", {"name": segment})
    for n in range(6):
        await dying.customer(f"c{n}")
    for segment, customers in (("a", ["c0", "c1", "c2"]), ("b", ["c2", "c3"]), ("quiet", ["c4"])):
        await dying.call("POST", f"/v1/segments/{segment}/members", {"customer_ids": customers})
    await dying.call("PUT", "/v1/segments/quiet", {"name": "Quiet", "active": False})
    trigger = {"type": "segment", "segments": ["a", "b", "quiet"], "include_existing": True}
    await dying.campaign("c", trigger=trigger, frequency={"type": "every_time"}, steps=[MAIL])
    others = [await product.starter() for _ in range(2)]
    async with product.worker():

        async def all_ended() -> bool:
            return (await others[0].statistics("c"))["entries"]["completed"] == 4

        await until(all_ended)
        await asyncio.sleep(2)
        assert sorted(entry["customer_id"] for entry in await others[0].entries("c")) == ["c0", "c1", "c2", "c3"]
    assert len(product.providers.mails) == 4


async def test_existing_members_wait_for_the_campaigns_start_date(product: Product):
    starter = await product.starter()
    await starter.call("PUT", "/v1/segments/a", {"name": "A"})
    await starter.customer("ann")
    await starter.call("POST", "/v1/segments/a/members", {"customer_ids": ["ann"]})
    starts_at = datetime.now(UTC) + timedelta(seconds=3)
    trigger = {"type": "segment", "segments": ["a"], "include_existing": True}
    await starter.campaign("c", trigger=trigger, starts_at=starts_at.isoformat(), steps=[{"type": "exit"}])

    async def entered() -> list[dict]:
        return await starter.entries("c")

    (entry,) = await until(entered, timeout=60)
    assert datetime.fromisoformat(entry["entered_at"]) >= starts_at
