"""The `campaigns` command."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

import structlog
import typer
from pydantic import ValidationError
from rich.console import Console

from campaigns.models.problems import field_errors
from campaigns.models.settings import Settings

app = typer.Typer(help="Durable customer journeys on Temporal.", no_args_is_help=True, pretty_exceptions_enable=False)
imports = typer.Typer(help="Imports history: it counts, and triggers nothing.", no_args_is_help=True)
app.add_typer(imports, name="import")
console = Console(width=None if sys.stdout.isatty() else 120)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        fields = {str(one["loc"][0]): None for one in error.errors()}
        lines = [f"CAMPAIGNS_{one.field.upper()}: {one.detail}" for one in field_errors(error, fields)]
        raise SystemExit("campaigns: " + "\ncampaigns: ".join(lines)) from None


def _run(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(main)


@app.command()
def dev() -> None:
    """Runs everything embedded under .campaigns/: Temporal with its web UI, SQLite, a mail sink, worker, starter."""
    from campaigns.cli.stack import Stack

    stack = Stack(Path(".campaigns"), _say)
    stopped = _stop_flag()
    try:
        stack.start()
        for name, url in stack.urls.items():
            console.print(f"  [bold]{name}[/]: {url}")
        console.print(f"  [bold]API documentation[/]: {stack.urls['API']}/docs")
        console.print(f"  [bold]API key[/]: {stack.environment['CAMPAIGNS_API_KEY']}")
        console.print(f"  [bold]Write key[/]: {stack.environment['CAMPAIGNS_WRITE_KEY']}")
        console.print(f"  [bold]Mail, text messages, logs[/]: {stack.directory}/mail, sms, logs")
        console.print("Ready. Ctrl-C ends it; the next start goes on where this one was.")
        while not stopped:
            time.sleep(0.2)
            stack.supervise_once()
    finally:
        console.print("Stopping …")
        stack.stop()


def _stop_flag() -> list[int]:
    """A list that is filled by SIGINT or SIGTERM; a second SIGINT ends at once."""
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        if stopped:
            os._exit(130)
        stopped.append(number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return stopped


def _say(text: str) -> None:
    console.print(f"[dim]{time.strftime('%H:%M:%S')}[/] {text}", highlight=False)


@app.command()
def starter() -> None:
    """Runs a starter: ingestion, management API, admission, dispatch. Any number of them may run."""
    from campaigns.starter.app import run_starter

    _run(run_starter(_settings()))


@app.command()
def worker() -> None:
    """Runs a worker: journeys and their messages. Any number of them may run."""
    from campaigns.workers.process import run_worker

    _run(run_worker(_settings()))


@app.command()
def migrate() -> None:
    """Brings the database to the newest schema."""
    from campaigns.models.store.database import migrate as migrate_database

    migrate_database(_settings().database_url)
    console.print("The database has the newest schema.")


@app.command()
def check(file: File) -> None:
    """Validates a campaign, in JSON or Python, without a server: each error with its place, and warnings."""
    from campaigns.cli.journeys import read_campaigns
    from campaigns.starter.authoring.advice import advise

    for definition in read_campaigns(file).definitions:
        for warning in advise(definition):
            print(f"{file}: warning: {warning}", file=sys.stderr)
        console.print(f"{file}: {definition.key} is valid, {len(definition.all_steps)} steps")


@app.command()
def draw(file: File, output: Annotated[Path | None, typer.Option("--output", "-o")] = None) -> None:
    """Draws a campaign's journey, in JSON or Python, as SVG: to the output, or beside the file."""
    from campaigns.cli.journeys import read_campaigns
    from campaigns.starter.authoring.drawing import draw as draw_boxes
    from campaigns.starter.authoring.storyboard import storyboard

    read = read_campaigns(file)
    for definition in read.definitions:
        path = output or file.with_name(f"{definition.key}.svg")
        path.write_text(draw_boxes(storyboard(definition, read.journeys), definition.name))
        console.print(f"{path}: {definition.name}")


@app.command()
def simulate(
    file: File,
    customer: Annotated[str, typer.Option(help="Attributes of the customer, in JSON.")] = "{}",
    trigger: Annotated[str, typer.Option(help="Properties of the trigger, in JSON.")] = "{}",
    at: Annotated[str | None, typer.Option(help="When the customer enters; now by default.")] = None,
    events: Annotated[Path | None, typer.Option(exists=True, help='JSON Lines: {"event", "properties", "at"}')] = None,
    templates: Annotated[Path | None, typer.Option(exists=True, help="JSON: templates by key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Prints the answer of the API.")] = False,
) -> None:
    """Shows the path and the messages that a customer would get, without a server, without sending."""
    from campaigns.cli.journeys import print_simulation, simulate_file

    answer = simulate_file(file, customer, trigger, at, events, templates)
    if as_json:
        import orjson

        print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    else:
        print_simulation(answer, console)


@app.command()
def demo() -> None:
    """Runs real campaigns for real customers, and shows what happened."""
    from campaigns.cli.demo import run_demo

    raise SystemExit(run_demo(Path(".campaigns/demo"), console, _stop_flag()))


Encoding = Annotated[str | None, typer.Option(help="Of the file, where it is not UTF-8 or UTF-16.")]
Texts = Annotated[list[str] | None, typer.Option("--text", help="A column of CSV whose numbers stay text.")]


@imports.command("customers")
def import_customers(file: File, encoding: Encoding = None, text: Texts = None) -> None:
    """Imports customers from CSV (a header with `id`) or JSON (one flat object a line, or an array of them)."""
    _import(file, "customers", encoding, text)


@imports.command("events")
def import_events(file: File, encoding: Encoding = None, text: Texts = None) -> None:
    """Imports events from CSV or JSON: `userId`, `event`, `timestamp`, `messageId`, and properties."""
    _import(file, "events", encoding, text)


def _import(file: Path, kind: Literal["customers", "events"], encoding: str | None, texts: list[str] | None) -> None:
    from campaigns.cli.importing import FileFormat, import_file
    from campaigns.cli.stack import kept_keys
    from campaigns.models.signing import Signing

    settings = _settings()

    def signing() -> Signing:
        kept = kept_keys(Path(settings.database_url.removeprefix("sqlite:///")).parent)
        if settings.secret_key is None and "CAMPAIGNS_SECRET_KEY" in kept:
            return Signing(kept["CAMPAIGNS_SECRET_KEY"])
        return Signing(settings.secret("secret_key"))

    file_format = FileFormat(encoding, texts or ())
    raise SystemExit(asyncio.run(import_file(settings.database_url, file, kind, console, signing, file_format)))


def main() -> None:
    """The entry point. Temporal's SDK may crash the interpreter at its exit unless the garbage is collected first."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        app()
    finally:
        gc.collect()


if __name__ == "__main__":
    main()
