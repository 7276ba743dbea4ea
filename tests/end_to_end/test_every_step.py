"""Each step and setting of a journey, through HTTP, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.product import Product, Starter, until

MAIL = {"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}


def hook(product: Product) -> str:
    return f"http://127.0.0.1:{product.providers.twilio_port}/hook"


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def clock(shift: timedelta) -> str:
    return f"{datetime.now(UTC) + shift:%H:%M}"


async def only_entry(starter: Starter, campaign: str) -> dict:
    (entry,) = await starter.entries(campaign)
    return await starter.call("GET", f"/v1/entries/{entry['id']}")


def line(entry: dict, step: str) -> dict:
    return [one for one in entry["timeline"] if one["step"] == step][-1]


def step(statistics: dict, step_id: str) -> dict:
    return next(one for one in statistics["steps"] if one["id"] == step_id)


async def test_every_channel_and_what_a_webhook_answers(product: Product):
    starter = await product.starter()
    async with product.worker():
        await starter.customer("ann", pushToken="token-1", plan="pro")
        product.providers.webhook_answers.append((200, {"code": "X7", "deep": {"n": 3}}))
        await starter.campaign(
            "c",
            steps=[
                {"id": "ask", "type": "webhook", "url": hook(product) + "?who={{ customer.id }}", "save_as": "ask",
                 "headers": {"X-Plan": "{{ customer.plan }}"}, "body": {"to": "{{ customer.name }}", "n": [1, "{{ event.total }}"]}},
                {"id": "chat", "type": "whatsapp", "body": "Code {{ steps.ask.code }}"},
                {"id": "note", "type": "push", "title": "{{ customer.name }}", "body": "{{ steps.ask.deep.n }}", "link": "https://x.example/{{ customer.id }}"},
                {"id": "gone", "type": "push", "title": "T", "body": "B", "on_failure": "exit"},
            ],
        )  # fmt: skip
        await starter.track("ann", "c", {"total": 45})
        statistics = await starter.until_ended("c")
    ((method, headers, body),) = product.providers.requests
    assert (method, body, headers["x-plan"]) == ("POST", {"to": "Ann", "n": [1, "45"]}, "pro")
    assert headers["webhook-id"]
    (text,) = product.providers.texts
    assert (text["to"], text["from"], text["body"]) == ("whatsapp:+12025550123", "whatsapp:+12025550100", "Code X7")
    first, _ = product.providers.pushes
    assert first["token"] == "token-1"
    assert first["notification"] == {"title": "Ann", "body": "3"}
    assert first["webpush"]["fcm_options"] == {"link": "https://x.example/ann"}
    assert statistics["entries"]["completed"] == 1
    assert all(one["messages"]["sent"] == 1 for one in statistics["steps"])


async def test_addresses_that_are_missing_or_refused(product: Product):
    starter = await product.starter()
    async with product.worker():
        push = {"type": "push", "title": "T", "body": "B"}
        await starter.campaign("c", steps=[{"id": "one", **push}, {"id": "two", **push}])
        await starter.campaign("d", steps=[{"id": "one", **push, "on_failure": "exit"}, MAIL])
        await starter.customer("ann")
        await starter.customer("bob", pushToken="unregistered-1")
        await starter.track("ann", "c")
        await starter.track("bob", "c")
        statistics = await starter.until_ended("c")
        assert step(statistics, "one")["skipped"] == {"no_address": 1}
        assert step(statistics, "one")["failed"] == 1
        # A device that is gone gets nothing more.
        assert step(statistics, "two")["skipped"] == {"no_address": 1, "suppressed": 1}
        await starter.customer("bob", pushToken="unregistered-2")
        await starter.track("ann", "d")
        await starter.track("bob", "d")
        statistics = await starter.until_ended("d")
    assert statistics["entries"] == {
        "entered": 2,
        "running": 0,
        "completed": 1,
        "exited": 1,
        "failed": 0,
        "converted": 0,
    }
    assert [mail["To"] for mail in product.providers.mails] == ["ann@example.com"]


async def test_a_webhook_that_is_refused_or_tried_again(product: Product):
    starter = await product.starter()
    async with product.worker():
        ask = {"type": "webhook", "url": hook(product), "method": "PUT", "body": {"a": 1}}
        product.providers.webhook_answers += [(503, {}), (200, ["a list"]), (404, {})]
        await starter.campaign("c", steps=[{"id": "one", **ask}, {"id": "two", **ask}])
        await starter.customer("ann")
        await starter.track("ann", "c")
        statistics = await starter.until_ended("c")
    ids = [headers["webhook-id"] for _, headers, _ in product.providers.requests]
    assert ids[0] == ids[1] != ids[2]
    assert (step(statistics, "one")["messages"]["sent"], step(statistics, "two")["failed"]) == (1, 1)


async def test_a_split_is_sticky_and_by_weight(product: Product):
    starter = await product.starter()
    async with product.worker():
        ways = [{"name": "a", "weight": 1, "steps": [MAIL]}, {"name": "b", "weight": 1}, {"name": "never", "weight": 0}]
        split = {"id": "split", "type": "split", "variants": ways}
        await starter.campaign("c", steps=[split], frequency={"type": "every_time"})
        for number in range(12):
            await starter.track(f"customer-{number}", "c")
        first = step(await starter.until_ended("c"), "split")["branches"]
        for number in range(12):
            await starter.track(f"customer-{number}", "c")
        second = step(await starter.until_ended("c"), "split")["branches"]
    assert first["a"] + first["b"] == 12
    assert min(first["a"], first["b"]) > 0
    assert second == {"a": 2 * first["a"], "b": 2 * first["b"], "never": 0}


async def test_dates_of_the_customers(product: Product):
    starter = await product.starter()
    async with product.worker():
        delay = {"id": "date", "type": "delay", "until": {"attribute": "renews_on"}}
        await starter.campaign("c", steps=[delay, MAIL])
        await starter.customer("none")
        await starter.customer("past", renews_on="2020-01-01", timezone="Mars/Base")
        await starter.customer("odd", renews_on="soon")
        await starter.customer("due", renews_on=soon(1.5), timezone="Mars/Base")
        for name in ("none", "past", "odd", "due"):
            await starter.track(name, "c")
        statistics = await starter.until_ended("c")
        found = {entry["customer_id"]: entry["id"] for entry in await starter.entries("c")}
        past = line(await starter.call("GET", f"/v1/entries/{found['past']}"), "date")
        due = line(await starter.call("GET", f"/v1/entries/{found['due']}"), "date")
    date = step(statistics, "date")
    assert date["skipped"] == {"no_date": 1, "past_date": 1, "invalid_date": 1}
    assert date["completed"] == 1
    assert len(product.providers.mails) == 4
    warning = "the customer's timezone is not known; UTC was taken"
    assert (past["outcome"], past["detail"]) == ("skipped", f"past_date, {warning}")
    assert (due["outcome"], due["detail"]) == ("completed", warning)


async def test_a_date_that_changes_moves_the_timer(product: Product):
    starter = await product.starter()
    async with product.worker():
        delay = {"id": "date", "type": "delay", "until": {"attribute": "renews_on"}}
        await starter.campaign("c", steps=[delay, MAIL])
        for name in ("ann", "bob", "cid", "dot"):
            await starter.customer(name, renews_on="2035-01-01")
            await starter.track(name, "c")
        # By every way on which an attribute changes: the API, identify, another journey's update.
        await starter.campaign("u", steps=[{"id": "u", "type": "update", "attributes": {"renews_on": soon(6)}}])

        async def all_wait() -> bool:
            return step(await starter.statistics("c"), "date")["waiting"] == 4

        await until(all_wait)
        await starter.call("PUT", "/v1/customers/ann", {"renews_on": soon(1)})
        answer = await starter.tracking.post("/v1/identify", json={"userId": "bob", "traits": {"renews_on": soon(1)}})
        assert answer.status_code == 200
        await starter.track("cid", "u")
        await starter.call("PUT", "/v1/customers/dot", {"renews_on": None})
        statistics = await starter.until_ended("c")
    assert step(statistics, "date")["completed"] == 3
    assert step(statistics, "date")["skipped"] == {"no_date": 1}


async def test_a_time_of_day_in_the_customers_zone(product: Product):
    starter = await product.starter()
    async with product.worker():
        until_nine = {"id": "nine", "type": "delay", "until": {"time": "09:00", "weekdays": ["mon", "sat", "sun"]}}
        await starter.campaign("c", steps=[until_nine, MAIL], timezone="Asia/Tokyo")
        await starter.customer("ann", timezone="America/New_York")
        await starter.customer("bob")
        for name in ("ann", "bob"):
            await starter.track(name, "c")

        async def both_wait() -> bool:
            return step(await starter.statistics("c"), "nine")["waiting"] == 2

        await until(both_wait)
        shown = {}
        for entry in await starter.entries("c"):
            whole = await starter.call("GET", f"/v1/entries/{entry['id']}")
            shown[entry["customer_id"]] = line(whole, "nine")["detail"].removeprefix("until ")
            await starter.call("POST", f"/v1/entries/{entry['id']}/skip-wait")
        await starter.until_ended("c")
    assert datetime.fromisoformat(shown["bob"]).hour == 0  # 09:00 in Tokyo
    assert datetime.fromisoformat(shown["ann"]).hour in (13, 14)
    assert len(product.providers.mails) == 2


async def test_quiet_hours_hold_marketing_where_the_customer_is(product: Product):
    starter = await product.starter()
    async with product.worker():
        bill = {**MAIL, "id": "bill", "category": "transactional"}
        hours = {"from": clock(-timedelta(hours=2)), "to": clock(timedelta(hours=2))}
        await starter.campaign("c", steps=[bill, MAIL], quiet_hours=hours)
        await starter.customer("ann", timezone="UTC")
        await starter.track("ann", "c")
        await starter.until_waiting("c", "mail")
        await asyncio.sleep(0.5)
        assert [mail["Subject"] for mail in product.providers.mails] == ["Hello"]  # the bill alone
        assert line(await only_entry(starter, "c"), "mail")["detail"].startswith("held: quiet_hours, until ")
        # Pausing and resuming changes nothing; moving to the other side of the world does.
        await starter.call("POST", "/v1/campaigns/c/pause")
        await starter.call("POST", "/v1/campaigns/c/resume")
        await starter.call("PUT", "/v1/customers/ann", {"timezone": "Pacific/Auckland"})
        statistics = await starter.until_ended("c")
    assert step(statistics, "mail")["messages"]["sent"] == 1
    assert len(product.providers.mails) == 2


async def test_a_message_expires(product: Product):
    starter = await product.starter()
    async with product.worker():
        late = {**MAIL, "id": "late", "expires_after": "PT1S"}
        pause = {"id": "pause", "type": "delay", "for": "PT1S"}
        await starter.campaign("c", steps=[pause, late, {**MAIL, "expires_after": "PT1H"}])
        hours = {"from": clock(-timedelta(hours=2)), "to": clock(timedelta(hours=2))}
        await starter.campaign("q", steps=[late], quiet_hours=hours)
        await starter.customer("ann")
        await starter.track("ann", "c")
        await starter.call("POST", "/v1/campaigns/c/pause")
        await starter.track("ann", "q")
        # Where it is known that it cannot go in time, it is skipped when it expires, not when the night is over.
        assert step(await starter.until_ended("q"), "late")["skipped"] == {"expired": 1}
        await starter.until_waiting("c", "late")
        await asyncio.sleep(1.2)
        await starter.call("POST", "/v1/campaigns/c/resume")
        statistics = await starter.until_ended("c")
    assert step(statistics, "late")["skipped"] == {"expired": 1}
    assert step(statistics, "mail")["messages"]["sent"] == 1


async def test_events_come_in_a_pause_and_between_two_steps_and_count_once(product: Product):
    starter = await product.starter()
    wait = {"type": "wait", "timeout": "PT20S"}
    ways = [{"name": "small", "event": "Bought", "where": {"property": "total", "op": "less_than", "value": 10}},
            {"name": "same", "event": "Bought", "where": {"property": "order", "op": "equals", "value": {"trigger": "order"}}}]  # fmt: skip
    await starter.campaign(
        "c",
        steps=[
            {"id": "pause", "type": "delay", "for": "PT1S"},
            {"id": "one", **wait, "for": ways},
            {"id": "two", **wait, "for": [{"name": "any", "event": "Bought"}]},
            {"id": "three", **wait, "timeout": "PT1S", "for": [{"name": "any", "event": "Bought"}]},
        ],
    )
    await starter.customer("ann")
    await starter.track("ann", "c", {"order": "o-1"})
    # No worker yet, and a pause: nothing of it is lost.
    await starter.call("POST", "/v1/campaigns/c/pause")
    for _ in range(3):
        await starter.track("ann", "Bought", {"order": "o-1", "total": 90}, messageId="m-1")
    await starter.track("ann", "Bought", {"order": "o-2", "total": 90}, messageId="m-2")
    async with product.worker():
        await starter.call("POST", "/v1/campaigns/c/resume")
        statistics = await starter.until_ended("c")
    assert step(statistics, "one")["branches"] == {"small": 0, "same": 1, "timeout": 0}
    assert step(statistics, "two")["branches"] == {"any": 1, "timeout": 0}
    assert step(statistics, "three")["branches"] == {"any": 0, "timeout": 1}


async def test_a_branch_on_everything(product: Product):
    starter = await product.starter()
    cases = {
        "vip": {"segment": "vip"},
        "buyer": {"event": "Bought", "where": {"property": "total", "op": "at_least", "value": 50}, "count": {"op": "at_least", "value": 2}, "within": "P1D"},
        "big": {"property": "total", "op": "greater_than", "value": 100},
        "failed": {"step": "mail", "status": "skipped"},
    }  # fmt: skip
    async with product.worker():
        await starter.call("PUT", "/v1/segments/vip", {"name": "VIP"})
        branches = [{"name": name, "when": when, "steps": []} for name, when in cases.items()]
        await starter.campaign("c", steps=[MAIL, {"id": "by", "type": "branch", "branches": branches}])
        for name in ("vip", "buyer", "big", "failed", "none"):
            await starter.customer(name, **({"email": None} if name == "failed" else {}))
        await starter.call("POST", "/v1/segments/vip/members", {"customer_ids": ["vip"]})
        for total in (60, 10, 70):
            await starter.track("buyer", "Bought", {"total": total})
        for name in ("vip", "buyer", "big", "failed", "none"):
            await starter.track(name, "c", {"total": 200 if name == "big" else 1})
        statistics = await starter.until_ended("c")
    assert step(statistics, "by")["branches"] == {**dict.fromkeys(cases, 1), "otherwise": 1}


@pytest.mark.parametrize("rounds", [0, 3])
async def test_a_journey_in_code(product: Product, rounds: int):
    starter = await product.starter()
    async with product.worker():
        created = await starter.call("POST", "/v1/campaigns", {"workflow": "Quick"}, 201)
        assert created["key"] == "quick"
        assert created["steps"] is None
        await starter.call("POST", "/v1/campaigns/quick/start")
        product.providers.webhook_answers.append((200, {"word": "Heard"}))
        await starter.customer("ann", plan="pro", pushToken="t", hook=hook(product), soon=soon(1.5))
        (refused,) = (await starter.track("ann", "Quick Started", {"rounds": "many"}))["decisions"]
        assert refused["outcome"] == "not_matching"
        (entered,) = (await starter.track("ann", "Quick Started", {"rounds": rounds, "note": "say hello, please"}))[
            "decisions"
        ]
        for _ in range(rounds):
            await starter.track("ann", "Go")
        statistics = await starter.until_ended("quick")
        timeline = await starter.timeline(entered["entry_id"])
        history = await product.client.get_workflow_handle(f"entry-{entered['entry_id']}").fetch_history()
    (mail,) = product.providers.mails
    assert (mail["Subject"], mail.get_content().strip()) == ("Hello Ann", "Note: say hello, please")
    assert [text["body"] for text in product.providers.texts] == ["Heard", "Hello"]
    assert statistics["entries"]["exited"] == 1
    assert [one["id"] for one in statistics["steps"]][:4] == ["hello", "pause", "date", "again"]
    assert step(statistics, "again")["branches"] == {"go": rounds, "timeout": 0}
    assert step(statistics, "plan")["branches"] == {"pro": 1, "otherwise": 0}
    for one in statistics["steps"]:
        assert one["entered"] == one["completed"] + sum(one["skipped"].values()) + one["exited"], one
    assert [one for one, _ in timeline if one][-1] == "done"
    assert (await starter.call("GET", "/v1/customers/ann"))["marked"] is True
    assert (
        b"say hello, please" not in history.events[0].workflow_execution_started_event_attributes.input.payloads[0].data
    )
    assert "ann@example" not in history.to_json()


async def test_the_goal_ends_a_journey_in_code(product: Product):
    starter = await product.starter()
    async with product.worker():
        await starter.call("PUT", "/v1/campaigns/other-key", {"workflow": "Quick", "goal": {"event": "Paid"}})
        await starter.call("POST", "/v1/campaigns/other-key/start")
        await starter.customer("ann")
        await starter.track("ann", "Quick Started", {"rounds": 1})
        await starter.until_waiting("other-key", "again")
        await starter.track("ann", "Paid")
        statistics = await starter.until_ended("other-key")
        (entry,) = await starter.entries("other-key")
    assert entry["ended_by"] == "goal"
    assert step(statistics, "hello")["messages"]["converted"] == 1


async def test_a_journey_that_is_not_there(product: Product):
    starter = await product.starter()
    answer = await starter.api.post("/v1/campaigns", json={"workflow": "Nobody"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "workflow"
    answer = await starter.api.post("/v1/campaigns", json={"workflow": "Quick", "steps": [MAIL]})
    assert answer.status_code == 400
