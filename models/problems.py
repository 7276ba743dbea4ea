"""What is wrong with something a user sent: each error with the field it stands in."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True)
class FieldError:
    """One error and its place, such as `steps[2].for[0].event`."""

    field: str
    detail: str


class Invalid(Exception):
    """What was sent can't be taken; nothing was written."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{error.field}: {error.detail}" for error in self.errors))


def place_text(place: Iterable[str | int]) -> str:
    """`("steps", 2, "subject")` as `steps[2].subject`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def field_errors(error: ValidationError, raw: object) -> list[FieldError]:
    """Pydantic's errors in our words, with places that a user recognises in what was sent."""
    found = []
    for one in error.errors(include_url=False):
        place = _place_in(raw, one["loc"], missing=one["type"] == "missing")
        detail = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            detail = "is not a known field"
        elif one["type"] == "missing":
            detail = "is required"
        elif one["type"] == "value_error" and ": " in detail:
            # A validator of a whole object names the field itself.
            name, _, rest = detail.partition(": ")
            if name.isidentifier():
                place, detail = (*place, name), rest
        found.append(FieldError(place_text(place) or "body", detail))
    return found


def _place_in(raw: object, place: tuple[str | int, ...], *, missing: bool) -> tuple[str | int, ...]:
    """Pydantic's place without the tags of unions: of all ways to leave names out, the one that follows
    what was sent with the fewest left out, the earliest where there are several."""
    if missing:
        return (*_follow(raw, place[:-1])[1], place[-1])
    return _follow(raw, place)[1]


def _follow(value: object, place: tuple[str | int, ...]) -> tuple[int, tuple[str | int, ...]]:
    """How many names were left out, and the place without them."""
    if not place:
        return 0, ()
    part, rest = place[0], place[1:]
    ways = []
    if _has(value, part):
        dropped, kept = _follow(value[part], rest)  # type: ignore[index]
        if not dropped:
            return 0, (part, *kept)
        ways.append((dropped, (part, *kept)))
    dropped, kept = _follow(value, rest)
    return min([(dropped + 1, kept), *ways], key=lambda way: way[0])


def _has(value: object, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(value, list) and part < len(value)
    return isinstance(value, dict) and part in value
