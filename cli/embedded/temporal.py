"""A Temporal server for `dev`, `demo` and the tests: the first that can be had."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CLI_VERSION = "1.8.2"
MODULE = Path(__file__).parent / "temporal_server"
DOWNLOAD_S = 180

Say = Callable[[str], None]

# Where there is no network the SDK aborts the interpreter at its exit, so it is tried in one of its own.
_DOWNLOAD = """
import asyncio, sys
from temporalio.testing import WorkflowEnvironment
async def main():
    async with await WorkflowEnvironment.start_local(download_dest_dir=sys.argv[1], dev_server_log_level="error"):
        pass
asyncio.run(main())
"""


def cache_directory() -> Path:
    """Where what was got before is kept: $XDG_CACHE_HOME/campaigns, or ~/.cache/campaigns."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "campaigns"


def temporal_binary(say: Say) -> Path:
    """The `temporal` command, got if need be; says what it does. Raises SystemExit where none can be had."""
    if named := os.environ.get("TEMPORAL_CLI_PATH"):
        if not os.access(named, os.X_OK):
            raise SystemExit(f"campaigns: TEMPORAL_CLI_PATH: {named} is not an executable file")
        return Path(named)
    if on_path := shutil.which("temporal"):
        return Path(on_path)
    built = cache_directory() / "bin" / f"temporal-{CLI_VERSION}"
    if os.access(built, os.X_OK):
        return built
    if downloaded := _downloaded():
        return downloaded
    say("Getting a Temporal server: trying the SDK's download …")
    if downloaded := _download():
        return downloaded
    say(f"No download here: building the Temporal CLI {CLI_VERSION} with Go, about 3 minutes on 2 cores …")
    return _build(built)


def _downloaded() -> Path | None:
    found = sorted((cache_directory() / "sdk").glob("temporal*"))
    return next((path for path in found if path.is_file() and os.access(path, os.X_OK)), None)


def _download() -> Path | None:
    directory = cache_directory() / "sdk"
    directory.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            [sys.executable, "-c", _DOWNLOAD, str(directory)], capture_output=True, timeout=DOWNLOAD_S, check=True
        )
    except (subprocess.SubprocessError, OSError):
        return None
    return _downloaded()


def _build(target: Path) -> Path:
    go = shutil.which("go")
    if go is None:
        raise SystemExit(
            "campaigns: no Temporal server can be had: please install the Temporal CLI (https://docs.temporal.io/cli) "
            "or Go, or set TEMPORAL_CLI_PATH"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}")
    command = [
        go,
        "build",
        "-C",
        str(MODULE),
        "-mod=readonly",
        "-o",
        str(unfinished),
        "github.com/temporalio/cli/cmd/temporal",
    ]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("campaigns: the Temporal CLI could not be built; its messages stand above")
    unfinished.rename(target)
    return target


def server_command(binary: Path, directory: Path, port: int, ui_port: int) -> list[str]:
    """A dev server with its web UI, and a database file that outlives it."""
    return [
        str(binary), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port), "--ui-port", str(ui_port),
        "--db-filename", str(directory / "temporal.db"), "--log-level", "error",
        # Twice the speed; what a process wrote outlives it all the same.
        "--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=OFF",
        # Campaigns take turns where a queue is long.
        "--dynamic-config-value", "matching.enableFairness=true",
    ]  # fmt: skip


if __name__ == "__main__":
    print(f"Temporal server: {temporal_binary(lambda text: print(text, flush=True))}")
