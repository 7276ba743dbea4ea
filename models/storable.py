"""What databases can keep of foreign words: PostgreSQL takes no U+0000, neither takes half a character."""

import math
from typing import Any

from campaigns.models.problems import FieldError

MAX_NESTING = 100


def storable(text: str, limit: int) -> str:
    """Return the text as it can be kept: what is no character as U+FFFD, and no more than `limit` of them."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:limit]


def unfit(value: Any) -> FieldError | None:
    """Return what of JSON can't be kept, with its place: U+0000, a number that is not finite, endless nesting."""
    # Without recursion: this is asked of data that nobody has checked.
    rest: list[tuple[Any, str, int]] = [(value, "", 0)]
    while rest:
        here, place, depth = rest.pop()
        if depth > MAX_NESTING:
            return FieldError(place[:200] or "body", f"nests deeper than {MAX_NESTING}")
        if isinstance(here, str) and "\0" in here:
            return FieldError(place or "body", "must not contain U+0000")
        if isinstance(here, float) and not math.isfinite(here):
            return FieldError(place or "body", "must be a finite number")
        if isinstance(here, dict):
            for key, child in here.items():
                if "\0" in key:
                    return FieldError(place or "body", "must not contain U+0000 in a name")
                rest.append((child, f"{place}.{key}" if place else key, depth + 1))
        elif isinstance(here, list):
            rest.extend((child, f"{place}[{index}]", depth + 1) for index, child in enumerate(here))
    return None
