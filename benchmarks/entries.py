"""Entries a second on the embedded stack, as a ratio to the barest workflow on the same server in the same run.

`make bench`, or `python benchmarks/entries.py --entries 500 --rounds 2 --waiting 10000`.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import httpx2
import psutil
from bare import ONE_S, TASK_QUEUE, Bare
from temporalio.client import Client

from campaigns.cli.stack import Stack

JOURNEY = [
    {"id": "welcome", "type": "email", "subject": "Hello {{ customer.name }}", "text": "Hello {{ customer.name }}"},
    {"id": "pause", "type": "delay", "for": f"PT{ONE_S.seconds}S"},
    {
        "id": "plan",
        "type": "branch",
        "branches": [{"name": "pro", "when": {"attribute": "plan", "op": "equals", "value": "pro"}, "steps": []}],
    },
    {"id": "nudge", "type": "sms", "body": "Hello {{ customer.name }}"},
]
WAITING = [{"id": "wait", "type": "delay", "for": "P30D"}]


class Bench:
    """A stack, its API, and a worker of the bare workflow."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        key = stack.environment["CAMPAIGNS_API_KEY"]
        self.api = httpx2.AsyncClient(
            base_url=stack.urls["API"], headers={"Authorization": f"Bearer {key}"}, timeout=600
        )
        self.round = 0
        self.used: dict[str, float] = {}

    async def campaign(self, steps: list, number: int) -> str:
        """A live campaign on a segment of its own, and customers who are not in it yet."""
        self.round += 1
        key = f"bench-{self.round}"
        await self._call("PUT", f"/v1/segments/{key}", {"name": key})
        trigger = {"type": "segment", "segments": [key]}
        await self._call("POST", "/v1/campaigns", {"key": key, "name": key, "trigger": trigger, "steps": steps})
        await self._call("POST", f"/v1/campaigns/{key}/start")
        for index in range(number):
            attributes = {
                "email": f"{key}-{index}@example.com",
                "phone": f"+1202{index:07}",
                "name": "Ann",
                "plan": "pro",
            }
            await self._call("PUT", f"/v1/customers/{key}-{index}", attributes)
        return key

    async def enter(self, key: str, number: int) -> None:
        """Enters all the customers."""
        for start in range(0, number, 1000):
            ids = [f"{key}-{index}" for index in range(start, min(start + 1000, number))]
            await self._call("POST", f"/v1/segments/{key}/members", {"customer_ids": ids})

    async def entries(self, key: str) -> dict:
        """The campaign's entry counters."""
        return (await self._call("GET", f"/v1/campaigns/{key}/statistics"))["entries"]

    async def _call(self, method: str, path: str, body: object = None) -> dict:
        answer = await self.api.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()

    async def ours(self, number: int) -> float:
        """Entries a second, from the request that enters them to the end of the last."""
        key = await self.campaign(JOURNEY, number)
        before, began = cpu(self.stack), time.perf_counter()
        await self.enter(key, number)
        while (counters := await self.entries(key))["completed"] < number:
            assert not counters["failed"], counters
            await asyncio.sleep(0.2)
        took = time.perf_counter() - began
        self.used = {name: seconds - before[name] for name, seconds in cpu(self.stack).items()}
        return number / took

    async def bare(self, client: Client, number: int) -> float:
        """Bare workflows a second, from the first start to the end of the last."""
        self.round += 1
        gate = asyncio.Semaphore(16)

        async def start(index: int):
            async with gate:
                return await client.start_workflow(Bare.run, id=f"bare-{self.round}-{index}", task_queue=TASK_QUEUE)

        began = time.perf_counter()
        handles = await asyncio.gather(*(start(index) for index in range(number)))
        for handle in handles:
            await handle.result()
        return number / (time.perf_counter() - began)

    async def history_events(self, client: Client) -> tuple[int, int]:
        """History events of one bare workflow and of one entry."""
        entry = (await self._call("GET", "/v1/campaigns/bench-1/entries?limit=1"))["entries"][0]
        counted = []
        for workflow_id in ("bare-2-0", entry["workflow_id"]):
            history = await client.get_workflow_handle(workflow_id).fetch_history()
            counted.append(len(history.events))
        return counted[0], counted[1]

    async def waiting(self, number: int) -> tuple[float, float]:
        """MiB of the worker before, and while it holds this many waiting entries."""
        key = await self.campaign(WAITING, number)
        process = psutil.Process(self.stack.process("worker").pid)
        before = process.memory_info().rss / 2**20
        await self.enter(key, number)
        while True:
            step = (await self._call("GET", f"/v1/campaigns/{key}/statistics"))["steps"][0]
            if step["waiting"] == number:
                memory = process.memory_info().rss / 2**20
                break
            await asyncio.sleep(1)
        for move in ("pause", "resume"):
            began = time.perf_counter()
            await self._call("POST", f"/v1/campaigns/{key}/{move}")
            print(f"  {move} of a campaign with {number} waiting entries: {time.perf_counter() - began:.2f} s")
        counters = await self.entries(key)
        assert counters["running"] == number, counters
        return before, memory


def cpu(stack: Stack) -> dict[str, float]:
    """CPU seconds used so far, by process."""
    used = {}
    for name in ("temporal", "providers", "worker", "starter"):
        times = psutil.Process(stack.process(name).pid).cpu_times()
        used[name] = times.user + times.system
    return used


async def main(stack: Stack, entries: int, rounds: int, waiting: int) -> None:
    """Runs and prints the figures."""
    bench = Bench(stack)
    address = stack.environment["TEMPORAL_ADDRESS"]
    client = await Client.connect(address)
    worker = subprocess.Popen([sys.executable, str(Path(__file__).parent / "bare.py"), address])
    try:
        ours, bare = [], []
        for _ in range(rounds):
            ours.append(await bench.ours(entries))
            bare.append(await bench.bare(client, entries))
        print(f"journey: email, delay of 1 s, branch, SMS; {entries} entries, {rounds} rounds")
        print(f"  entries a second:         {median(ours):6.1f}   ({', '.join(f'{one:.1f}' for one in ours)})")
        print(f"  bare workflows a second:  {median(bare):6.1f}   ({', '.join(f'{one:.1f}' for one in bare)})")
        print(f"  ratio:                    {median(ours) / median(bare):6.2f}")
        events = await bench.history_events(client)
        print(f"  history events: bare {events[0]}, entry {events[1]}")
        print("  CPU ms an entry, last round:")
        for name, seconds in bench.used.items():
            print(f"    {name:10} {1000 * seconds / entries:6.1f}")
    finally:
        worker.kill()
    if waiting:
        before_mib, with_mib = await bench.waiting(waiting)
        print(f"a worker that holds {waiting} waiting entries: {with_mib:.0f} MiB ({before_mib:.0f} MiB before)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waiting", type=int, default=0)
    options = parser.parse_args()
    directory = Path(".campaigns/bench")
    shutil.rmtree(directory, ignore_errors=True)
    embedded = Stack(directory, print, {**os.environ, "CAMPAIGNS_PORT": "0"})
    try:
        embedded.start()
        asyncio.run(main(embedded, options.entries, options.rounds, options.waiting))
    finally:
        embedded.stop()
