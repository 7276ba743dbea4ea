"""Two starters that die at every seam, under load, while Temporal and PostgreSQL crash too.

What was accepted has had its effect once: what is decided is what one after the other would decide.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from benchmarks.dying import SEAMS
from benchmarks.dying_stack import Clients, DyingStack, Postgres
from benchmarks.faults import run

from campaigns.cli.demo import inconsistencies
from campaigns.cli.embedded.providers import received_mails

CUSTOMERS = 120
DEATHS = 14
MAIL = {"id": "mail", "type": "email", "subject": "{{ entry.id }}", "text": "Hello"}
GONE = {"id": "gone", "type": "wait", "for": [{"name": "go", "event": "Go", "steps": [MAIL]}], "timeout": "P1D"}
EVERY_TIME = {"type": "every_time"}
COMPETING = {"type": "event", "event": "E"}
CAMPAIGNS = [
    {"key": "first", "trigger": COMPETING, "priority": 0, "steps": [MAIL]},
    {
        "key": "second",
        "trigger": COMPETING,
        "priority": 1,
        "frequency": EVERY_TIME,
        "frequency_cap": "P1D",
        "steps": [MAIL],
    },
    {
        "key": "orders",
        "trigger": {"type": "event", "event": "Order"},
        "frequency": EVERY_TIME,
        "entry_key": "properties.order",
        "steps": [GONE],
    },
]


@pytest.fixture
def postgres_of_its_own(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "postgres")
    yield server
    server.stop()


@pytest.fixture
def stack(tmp_path: Path, postgres_of_its_own: Postgres) -> Iterator[DyingStack]:
    stack = DyingStack(tmp_path / ".campaigns", postgres_of_its_own.url, dies={"starter"}, deaths=DEATHS, passes=12)
    stack.start()
    yield stack
    stack.stop()


async def track(clients: Clients, customer: str, event: str, **properties: object) -> dict:
    message = {"userId": customer, "event": event, "properties": properties, "messageId": uuid4().hex}
    # A service that got no answer sends again; an impatient one sends twice at once.
    answers = await asyncio.gather(*(clients.ingest("/v1/track", message) for _ in range(random.choice([1, 1, 2]))))
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


async def test_starters_die_at_every_seam(stack: DyingStack, postgres_of_its_own: Postgres):
    clients = Clients(stack)
    for definition in CAMPAIGNS:
        await clients.call("POST", "/v1/campaigns", {"name": definition["key"], **definition})
        await clients.call("POST", f"/v1/campaigns/{definition['key']}/start")
    accepted: list[tuple[str, dict]] = []
    at_once = asyncio.Semaphore(24)

    async def live(n: int) -> None:
        customer = f"c{n}"
        async with at_once:
            await clients.call("PUT", f"/v1/customers/{customer}", {"email": f"{customer}@example.com"})
            said = [("E", {})] * 3 + [("Order", {"order": "1"}), ("Order", {"order": "2"}), ("Order", {"order": "1"})]
            random.shuffle(said)
            answers = await asyncio.gather(*(track(clients, customer, event, **more) for event, more in said))
            accepted.extend((customer, answer) for answer in answers)
            answer = await track(clients, customer, "Go")
            assert len(answer["signalled"]) == 2
            accepted.append((customer, answer))

    async def crash() -> None:
        while len(accepted) < CUSTOMERS * 7 // 3:
            await asyncio.sleep(0.05)
        stack.kill_one("temporal")
        while len(accepted) < CUSTOMERS * 7 * 2 // 3:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(postgres_of_its_own.crash)

    await asyncio.gather(crash(), *(live(n) for n in range(CUSTOMERS)))
    found = await until_all_have_ended(clients)
    await nothing_is_owed(postgres_of_its_own.url)

    decided = Counter(
        (customer, one["campaign"], one["outcome"]) for customer, answer in accepted for one in answer["decisions"]
    )
    entered = Counter(
        (customer, campaign) for customer, campaign, outcome in decided.elements() if outcome == "entered"
    )
    for customer in (f"c{n}" for n in range(CUSTOMERS)):
        assert entered[customer, "first"] == 1
        assert entered[customer, "second"] <= 1
        assert entered[customer, "orders"] == 2
        # Three triggers, two campaigns: each was decided, once.
        assert sum(decided[one] for one in decided if one[0] == customer and one[1] in ("first", "second")) == 6
    for key, statistics in found.items():
        assert inconsistencies(statistics) == []
        assert statistics["entries"]["entered"] == sum(number for one, number in entered.items() if one[1] == key)
        kept = sum(number for one, number in decided.items() if one[1] == key)
        assert sum(statistics["decisions"].values()) == kept
    first, orders = found["first"], found["orders"]
    assert first["entries"]["completed"] == CUSTOMERS
    # The event that came is what ended every wait, once.
    assert orders["steps"][0]["branches"] == {"go": 2 * CUSTOMERS, "timeout": 0}
    mails = Counter(str(mail["Subject"]) for mail in received_mails(stack.directory / "mail"))
    assert max(mails.values()) == 1
    step = {key: next(one for one in statistics["steps"] if one["id"] == "mail") for key, statistics in found.items()}
    sent = sum(one["messages"]["sent"] for one in step.values())
    unknown = sum(one["messages"]["unknown"] for one in step.values())
    assert sent + unknown == sum(entered.values())
    assert sent <= len(mails) <= sent + unknown
    # Only what was in flight when PostgreSQL crashed may be unknown.
    assert unknown <= 30
    assert {f"starter: {seam}" for seam in SEAMS["starter"]} <= set(stack.deaths)


async def until_all_have_ended(clients: Clients) -> dict[str, dict]:
    deadline = time.monotonic() + 150
    while True:
        keys = [one["key"] for one in CAMPAIGNS]
        found = {key: await clients.call("GET", f"/v1/campaigns/{key}/statistics") for key in keys}
        if not any(one["entries"]["running"] for one in found.values()):
            return found
        assert time.monotonic() < deadline, {key: one["entries"] for key, one in found.items()}
        await asyncio.sleep(0.5)


async def nothing_is_owed(url: str) -> None:
    connection = await asyncpg.connect(url)
    async with asyncio.timeout(30):
        while await connection.fetchval("SELECT count(*) FROM dispatch"):
            await asyncio.sleep(0.2)
    await connection.close()


async def test_workers_and_starters_die_and_providers_fail(tmp_path: Path):
    """What the receivers have against the records: none twice, none lost, and every unknown is listed."""
    report = await run(tmp_path, entries=150, kills=9, passes=40)
    assert report.faultless, str(report)
    assert sum(report.deaths.values()) >= 6, str(report)
    for channel in report.channels.values():
        assert channel["sent"] + channel["unknown"] == 150, str(report)
        assert channel["sent"] <= channel["received"] <= channel["sent"] + channel["unknown"]
