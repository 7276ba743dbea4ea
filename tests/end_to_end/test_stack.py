"""The whole process tree, as users run it: a thousand customers at once, and a crash of everything."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx2
import psutil
import pytest

from campaigns.activities.delivery import ledger
from campaigns.cli.demo import inconsistencies
from campaigns.cli.embedded.providers import received, received_mails
from campaigns.cli.stack import Stack
from campaigns.starter import relay
from campaigns.workflows import tries

JOURNEY = [
    {"id": "hello", "type": "email", "subject": "Hello {{ customer.name }}", "text": "Hello"},
    {"id": "pause", "type": "delay", "for": "PT2S"},
    {
        "id": "by-plan",
        "type": "branch",
        "branches": [
            {
                "name": "pro",
                "when": {"attribute": "plan", "op": "equals", "value": "pro"},
                "steps": [{"id": "text", "type": "sms", "body": "Hello {{ customer.name }}"}],
            }
        ],
    },
]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / ".campaigns", print, {**os.environ, "CAMPAIGNS_PORT": "0"})
    stack.start()
    yield stack
    stack.stop()


def api(stack: Stack) -> httpx2.Client:
    key = stack.environment["CAMPAIGNS_API_KEY"]
    return httpx2.Client(base_url=stack.urls["API"], headers={"Authorization": f"Bearer {key}"}, timeout=120)


def call(client: httpx2.Client, method: str, path: str, body: object = None) -> dict:
    answer = client.request(method, path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


def set_up(client: httpx2.Client, number: int) -> None:
    call(client, "PUT", "/v1/segments/all", {"name": "All"})
    trigger = {"type": "segment", "segments": ["all"]}
    call(client, "POST", "/v1/campaigns", {"key": "c", "name": "C", "trigger": trigger, "steps": JOURNEY})
    call(client, "POST", "/v1/campaigns/c/start")
    for n in range(number):
        plan = "pro" if n % 4 == 0 else "free"
        person = {"email": f"c{n}@example.com", "phone": f"+1202555{n:04}", "name": f"N{n}", "plan": plan}
        call(client, "PUT", f"/v1/customers/c{n}", person)


def until_ended(client: httpx2.Client, number: int, timeout: float = 180) -> dict:
    deadline = time.monotonic() + timeout
    while True:
        statistics = call(client, "GET", "/v1/campaigns/c/statistics")
        assert inconsistencies(statistics) == []
        if statistics["entries"]["entered"] == number and not statistics["entries"]["running"]:
            return statistics
        assert time.monotonic() < deadline, statistics
        time.sleep(0.2)


def test_a_thousand_at_once(stack: Stack):
    client = api(stack)
    set_up(client, 1000)
    decided = call(client, "POST", "/v1/segments/all/members", {"customer_ids": [f"c{n}" for n in range(1000)]})
    assert Counter(one["outcome"] for one in decided["decisions"]) == {"entered": 1000}
    statistics = until_ended(client, 1000)
    assert statistics["entries"]["completed"] == 1000
    mails = Counter((str(mail["To"]), str(mail["Subject"])) for mail in received_mails(stack.directory / "mail"))
    assert mails == {(f"c{n}@example.com", f"Hello N{n}"): 1 for n in range(1000)}
    texts = Counter((text["to"], text["body"]) for text in received(stack.directory / "sms" / "messages.jsonl"))
    assert texts == {(f"+1202555{n:04}", f"Hello N{n}"): 1 for n in range(0, 1000, 4)}
    steps = {step["id"]: step for step in statistics["steps"]}
    assert (steps["hello"]["messages"]["sent"], steps["text"]["messages"]["sent"]) == (1000, 250)
    assert steps["by-plan"]["branches"] == {"pro": 250, "otherwise": 750}


def test_everything_is_killed_and_goes_on(tmp_path: Path, database_url: str):
    """On PostgreSQL too, which lives on, as the servers of others do."""
    environment = {**os.environ, "CAMPAIGNS_PORT": "0", "CAMPAIGNS_DATABASE_URL": database_url}
    stack = Stack(tmp_path / ".campaigns", print, environment)
    stack.start()
    client = api(stack)
    set_up(client, 200)
    call(client, "POST", "/v1/segments/all/members", {"customer_ids": [f"c{n}" for n in range(200)]})
    while call(client, "GET", "/v1/campaigns/c/statistics")["steps"][0]["completed"] < 40:
        time.sleep(0.05)
    stack.kill()
    stack = Stack(tmp_path / ".campaigns", print, environment)
    stack.start()
    try:
        statistics = until_ended(api(stack), 200)
    finally:
        stack.stop()
    assert statistics["entries"]["completed"] == 200
    hello = statistics["steps"][0]["messages"]
    mails = Counter(str(mail["To"]) for mail in received_mails(stack.directory / "mail"))
    assert max(mails.values()) == 1
    assert hello["sent"] + hello["unknown"] == 200
    assert hello["sent"] <= len(mails) <= 200
    # Each that is missing has its record, and there are no more of them than could be in flight.
    assert hello["unknown"] <= 30


def demo(directory: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "CAMPAIGNS_PORT": "0", "DEMO_EXIT": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "campaigns.cli.app", "demo"]
    return subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True)


def test_the_demo_is_killed_in_the_middle_and_started_again(tmp_path: Path):
    first = demo(tmp_path)
    assert first.stdout
    for line in first.stdout:
        if found := re.search(r"(\d+) entries, (\d+) running", line):
            entered, running = int(found[1]), int(found[2])
            if entered > 50 and running > 20:
                break
    family = [*psutil.Process(first.pid).children(recursive=True), psutil.Process(first.pid)]
    for process in family:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)
    first.wait()
    second = demo(tmp_path)
    output, _ = second.communicate(timeout=240)
    assert second.returncode == 0, output
    assert "goes on where it was" in output
    assert "All counts agree." in output
    # What `demo` has said is true of the sink itself.
    mails = Counter(str(mail["Message-ID"]) for mail in received_mails(tmp_path / ".campaigns/demo/mail"))
    assert max(mails.values()) == 1
    (received, sent, unknown) = map(
        int, re.findall(r"email: (\d+) at the receiver; recorded (\d+) sent, (\d+)", output)[0]
    )
    assert len(mails) == received
    assert sent <= received <= sent + unknown
    assert unknown <= 30


def test_one_signal_ends_all_of_dev_cleanly(tmp_path: Path):
    environment = {**os.environ, "CAMPAIGNS_PORT": "0", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "campaigns.cli.app", "dev"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("Ready."):
            break
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 4
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert psutil.wait_procs(family, timeout=60)[1] == []
    logs = list((tmp_path / ".campaigns/logs").glob("*.log"))
    assert {"starter.log", "worker.log"} <= {log.name for log in logs}
    for log in logs:
        assert "Traceback" not in log.read_text(), log.read_text()


def test_a_killed_worker_is_replaced_and_its_work_taken_over_within_a_minute(stack: Stack):
    client = api(stack)
    set_up(client, 150)
    call(client, "POST", "/v1/segments/all/members", {"customer_ids": [f"c{n}" for n in range(150)]})
    while call(client, "GET", "/v1/campaigns/c/statistics")["steps"][0]["completed"] < 30:
        time.sleep(0.05)
    stack.process("worker").kill()
    stack.process("starter").kill()
    stack.process("starter").wait()
    stack.process("worker").wait()
    stack.supervise_once()
    while True:
        try:
            if client.get("/readyz").is_success:
                break
        except httpx2.HTTPError:
            time.sleep(0.1)
    until_ended(client, 150)
    # After so long another takes what a killed process held, on a machine of any speed.
    assert max(ledger.LEASE, relay.LEASE, tries.SEND_TIMEOUT) + tries.LOCAL_TIMEOUT < timedelta(seconds=60)
    mails = Counter(str(mail["To"]) for mail in received_mails(stack.directory / "mail"))
    assert max(mails.values()) == 1
    statistics = call(client, "GET", "/v1/campaigns/c/statistics")
    sent, unknown = (statistics["steps"][0]["messages"][name] for name in ("sent", "unknown"))
    assert sent + unknown == 150
    assert sent <= len(mails) <= 150
