"""Journeys in files: read, checked and simulated without a server."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import orjson
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from campaigns.models.journey.definition import Definition
from campaigns.models.problems import Invalid, field_errors
from campaigns.models.values import Json, utc_now
from campaigns.starter.authoring.checking import checked_definition
from campaigns.starter.authoring.scenario import Scenario, SimulationRequest, check_trigger
from campaigns.starter.authoring.simulation import simulate
from campaigns.workflows.registry import Journeys, journeys_in, load_file, load_journeys


@dataclass(frozen=True)
class Read:
    """What a file holds: one campaign in JSON, or any number in Python."""

    definitions: list[Definition]
    journeys: Journeys


def read_campaigns(file: Path) -> Read:
    """Reads and checks the file; raises SystemExit where it is wrong, each error with its place."""
    if file.suffix == ".py":
        journeys = Journeys(journeys_in(load_file(file)))
        if not journeys.classes:
            _fail(file, "holds no journey: a class of Journey under @campaign")
        raw: list[object] = [{"workflow": one.__name__} for one in journeys.classes]
    else:
        journeys = load_journeys()
        raw = [_json(file, file.read_bytes())]
    try:
        return Read([checked_definition(one, journeys) for one in raw], journeys)
    except Invalid as error:
        for one in error.errors:
            print(f"{file}: {one.field}: {one.detail}", file=sys.stderr)
        raise SystemExit(1) from None


def simulate_file(
    file: Path, customer: str, trigger: str, at: str | None, events: Path | None, templates: Path | None
) -> Json:
    """What the customer would get; raises SystemExit where something is wrong with what is given."""
    read = read_campaigns(file)
    if len(read.definitions) != 1:
        _fail(file, f"holds {len(read.definitions)} journeys; one at a time can be simulated")
    (definition,) = read.definitions
    given = {
        "customer": _json("--customer", customer),
        "trigger": _json("--trigger", trigger),
        "at": at,
        "events": [_json(events, line) for line in events.read_bytes().splitlines() if line.strip()] if events else [],
    }
    try:
        wanted = SimulationRequest.model_validate(given)
        check_trigger(definition, wanted.trigger, read.journeys)
        customer_id, attributes = wanted.given_customer()
        known = _json(templates, templates.read_bytes()) if templates else {}
        start = wanted.at or utc_now()
        scenario = Scenario(
            definition, customer_id, attributes, start, wanted.trigger, wanted.happenings(), templates=known
        )
        return asyncio.run(simulate(scenario, read.journeys))
    except ValidationError as error:
        raise SystemExit("\n".join(f"{one.field}: {one.detail}" for one in field_errors(error, given))) from None
    except Invalid as error:
        raise SystemExit("\n".join(f"{one.field}: {one.detail}" for one in error.errors)) from None


def print_simulation(answer: Json, console: Console) -> None:
    """A line a step."""
    table = Table(box=None, pad_edge=False)
    for name in ("at", "step", "type", "outcome", ""):
        table.add_column(name, overflow="fold")
    for step in answer["steps"]:
        message = step.get("message", {})
        text = message.get("subject") or message.get("title") or message.get("body") or message.get("url") or ""
        more = ", ".join(filter(None, (step.get("reason"), text)))
        table.add_row(step["at"], step["id"], step["type"], step["outcome"], more)
    console.print(table)
    console.print(f"{answer['ended']['at']}  {answer['ended']['status']}: {answer['ended']['how']}", highlight=False)


def _json(source: object, content: str | bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        _fail(source, f"is not JSON: {error}")


def _fail(source: object, what: str) -> NoReturn:
    raise SystemExit(f"{source}: {what}")
