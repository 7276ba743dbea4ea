"""A profile change: the one rule for identify, the API, imports and `update` steps."""

from dataclasses import dataclass
from typing import Any

import orjson

from campaigns.models.values import Json


@dataclass(frozen=True)
class ProfileChange:
    """What given attributes make of a customer."""

    attributes: Json
    """All of the customer's, afterwards."""
    changed: frozenset[str]
    """Names of those that have another value than before, or none any more."""


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
