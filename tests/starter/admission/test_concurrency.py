"""Admission under concurrency: what two starters decide is what one after the other would decide."""

import asyncio
import random

import pytest
from sqlalchemy import select

from campaigns.cli.demo import inconsistencies
from campaigns.models.store.tables import PastDecision
from campaigns.starter.intake.tracking import parse_call
from tests.support.product import Product, Starter

MAIL = [{"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}]
REST = [{"id": "rest", "type": "delay", "for": "P1D"}]
EVERY_TIME = {"type": "every_time"}


@pytest.fixture
async def two(product: Product) -> tuple[Starter, Starter]:
    return await product.starter(), await product.starter()


def outcomes(answers: list[dict], campaign: str) -> list[str]:
    return sorted(one["outcome"] for answer in answers for one in answer["decisions"] if one["campaign"] == campaign)


async def test_the_same_event_a_hundred_times_at_once(product: Product, two: tuple[Starter, Starter]):
    await two[0].customer("ann")
    await two[0].campaign("c", frequency=EVERY_TIME, steps=MAIL)
    async with product.worker():
        answers = await asyncio.gather(*(two[n % 2].track("ann", "c", messageId="the-same") for n in range(100)))
        assert all(answer == answers[0] for answer in answers)
        statistics = await two[0].until_ended("c")
        await asyncio.sleep(1)
    assert statistics["decisions"]["entered"] == statistics["entries"]["entered"] == 1
    assert len(product.providers.mails) == 1


async def test_a_hundred_events_at_once_enter_once(product: Product, two: tuple[Starter, Starter]):
    await two[0].customer("ann")
    await two[0].campaign("c", steps=MAIL)
    async with product.worker():
        answers = await asyncio.gather(*(two[n % 2].track("ann", "c") for n in range(100)))
        await two[0].until_ended("c")
    assert outcomes(answers, "c").count("entered") == 1
    assert set(outcomes(answers, "c")) <= {"entered", "already_running", "already_entered"}
    assert len(product.providers.mails) == 1


async def test_entry_keys_count_by_themselves(two: tuple[Starter, Starter]):
    await two[0].campaign("c", entry_key="properties.order", steps=REST)
    properties = [{"order": str(n % 5)} for n in range(50)] + [{}, {}, {"order": None}]
    answers = await asyncio.gather(*(two[n % 2].track("ann", "c", one) for n, one in enumerate(properties)))
    assert outcomes(answers, "c").count("entered") == 6
    found = await two[0].call("GET", "/v1/entries?customer=ann&entry_key=3")
    assert [entry["entry_key"] for entry in found["entries"]] == ["3"]


async def test_one_winner_by_priority(two: tuple[Starter, Starter]):
    """Two campaigns and many triggers at once for each of many customers, in every order."""
    trigger = {"type": "event", "event": "E"}
    for key, priority in (("second", 1), ("first", 0)):
        await two[0].campaign(key, trigger=trigger, priority=priority, frequency=EVERY_TIME, steps=REST)
    tracks = [(starter, f"c{n}") for n in range(15) for starter in (*two, *two)]
    random.Random(1).shuffle(tracks)
    answers = await asyncio.gather(*(starter.track(customer, "E") for starter, customer in tracks))
    assert outcomes(answers, "first").count("entered") == 15
    assert set(outcomes(answers, "second")) == {"lower_priority"}
    losers = [one for answer in answers for one in answer["decisions"] if one["outcome"] == "lower_priority"]
    assert {one["winner"] for one in losers} == {"first"}


async def test_a_higher_priority_preempts_what_has_reached_nobody(product: Product, two: tuple[Starter, Starter]):
    where = {"property": "big", "op": "equals", "value": True}
    await two[0].campaign(
        "low", trigger={"type": "event", "event": "E"}, priority=5, frequency_cap="P1D", steps=[*REST, *MAIL]
    )
    await two[0].campaign("high", trigger={"type": "event", "event": "E", "where": where}, priority=1, steps=MAIL)
    async with product.worker():
        await two[0].customer("ann")
        await two[0].track("ann", "E")
        await two[0].until_waiting("low", "rest")
        answer = await two[1].track("ann", "E", {"big": True})
        assert {one["campaign"]: one["outcome"] for one in answer["decisions"]} == {
            "low": "already_running",
            "high": "entered",
        }
        await two[0].until_ended("high")
        low = await two[0].until_ended("low")
        assert inconsistencies(low) == []
        (entry,) = await two[0].entries("low")
        assert (entry["status"], entry["ended_by"]) == ("exited", "preempted")
        # Its once is given back; what has had its message is not pre-empted any more, but over.
        again = await two[0].track("ann", "E")
        assert {one["campaign"]: one["outcome"] for one in again["decisions"]} == {
            "low": "entered",
            "high": "not_matching",
        }


async def test_one_that_has_reached_the_customer_is_not_preempted(product: Product, two: tuple[Starter, Starter]):
    where = {"property": "big", "op": "equals", "value": True}
    await two[0].campaign("low", trigger={"type": "event", "event": "E"}, priority=5, steps=[*MAIL, *REST])
    await two[0].campaign("high", trigger={"type": "event", "event": "E", "where": where}, priority=1, steps=MAIL)
    async with product.worker():
        await two[0].customer("ann")
        await two[0].track("ann", "E")
        await two[0].until_waiting("low", "rest")
        answer = await two[1].track("ann", "E", {"big": True})
    found = {one["campaign"]: (one["outcome"], one.get("winner")) for one in answer["decisions"]}
    assert found == {"low": ("already_running", None), "high": ("lower_priority", "low")}


async def test_the_frequency_cap_holds_under_fire(product: Product, two: tuple[Starter, Starter]):
    await two[0].campaign("c", frequency=EVERY_TIME, frequency_cap="P1D", entry_key="properties.n", steps=MAIL)
    await two[0].customer("ann")
    async with product.worker():
        answers = await asyncio.gather(*(two[n % 2].track("ann", "c", {"n": n}) for n in range(40)))
        await two[0].until_ended("c")
        assert outcomes(answers, "c").count("entered") == 1
        later = await two[0].track("ann", "c", {"n": "later"})
    (decision,) = later["decisions"]
    assert decision["outcome"] == "frequency_cap"
    assert decision["retry_at"] > decision["decided_at"]
    assert len(product.providers.mails) == 1


async def test_one_that_ended_without_an_exposure_gives_the_cap_back(product: Product, two: tuple[Starter, Starter]):
    await two[0].campaign("c", frequency=EVERY_TIME, frequency_cap="P1D", steps=MAIL)
    await two[0].customer("ann", email=None)
    async with product.worker():
        for _ in range(2):
            (decision,) = (await two[0].track("ann", "c"))["decisions"]
            assert decision["outcome"] == "entered"
            statistics = await two[0].until_ended("c")
    assert statistics["steps"][0]["skipped"] == {"no_address": 2}


THOUSANDS = 800
GROUPS = {
    "event": {
        "low": {"priority": 3},
        "big": {"priority": 1, "frequency": {"type": "once"}},
        "free": {"frequency": {"type": "once"}},
    },
    "segment": {"member": {"priority": 2}, "late": {"priority": 2}},
}


class OneAfterTheOther:
    """What admission promises, for one customer whose triggers come one by one, and to whom nothing is ever sent."""

    def __init__(self) -> None:
        self.running: dict[str, None] = {}
        self.once: set[str] = set()

    def decide(self, kind: str, matches_big: bool) -> dict[str, tuple[str, str | None]]:
        group = GROUPS[kind]
        found = {key: (self._alone(key, matches_big), None) for key in group}
        competing = [key for key, (outcome, _) in found.items() if outcome == "entered" and "priority" in group[key]]
        winner = None
        for key in sorted(competing, key=lambda one: (group[one]["priority"], list(group).index(one))):
            rivals = [one for one in self.running if one in group and one != key and "priority" in group[one]]
            rivals = sorted(
                (one for one in rivals if group[one]["priority"] <= group[key]["priority"]),
                key=lambda one: group[one]["priority"],
            )
            if winner or rivals:
                found[key] = ("lower_priority", winner or rivals[0])
            else:
                winner = key
        if winner:
            for rival in [one for one in self.running if one in group and one != winner and "priority" in group[one]]:
                del self.running[rival]
                self.once.discard(rival)
        for key, (outcome, _) in found.items():
            if outcome == "entered":
                self.running[key] = None
                if group[key].get("frequency", EVERY_TIME)["type"] == "once":
                    self.once.add(key)
        return found

    def _alone(self, key: str, matches_big: bool) -> str:
        if key == "big" and not matches_big:
            return "not_matching"
        if key in self.running:
            return "already_running"
        return "already_entered" if key in self.once else "entered"


async def test_thousands_of_orders_give_what_one_after_the_other_gives(product: Product):
    """Two starters and many clients; two triggers and five campaigns for each of many customers, in every order."""
    two = [await product.starter(dispatching=False) for _ in range(2)]
    where = {"property": "big", "op": "equals", "value": True}
    for key, fields in GROUPS["event"].items():
        trigger = {"type": "event", "event": "E", **({"where": where} if key == "big" else {})}
        await two[0].campaign(key, **{"frequency": EVERY_TIME, **fields}, trigger=trigger, steps=REST)
    await two[0].call("PUT", "/v1/segments/vip", {"name": "VIP"})
    for key, fields in GROUPS["segment"].items():
        trigger = {"type": "segment", "segments": ["vip"]}
        await two[0].campaign(key, **{"frequency": EVERY_TIME, **fields}, trigger=trigger, steps=REST)
    chance = random.Random(5)
    big: dict[str, bool] = {}

    async def act(customer: str, number: int, kind: str) -> None:
        starter = chance.choice(two)
        if kind == "segment":
            await starter.parts.members.enter("vip", [customer])
            return
        message_id = f"{customer}-{number}"
        big[message_id] = kind == "big"
        message = {"userId": customer, "event": "E", "messageId": message_id, "properties": {"big": kind == "big"}}
        await starter.parts.intake.take(parse_call(message, "track"))

    at_once = asyncio.Semaphore(16)

    async def live(customer: str) -> None:
        async with at_once:
            await two[0].parts.profiles.put(customer, {})
            kinds = ["event", "event", "big", "big", "segment", "segment"]
            chance.shuffle(kinds)
            await asyncio.gather(*(act(customer, number, kind) for number, kind in enumerate(kinds)))

    await asyncio.gather(*(live(f"c{n}") for n in range(THOUSANDS)))
    async with two[0].parts.database.read() as connection:
        rows = (await connection.execute(select(PastDecision).order_by(PastDecision.id))).all()
    assert len(rows) == THOUSANDS * (4 * 3 + 1 * 2)
    decided: dict[str, dict[str, dict[str, tuple[str, str | None]]]] = {}
    for row in rows:
        by_trigger = decided.setdefault(row.customer_id, {})
        by_trigger.setdefault(row.trigger_id, {})[row.campaign_key] = (row.outcome, row.winner)
    for by_trigger in decided.values():
        model = OneAfterTheOther()
        for trigger_id, found in by_trigger.items():
            kind = "segment" if trigger_id.startswith("vip:") else "event"
            assert found == model.decide(kind, big.get(trigger_id, False))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer, whoever it is
async def test_a_locked_customer_delays_nobody_else(two: tuple[Starter, Starter]):
    await two[0].campaign("c", steps=REST)
    await two[0].customer("ann")
    from campaigns.models.store.queries import customers

    async with two[0].parts.database.write() as connection:
        await customers.lock(connection, "ann")
        waiting = asyncio.create_task(two[1].track("ann", "c"))
        async with asyncio.timeout(60):
            await two[1].track("bob", "c")
        assert not waiting.done()
    assert (await waiting)["decisions"][0]["outcome"] == "entered"
