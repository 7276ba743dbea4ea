"""A profile change: the one rule for identify, the API, imports and `update` steps."""

from dataclasses import dataclass
from typing import Any

import orjson

from campaigns.models.problems import FieldError, Invalid
from campaigns.models.values import Json, no_control_characters

TEXTS = ("email", "phone", "timezone", "locale", "pushToken")
"""Attributes that have a meaning of their own, and are text."""


@dataclass(frozen=True)
class ProfileChange:
    """What given attributes make of a customer."""

    attributes: Json
    """All of the customer's, afterwards."""
    changed: frozenset[str]
    """Names of those that have another value than before, or none any more."""


def check_attributes(attributes: Json, prefix: str = "") -> None:
    """Raise Invalid where a known attribute is not what it must be. Others may hold anything."""
    errors = []
    for name in TEXTS:
        value = attributes.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            errors.append(FieldError(prefix + name, "must be a string or null"))
            continue
        try:
            no_control_characters(value)
        except ValueError as error:
            errors.append(FieldError(prefix + name, str(error)))
    for name in attributes:
        if not 0 < len(name) <= 255:
            errors.append(FieldError(prefix + name[:40], "names of attributes have 1 to 255 characters"))
    if errors:
        raise Invalid(errors)


def change(before: Json, given: Json) -> ProfileChange:
    """Return what becomes of the attributes: what is given replaces, null takes away, all else stays.

    `id` is the customer's own, and no attribute.
    """
    given = {name: value for name, value in given.items() if name != "id"}
    after = {name: value for name, value in {**before, **given}.items() if value is not None}
    return ProfileChange(after, frozenset(name for name in given if _differs(before.get(name), given[name])))


def _differs(before: Any, after: Any) -> bool:
    # For Python True is 1, for JSON it is not.
    return before != after or _text(before) != _text(after)


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
