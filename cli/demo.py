"""The demo: a few campaigns at once on real customers, and what became of each.

Everything it does may be done twice, so a demo that was killed goes on where it was when it is started again.
"""

import asyncio
import json
import os
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.live import Live
from rich.table import Table

from campaigns.cli.embedded.providers import received, received_mails
from campaigns.cli.importing import import_file
from campaigns.cli.stack import Stack
from campaigns.models.signing import Signing
from campaigns.models.values import Json

DATA = Path(__file__).parent / "demo_data"
CUSTOMERS = 300
DEADLINE_S = 240
LOYAL_ORDERS = 3
IN_FLIGHT = 8


@dataclass(frozen=True)
class Order:
    """One purchase of the data."""

    customer: str
    day: str
    cds: int
    total: float

    @property
    def properties(self) -> Json:
        """Of its event."""
        return {"order_id": f"{self.customer}-{self.day}", "cds": self.cds, "total": self.total}


def read_orders() -> dict[str, list[Order]]:
    """The purchases of the first customers, by customer, in order of time."""
    orders: dict[str, list[Order]] = {}
    for line in (DATA / "cdnow.txt").read_text().splitlines():
        _, number, day, cds, dollars = line.split()
        customer = f"cdnow-{number}"
        orders.setdefault(customer, []).append(Order(customer, day, int(cds), float(dollars)))
    return dict(list(orders.items())[:CUSTOMERS])


def run_demo(directory: Path, console: Console, stopped: list[int]) -> int:
    """Runs the demo; 0 when every entry has ended and all counts agree."""
    finished = directory / "finished"
    if finished.exists():
        shutil.rmtree(directory)
    elif directory.exists():
        console.print("The last demo was cut off: this one goes on where it was.")
    stack = Stack(directory, lambda text: console.print(f"[dim]·[/] {text}", highlight=False))
    try:
        stack.start()
        problems = asyncio.run(Demo(stack, console, stopped).run())
        finished.touch()
        _where_to_look(stack, console)
        if sys.stdout.isatty() and not os.environ.get("DEMO_EXIT"):
            console.print("Ctrl-C ends it.")
            while not stopped:
                stack.supervise_once()
                asyncio.run(asyncio.sleep(0.2))
        return 1 if problems else 0
    finally:
        stack.stop()


def _where_to_look(stack: Stack, console: Console) -> None:
    console.print("\n[bold]Where to look[/]")
    for name, url in stack.urls.items():
        console.print(f"  {name}: {url}")
    console.print(
        f"  API documentation: {stack.urls['API']}/docs (API key {stack.environment['CAMPAIGNS_API_KEY']})",
        soft_wrap=True,
    )
    console.print(f"  Mails, text messages, logs: {stack.directory}", soft_wrap=True)


class Demo:
    """One run against a stack."""

    def __init__(self, stack: Stack, console: Console, stopped: list[int]) -> None:
        self._stack = stack
        self._console = console
        self._stopped = stopped
        environment = stack.environment
        key = environment["CAMPAIGNS_API_KEY"]
        self._api = httpx2.AsyncClient(
            base_url=stack.urls["API"], headers={"Authorization": f"Bearer {key}"}, timeout=60
        )
        self._tracking = httpx2.AsyncClient(
            base_url=stack.urls["API"], auth=(environment["CAMPAIGNS_WRITE_KEY"], ""), timeout=60
        )
        self._orders = read_orders()
        self._campaigns: list[Json] = json.loads((DATA / "campaigns.json").read_text())

    async def run(self) -> list[str]:
        """Sets up, lets the customers act, and checks; what does not agree."""
        self._console.print(f"{len(self._orders)} real customers of a CD shop, {self._number_of_orders()} orders")
        await self._import()
        await self._set_up()
        acting = asyncio.create_task(self._act())
        await self._watch(acting)
        await acting
        await self._report()
        return await self._reconcile()

    def _number_of_orders(self) -> int:
        return sum(len(orders) for orders in self._orders.values())

    async def _import(self) -> None:
        """All but each customer's last order is history: it counts, and triggers nothing."""
        customers, history = self._stack.directory / "customers.jsonl", self._stack.directory / "history.jsonl"
        with customers.open("w") as people, history.open("w") as events:
            for number, (customer, orders) in enumerate(self._orders.items()):
                people.write(json.dumps(_profile(number, customer, orders)) + "\n")
                for order in orders[:-1]:
                    at = f"{order.day[:4]}-{order.day[4:6]}-{order.day[6:]}T12:00:00Z"
                    event = {"userId": customer, "event": "Order Completed", "timestamp": at}
                    events.write(json.dumps({**event, "properties": order.properties}) + "\n")
        environment = self._stack.environment
        url, signing = environment["CAMPAIGNS_DATABASE_URL"], Signing(environment["CAMPAIGNS_SECRET_KEY"])
        await import_file(url, customers, "customers", self._console, lambda: signing)
        await import_file(url, history, "events", self._console, lambda: signing)

    async def _set_up(self) -> None:
        await self._put("/v1/segments/loyal", {"name": "Three orders or more"})
        thanks = {
            "channel": "email",
            "subject": "{{ customer.orders }} orders: thank you, {{ customer.name }}",
            "html": "<h1>Thank you</h1><p>You bought {{ customer.cds }} CDs.</p>",
            "text": "You bought {{ customer.cds }} CDs.",
        }
        await self._put("/v1/templates/loyal-thanks", thanks)
        for campaign in self._campaigns:
            known = await self._api.get(f"/v1/campaigns/{campaign['key']}")
            if known.status_code == httpx2.codes.NOT_FOUND:
                await self._post("/v1/campaigns", campaign)
                known = await self._api.get(f"/v1/campaigns/{campaign['key']}")
            if known.json()["status"] == "draft":
                await self._post(f"/v1/campaigns/{campaign['key']}/start", None)
        # One who has unsubscribed, and one without an address: both are to show in the statistics.
        unwilling, unreachable = list(self._orders)[:2]
        consent = {"channel": "email", "status": "unsubscribed", "source": "demo"}
        await self._put(f"/v1/customers/{unwilling}/consents", consent)
        await self._put(f"/v1/customers/{unreachable}", {"email": None})

    async def _act(self) -> None:
        """Loyal customers enter the segment; every last order is a cart first, and then an order for two of three."""
        loyal = [customer for customer, orders in self._orders.items() if len(orders) - 1 >= LOYAL_ORDERS]
        await self._post("/v1/segments/loyal/members", {"customer_ids": loyal})
        gate = asyncio.Semaphore(IN_FLIGHT)
        await asyncio.gather(
            *(self._shop(number, orders[-1], gate) for number, orders in enumerate(self._orders.values()))
        )

    async def _shop(self, number: int, order: Order, gate: asyncio.Semaphore) -> None:
        async with gate:
            await self._track(order, "Cart Abandoned", "cart")
        await asyncio.sleep(1.5)
        if number % 9 == 2:
            async with gate:
                await self._track(order, "Help Requested", "help")
        elif number % 3:
            async with gate:
                await self._track(order, "Order Completed", "order")
            # Some soon buy again: the cap of the thank-you mail bites.
            if number % 3 == 2:
                await asyncio.sleep(6)
                async with gate:
                    await self._track(order, "Order Completed", "again")

    async def _track(self, order: Order, event: str, which: str) -> None:
        message = {"userId": order.customer, "event": event, "properties": order.properties}
        answer = await self._tracking.post("/v1/track", json={**message, "messageId": f"demo-{order.customer}-{which}"})
        answer.raise_for_status()

    async def _watch(self, acting: asyncio.Task[None]) -> None:
        """The live table, until nothing runs any more."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            round_ = 0
            while not self._stopped:
                self._stack.supervise_once()
                statistics = await self._statistics()
                live.update(_live_table(statistics), refresh=True)
                running = sum(one["entries"]["running"] for one in statistics)
                if not self._console.is_terminal and round_ % 5 == 0:
                    entered = sum(one["entries"]["entered"] for one in statistics)
                    self._console.print(f"  {entered} entries, {running} running", highlight=False)
                if acting.done() and not running:
                    return
                if asyncio.get_running_loop().time() > deadline:
                    acting.cancel()
                    raise SystemExit(f"campaigns: {running} entries still run after {DEADLINE_S} s")
                round_ += 1
                await asyncio.sleep(0.5)
        raise SystemExit("campaigns: the demo was cut off; start it again to go on")

    async def _statistics(self) -> list[Json]:
        return [(await self._get(f"/v1/campaigns/{one['key']}/statistics")) for one in self._campaigns]

    async def _report(self) -> None:
        for one in await self._statistics():
            self._console.print(_steps_table(one))
        outcomes: dict[str, Counter[str]] = {}
        for one in await self._statistics():
            for outcome, number in one["decisions"].items():
                outcomes.setdefault(outcome, Counter())[one["campaign"]] += number
        self._console.print(_decisions_table(outcomes, [one["key"] for one in self._campaigns]))
        for campaign, index in (("loyal-customers", 3), ("cart-sale", 2), ("cart-reminder", 1)):
            entries = (await self._get(f"/v1/campaigns/{campaign}/entries?limit=20"))["entries"]
            await self._timeline(entries[min(index, len(entries) - 1)])

    async def _timeline(self, entry: Json) -> None:
        whole = await self._get(f"/v1/entries/{entry['id']}")
        self._console.print(f"\n[bold]{entry['customer_id']}[/] in [bold]{entry['campaign']}[/]", highlight=False)
        for line in whole["timeline"]:
            detail = f"  {line['detail']}" if line["detail"] else ""
            text = f"  {line['at'][11:23]}  {line['step'] or '':14} {line['outcome']:10}{detail}"
            self._console.print(text, highlight=False)

    async def _reconcile(self) -> list[str]:
        """Receivers' logs against records, records against statistics."""
        statistics = await self._statistics()
        problems = [text for one in statistics for text in inconsistencies(one)]
        mails = [str(mail["Message-ID"]) for mail in received_mails(self._stack.directory / "mail")]
        texts = received(self._stack.directory / "sms" / "messages.jsonl")
        recorded = {channel: _recorded(statistics, channel) for channel in ("email", "sms")}
        for channel, arrived in (("email", len(mails)), ("sms", len(texts))):
            sent, unknown = recorded[channel]
            line = f"{channel}: {arrived} at the receiver; recorded {sent} sent, {unknown} unknown"
            self._console.print(line, highlight=False)
            if not sent <= arrived <= sent + unknown:
                problems.append(line)
        if len(set(mails)) != len(mails):
            problems.append("a mail was received twice")
        said = f"[red]Does not agree: {'; '.join(problems)}[/]" if problems else "[green]All counts agree.[/]"
        self._console.print(said)
        return problems

    async def _get(self, path: str) -> Json:
        return await self._json(self._api.get(path))

    async def _put(self, path: str, body: Json) -> Json:
        return await self._json(self._api.put(path, json=body))

    async def _post(self, path: str, body: Json | None) -> Json:
        return await self._json(self._api.post(path, json=body))

    async def _json(self, request: Any) -> Json:
        answer = await request
        if answer.is_error:
            raise SystemExit(f"campaigns: {answer.request.url}: {answer.status_code} {answer.text}")
        found: Json = answer.json()
        return found


def _profile(number: int, customer: str, orders: list[Order]) -> Json:
    return {
        "id": customer,
        "name": f"Customer {customer.removeprefix('cdnow-')}",
        "email": f"{customer}@example.com",
        "phone": f"+1202555{number:04}",
        "timezone": "America/New_York",
        "orders": len(orders) - 1,
        "cds": sum(order.cds for order in orders[:-1]),
        "spent": round(sum(order.total for order in orders[:-1]), 2),
    }


def inconsistencies(statistics: Json) -> list[str]:
    """Where a campaign's statistics do not add up, as they must at every read."""
    key, entries = statistics["campaign"], statistics["entries"]
    found = []
    if entries["entered"] != sum(entries[name] for name in ("running", "completed", "exited", "failed")):
        found.append(f"{key}: entries {entries}")
    if entries["entered"] != statistics["decisions"]["entered"]:
        found.append(f"{key}: {statistics['decisions']['entered']} were decided to enter, {entries['entered']} did")
    for step in statistics["steps"]:
        left = sum(step[name] for name in ("waiting", "completed", "failed", "exited")) + sum(step["skipped"].values())
        if step["entered"] != left:
            found.append(f"{key}: step {step}")
    return found


def _recorded(statistics: list[Json], channel: str) -> tuple[int, int]:
    steps = [step for one in statistics for step in one["steps"] if step["type"] == channel]
    return sum(step["messages"]["sent"] for step in steps), sum(step["messages"]["unknown"] for step in steps)


def _live_table(statistics: list[Json]) -> Table:
    table = Table("campaign", title="Entries")
    names = ("entered", "running", "completed", "exited", "converted")
    for name in (*names, "messages"):
        table.add_column(name, justify="right")
    for one in statistics:
        messages = sum(step["messages"]["sent"] for step in one["steps"])
        table.add_row(one["campaign"], *(str(one["entries"][name]) for name in names), str(messages))
    return table


def _steps_table(statistics: Json) -> Table:
    entries = ", ".join(f"{number} {name}" for name, number in statistics["entries"].items())
    table = Table("step", "type", title=f"{statistics['campaign']}: {entries}", title_justify="left")
    for name in ("entered", "completed", "failed", "exited"):
        table.add_column(name, justify="right")
    table.add_column("skipped")
    table.add_column("ways")
    for step in statistics["steps"]:
        numbers = [str(step[name]) for name in ("entered", "completed", "failed", "exited")]
        table.add_row(step["id"], step["type"], *numbers, _pairs(step["skipped"]), _pairs(step["branches"]))
    return table


def _pairs(counted: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counted.items())


def _decisions_table(outcomes: dict[str, Counter[str]], campaigns: list[str]) -> Table:
    table = Table("decision", title="Decisions by reason", title_justify="left")
    for campaign in campaigns:
        table.add_column(campaign, justify="right")
    for outcome, counted in outcomes.items():
        if counted.total():
            table.add_row(outcome, *(str(counted[campaign]) for campaign in campaigns))
    return table
