"""Entries through a stack whose parts die and whose providers fail: the receivers' logs against the records.

`make bench-faults`, or `python -m benchmarks.faults --entries 2000 --kills 24`.
"""

import argparse
import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from benchmarks.dying_stack import Clients, DyingStack, Postgres
from benchmarks.failing_providers import FailingProviders

STEPS = [
    {"id": "mail", "type": "email", "subject": "Hello {{ customer.id }}", "text": "Hello"},
    {"id": "pause", "type": "delay", "for": "PT2S"},
    {"id": "text", "type": "sms", "body": "Hello {{ customer.id }}"},
]


@dataclass
class Report:
    """What the receivers have, against what the records say."""

    entries: int
    statuses: Counter[str]
    deaths: Counter[str]
    faults: Counter[str]
    seconds: float
    channels: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def faultless(self) -> bool:
        """None twice, none lost, every entry at its end."""
        bad = sum(channel[name] for channel in self.channels.values() for name in ("twice", "lost", "unrecorded"))
        return bad == 0 and self.statuses == {"completed": self.entries}

    def __str__(self) -> str:
        lines = [f"{self.entries} entries in {self.seconds:.0f} s: {dict(self.statuses)}"]
        lines.append(f"{sum(self.deaths.values())} kills: {dict(sorted(self.deaths.items()))}")
        lines.append(f"{sum(self.faults.values())} faults of providers: {dict(sorted(self.faults.items()))}")
        names = ("sent", "unknown", "failed", "received", "unknown_received", "twice", "lost", "unrecorded")
        lines.append("       " + " ".join(f"{name:>16}" for name in names))
        for channel, counted in self.channels.items():
            lines.append(f"{channel:<7}" + " ".join(f"{counted[name]:>16}" for name in names))
        return "\n".join(lines)


def compare(rows: list[tuple[str, str, str]], taken: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """By channel: how many messages were sent, received, received twice, lost (said to be sent, and never received)."""
    found: dict[str, Counter[str]] = {}
    for channel, received in taken.items():
        status = {message_id: one for message_id, kind, one in rows if kind == channel}
        counted = Counter(status.values())
        counted["received"] = len(received)
        counted["twice"] = sum(number > 1 for number in received.values())
        counted["lost"] = sum(one == "sent" and message_id not in received for message_id, one in status.items())
        counted["unknown_received"] = sum(status.get(message_id) == "unknown" for message_id in received)
        counted["unrecorded"] = sum(status.get(message_id) not in ("sent", "unknown") for message_id in received)
        found[channel] = counted
    return found


async def run(directory: Path, entries: int, kills: int, *, passes: int = 60, timeout_s: float = 900) -> Report:
    """Drives the entries through, while parts are killed."""
    postgres = await asyncio.to_thread(Postgres, directory / "postgres")
    providers = FailingProviders()
    given = providers.start()
    stack = DyingStack(
        directory / ".campaigns", postgres.url, dies={"worker", "starter"}, deaths=kills, passes=passes, given=given
    )
    await asyncio.to_thread(stack.start)
    try:
        began = time.monotonic()
        await _drive(stack, entries, kills, timeout_s)
        seconds = time.monotonic() - began
        connection = await asyncpg.connect(postgres.url)
        # Callbacks may still come; they settle what was unknown.
        await asyncio.sleep(5)
        rows = [tuple(row) for row in await connection.fetch("SELECT id, channel, status FROM message")]
        statuses = Counter(row["status"] for row in await connection.fetch("SELECT status FROM entry"))
        await connection.close()
    finally:
        await asyncio.to_thread(stack.stop)
        postgres.stop()
    report = Report(entries, statuses, stack.deaths, providers.faults, seconds)
    report.channels = compare(rows, {"email": providers.mails, "sms": providers.texts})
    return report


async def _drive(stack: DyingStack, entries: int, kills: int, timeout_s: float) -> None:
    clients = Clients(stack)
    definition = {"key": "c", "name": "C", "trigger": {"type": "event", "event": "E"}, "steps": STEPS}
    await clients.call("POST", "/v1/campaigns", definition)
    await clients.call("POST", "/v1/campaigns/c/start")
    left = iter(range(entries))

    async def client() -> None:
        for n in left:
            traits = {"email": f"c{n}@example.com", "phone": f"+1202{n:07}"}
            person = {"type": "identify", "userId": f"c{n}", "traits": traits, "messageId": f"i{n}"}
            event = {"type": "track", "userId": f"c{n}", "event": "E", "messageId": f"e{n}"}
            await clients.ingest("/v1/batch", {"batch": [person, event]})

    async def kill_temporal() -> None:
        for _ in range(max(1, kills // 8)):
            await asyncio.sleep(20)
            stack.kill_one("temporal")

    killing = asyncio.create_task(kill_temporal())
    await asyncio.gather(*(client() for _ in range(8)))
    async with asyncio.timeout(timeout_s):
        while True:
            found = await clients.call("GET", "/v1/campaigns/c/statistics")
            if found["entries"]["entered"] == entries and not found["entries"]["running"] and killing.done():
                return
            await asyncio.sleep(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=24)
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        report = asyncio.run(run(Path(scratch), arguments.entries, arguments.kills))
    print(report)
    raise SystemExit(0 if report.faultless else 1)
