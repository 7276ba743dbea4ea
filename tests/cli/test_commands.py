"""The commands, as a shell runs them."""

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from campaigns.cli.stack import Stack
from campaigns.models.store.database import open_database
from campaigns.models.store.queries import customers, events

CAMPAIGN = {"key": "c", "name": "C", "trigger": {"type": "event", "event": "E"}, "steps": [{"type": "exit"}]}


def campaigns(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "campaigns.cli.app", *map(str, arguments)]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def test_check(tmp_path: Path):
    file = tmp_path / "campaign.json"
    file.write_text(json.dumps(CAMPAIGN))
    done = campaigns("check", file)
    assert (done.returncode, "valid, 1 steps" in done.stdout) == (0, True), done.stderr
    file.write_text(json.dumps({**CAMPAIGN, "steps": [{"type": "sms"}, {"type": "sms", "body": "{{ a"}], "colour": 1}))
    done = campaigns("check", file)
    assert done.returncode == 1
    assert f"{file}: steps[0].body: is required" in done.stderr
    assert f"{file}: colour: is not a known field" in done.stderr
    file.write_text("{")
    assert "is not JSON" in campaigns("check", file).stderr
    assert campaigns("check", tmp_path / "none").returncode == 2


def test_settings_are_explained():
    done = campaigns("starter", CAMPAIGNS_SECRET_KEY="short", CAMPAIGNS_PORT="x")
    assert done.returncode == 1
    assert "CAMPAIGNS_SECRET_KEY: must have 32 characters or more" in done.stderr
    assert "CAMPAIGNS_PORT:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    environment = {"CAMPAIGNS_DATABASE_URL": f"sqlite:///{tmp_path / 'campaigns.db'}"}
    assert campaigns("migrate", **environment).returncode == 0
    return environment


async def test_imports(tmp_path: Path, environment: dict[str, str]):
    people = tmp_path / "people.csv"
    people.write_text("id,email,plan\nann,ann@example.com,pro\n,nobody@example.com,free\nbob,bob@example.com,\n")
    done = campaigns("import", "customers", people, **environment)
    assert done.returncode == 1
    assert "2 customers imported, 1 rows refused" in done.stdout
    assert f"{people}:3: id: is required" in done.stdout.replace("\n", "")
    history = tmp_path / "history.jsonl"
    rows = [
        {"userId": "ann", "event": "Order Completed", "timestamp": "2026-01-02T03:04:05", "total": 5},
        {"userId": "cid", "event": "Order Completed", "properties": {"total": 7}},
        {"userId": "cid"},
    ]
    history.write_text("\n".join([*map(json.dumps, rows), "{", ""]))
    for _ in range(2):  # the second time adds nothing
        done = campaigns("import", "events", history, **environment)
        assert "2 events imported, 2 rows refused" in done.stdout
    database = open_database(environment["CAMPAIGNS_DATABASE_URL"])
    async with database.read() as connection:
        assert await customers.get(connection, "ann") == {"email": "ann@example.com", "plan": "pro"}
        assert await customers.get(connection, "bob") == {"email": "bob@example.com"}
        (event,) = await events.history(connection, "ann", ["Order Completed"])
        assert (event.properties, event.at.isoformat()) == ({"total": 5}, "2026-01-02T03:04:05+00:00")
        assert len(await events.history(connection, "cid", ["Order Completed"])) == 1
    await database.close()


def test_ports(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        in_use = str(taken.getsockname()[1])
        with pytest.raises(SystemExit, match=f"port {in_use} is in use"):
            Stack(tmp_path / "a", print, {"CAMPAIGNS_PORT": in_use}).start()
    with pytest.raises(SystemExit, match="'x' is not a port"):
        Stack(tmp_path / "b", print, {"CAMPAIGNS_PORT": "x"}).start()


def test_one_directory_has_one_stack(tmp_path: Path):
    with (tmp_path / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="another process already runs"):
            Stack(tmp_path, print, {}).start()


JOURNEY = """
from pydantic import BaseModel
from campaigns.journeys import *

class Bought(BaseModel):
    total: float

@campaign(trigger=on_event("Bought", Bought))
class Thanks(Journey[Bought]):
    pause = delay(hours(1))
    thanks = sms("Thanks for {{ event.total }}, {{ custmer.name | default: 'friend' }}")

    async def story(self, trigger):
        await self.delay(self.pause)
        await self.send(self.thanks)
"""


def test_a_journey_in_python_is_checked_drawn_and_simulated(tmp_path: Path):
    file, events = tmp_path / "thanks.py", tmp_path / "events.jsonl"
    file.write_text(JOURNEY)
    done = campaigns("check", file)
    assert (done.returncode, "thanks is valid, 2 steps" in done.stdout) == (0, True), done.stderr
    assert "warning: thanks: body: there is no variable 'custmer'" in done.stderr
    done = campaigns("draw", file)
    assert "thanks</tspan>" in (tmp_path / "thanks.svg").read_text(), done.stderr
    ann = '{"phone": "+12025550123"}'
    options = ("--customer", ann, "--trigger", '{"total": 5}', "--at", "2027-01-01T00:00:00Z")
    done = campaigns("simulate", file, *options)
    assert re.search(r"2027-01-01T01:00:00Z\s+thanks\s+sms\s+sent\s+Thanks for 5", done.stdout), done.stderr
    events.write_text('{"event": "X", "at": "2027-01-01T00:30:00Z"}\n')
    answer = json.loads(campaigns("simulate", file, *options, "--events", events, "--json").stdout)
    assert answer["ended"] == {"at": "2027-01-01T01:00:00Z", "how": "completed", "status": "completed"}
    assert "trigger: is not what Thanks expects: total" in campaigns("simulate", file, "--customer", ann).stderr
    assert "--customer: is not JSON" in campaigns("simulate", file, "--customer", "{").stderr
    file.write_text(JOURNEY.replace("hours(1)", "5"))
    assert "thanks.py: TypeError: 5 is no timedelta" in campaigns("check", file).stderr
    file.write_text("x = 1\n")
    assert "holds no journey" in campaigns("check", file).stderr


def test_warnings_of_a_campaign_in_json(tmp_path: Path):
    file = tmp_path / "campaign.json"
    file.write_text(json.dumps({**CAMPAIGN, "steps": [{"type": "exit"}, {"type": "sms", "body": "x"}]}))
    done = campaigns("check", file)
    assert done.returncode == 0
    assert f"{file}: warning: steps[1]: is never reached" in done.stderr
    assert campaigns("draw", file, "-o", tmp_path / "x.svg").returncode == 0
    assert (tmp_path / "x.svg").read_text().startswith("<svg")
