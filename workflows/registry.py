"""The journeys in code: every module in the package `campaigns.journeys`, and in a directory of the user's."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from campaigns.models.journey.steps import Step
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.signing import Signing
from campaigns.models.values import Json
from campaigns.workflows.code.journey import Journey
from campaigns.workflows.declared import DeclaredJourney
from campaigns.workflows.proof import Proof

PLACE = "campaigns.journeys"


class Journeys:
    """Journeys by the name of their class."""

    def __init__(self, classes: Iterable[type[Journey[Any]]] = ()) -> None:
        self._classes: dict[str, type[Journey[Any]]] = {}
        for journey in classes:
            known = self._classes.setdefault(journey.__name__, journey)
            if known is not journey:
                raise SystemExit(
                    f"campaigns: {journey.__module__}.{journey.__name__}: {known.__module__} has that name too"
                )

    @property
    def classes(self) -> list[type[Journey[Any]]]:
        """All of them, by name."""
        return [self._classes[name] for name in sorted(self._classes)]

    def get(self, name: str | None) -> type[Journey[Any]] | None:
        """The journey of that name."""
        return self._classes.get(name or "")

    def steps(self, name: str) -> list[Step]:
        """The steps that the journey declares; none where this process does not know it."""
        journey = self.get(name)
        return [step.model for step in journey.steps.values()] if journey else []

    def accepts(self, name: str, properties: Json) -> bool:
        """Whether a trigger with these properties is what the journey expects."""
        journey = self.get(name)
        return journey is None or journey.accepts(properties)

    def completed(self, name: str, properties: Json) -> Json:
        """The trigger's properties, with the defaults that the journey's type has for those that were left out."""
        journey = self.get(name)
        return properties if journey is None else journey.completed(properties)

    def settings(self, name: object) -> Json:
        """The campaign's settings as the code states them. Raises Invalid where there is no such journey."""
        journey = self._classes.get(name) if isinstance(name, str) else None
        if journey is None:
            known = ", ".join(sorted(self._classes)) or "none"
            raise Invalid([FieldError("workflow", f"there is no journey {name!r} in code; there are: {known}")])
        stated = journey.definition.to_json()
        return {field: value for field, value in stated.items() if value is not None}


def all_workflows(journeys: Journeys, signing: Signing) -> list[type]:
    """Return what a worker serves: declared journeys, those in code, which unseal their triggers, and test sends."""
    Journey.signing = signing
    return [DeclaredJourney, Proof, *journeys.classes]


def load_journeys(directory: Path | None = None) -> Journeys:
    """Imports the modules in their place, and those of the directory. Raises SystemExit that names what is wrong."""
    place = importlib.import_module(PLACE)
    modules = [_import(module.name) for module in pkgutil.walk_packages(place.__path__, f"{PLACE}.")]
    if directory is not None:
        if not directory.is_dir():
            raise SystemExit(f"campaigns: CAMPAIGNS_JOURNEYS: {directory} is no directory")
        modules += [load_file(path) for path in sorted(directory.glob("*.py")) if not path.name.startswith("_")]
    return Journeys(journey for module in modules for journey in journeys_in(module))


def load_file(path: Path) -> ModuleType:
    """Imports a file of journeys, once. Raises SystemExit that names what is wrong."""
    name = f"campaigns_journeys_{path.stem}_{abs(hash(path.resolve()))}"
    if name in sys.modules:
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise SystemExit(f"campaigns: {path} is no Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise SystemExit(f"campaigns: {path}: {type(error).__name__}: {error}") from error
    return module


def journeys_in(module: ModuleType) -> Iterator[type[Journey[Any]]]:
    """The journeys that the module defines."""
    for value in vars(module).values():
        if not isinstance(value, type) or not issubclass(value, Journey):
            continue
        if value.__module__ == module.__name__ and "definition" in vars(value):
            yield value


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except TypeError as error:
        raise SystemExit(f"campaigns: {name}: {error}") from error
