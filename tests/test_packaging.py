"""What ships is what the rooms hold, from wherever it is built: each file once, and none is missing."""

import importlib
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = ROOT / "src" / "campaigns"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.is_symlink())
OWN = ["src/campaigns/__init__.py", "src/campaigns/py.typed"]
"""What is in the package besides the rooms."""


def repository() -> list[str]:
    """The files of the repository; without git, those that are no leftovers of running."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        return [name for name in output.split("\0") if name and (ROOT / name).exists()]
    tops = [*ROOMS, *(path.name for path in ROOT.iterdir() if path.is_file())]
    files = [file for top in tops for file in ((ROOT / top).rglob("*") if (ROOT / top).is_dir() else [ROOT / top])]
    names = [str(file.relative_to(ROOT)) for file in files if file.is_file() and "__pycache__" not in file.parts]
    return [*names, *OWN, *(f"src/campaigns/{room}" for room in ROOMS)]


def shipped() -> dict[str, bytes]:
    """The files of the rooms, by their names in the package."""
    rooms = [name for name in repository() if name.partition("/")[0] in ROOMS]
    assert {name.partition("/")[0] for name in rooms} == set(ROOMS)
    names = {f"campaigns/{name}": name for name in rooms} | {name.removeprefix("src/"): name for name in OWN}
    return {shipped: (ROOT / name).read_bytes() for shipped, name in names.items()}


def copied(target: Path, names: Iterable[str]) -> Path:
    """A copy of these files, the links as files with their targets in it: so they come out of a zip, and on Windows."""
    for name in names:
        source, copy = ROOT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            copy.write_text(str(source.readlink()))
        else:
            shutil.copy(source, copy)
    return target


def build(source: Path, target: Path, kind: str) -> Path:
    """The wheel or sdist that is built from there."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=source, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


def unpacked(archive: Path, target: Path) -> Path:
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        tar.extractall(target, filter="data")
    assert len(names) == len(set(names))
    (top,) = target.iterdir()
    return top


def copied_by_docker() -> list[str]:
    """The files that the build stage of the Dockerfile is given."""
    stage = (ROOT / "Dockerfile").read_text().split("\nFROM ")[0]
    lines = [line.split()[1:-1] for line in stage.splitlines() if line.startswith("COPY ")]
    given = {path for line in lines for path in line}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert given
    assert not given & set(ignored)
    return [name for name in repository() if {name, name.partition("/")[0]} & given]


@pytest.mark.parametrize(
    "source", ["the repository", "the sdist", "a zip of the repository", "the Dockerfile's copies"]
)
def test_a_wheel_holds_each_file_of_the_rooms_once(tmp_path: Path, source: str):
    places = {
        "the repository": lambda: ROOT,
        "the sdist": lambda: unpacked(build(ROOT, tmp_path / "sdist", "sdist"), tmp_path / "unpacked"),
        "a zip of the repository": lambda: copied(tmp_path / "zip", repository()),
        "the Dockerfile's copies": lambda: copied(tmp_path / "copies", copied_by_docker()),
    }
    with zipfile.ZipFile(build(places[source](), tmp_path / "wheel", "wheel")) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
        contents = {name: wheel.read(name) for name in names}
    assert sorted(names) == sorted(shipped())
    assert contents == shipped()


def test_an_sdist_holds_the_rooms_and_what_it_is_built_with(tmp_path: Path):
    top = unpacked(build(ROOT, tmp_path / "sdist", "sdist"), tmp_path / "unpacked")
    held = {str(path.relative_to(top)) for path in top.rglob("*") if not path.is_dir()}
    rooms = {name for name in repository() if name.partition("/")[0] in ROOMS}
    assert held == rooms | {*OWN, ".gitignore", "PKG-INFO", "README.md", "pyproject.toml"}


def test_an_editable_install_reads_the_rooms():
    assert ROOMS
    for room in ROOMS:
        file = importlib.import_module(f"campaigns.{room}").__file__
        assert file
        assert Path(file).resolve() == ROOT / room / "__init__.py"


def test_each_list_names_each_room_once():
    targets, ruff = PROJECT["tool"]["hatch"]["build"]["targets"], PROJECT["tool"]["ruff"]["lint"]
    (layers,) = [
        contract["layers"] for contract in PROJECT["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers" and f"campaigns.{ROOMS[0]}" in contract["layers"]
    ]  # fmt: skip
    assert targets["wheel"]["sources"] == {"src": "", **{room: f"campaigns/{room}" for room in ROOMS}}
    assert sorted(targets["wheel"]["only-include"]) == sorted([*ROOMS, *OWN])
    assert sorted(targets["sdist"]["only-include"]) == sorted([*ROOMS, *OWN])
    assert sorted(layers) == [f"campaigns.{room}" for room in ROOMS]
    banned = ruff["flake8-tidy-imports"]["banned-api"]
    assert {room: banned[room]["msg"] for room in ROOMS} == {room: f"import campaigns.{room}" for room in ROOMS}
    assert [path.name for path in sorted(PACKAGE.iterdir()) if path.is_dir() and path.name != "__pycache__"] == ROOMS
