"""Temporal's time-skipping test server: the SDK's download, else from Maven."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from campaigns.cli.embedded.temporal import cache_directory

VERSION = "1.38.0"

# In an interpreter of its own: where there is no network, the SDK aborts the interpreter at its exit.
_DOWNLOAD = """
import asyncio, sys
from temporalio.testing import WorkflowEnvironment
async def main():
    async with await WorkflowEnvironment.start_time_skipping(download_dest_dir=sys.argv[1]):
        pass
asyncio.run(main())
"""


class Unavailable(Exception):
    """The server cannot be had on this machine."""


def time_skipping_server() -> Path:
    """The server's command, which is got once. Raises Unavailable."""
    directory = cache_directory() / f"time-skipping-{VERSION}"
    wrapper = directory / "server"
    if wrapper.exists():
        return wrapper
    directory.mkdir(parents=True, exist_ok=True)
    with (directory.parent / f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in several processes get it once
        if not wrapper.exists() and not _downloaded(directory):
            _from_maven(directory, wrapper)
    return wrapper


def _from_maven(directory: Path, wrapper: Path) -> None:
    subprocess.run(
        [_needed("mvn"), "-q", "-B", "-f", str(Path(__file__).parent / "pom.xml"),
         "dependency:copy-dependencies", f"-DoutputDirectory={directory / 'lib'}"],
        check=True,
    )  # fmt: skip
    java = f'"{_needed("java")}" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "{directory}/lib/*"'
    unfinished = wrapper.with_suffix(".part")
    unfinished.write_text(f'#!/bin/sh\nexec {java} io.temporal.testserver.TestServer "$@"\n')
    unfinished.chmod(0o755)
    unfinished.rename(wrapper)


def _downloaded(directory: Path) -> bool:
    try:
        subprocess.run([sys.executable, "-c", _DOWNLOAD, str(directory)], capture_output=True, timeout=60, check=True)
    except (subprocess.SubprocessError, OSError):
        return False
    server = next((path for path in directory.iterdir() if path.is_file()), None)
    if server is None:
        return False
    server.rename(directory / "server")
    return True


def _needed(command: str) -> str:
    path = shutil.which(command)
    if path is None:
        raise Unavailable(f"the time-skipping server needs a download, or {command}")
    return path
