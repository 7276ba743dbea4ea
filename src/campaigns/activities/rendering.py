"""Message texts: Liquid, within limits."""

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any

from liquid import BoundTemplate, Environment
from liquid.exceptions import LiquidError


class RenderingError(Exception):
    """The text cannot be rendered for this customer, or is not Liquid at all."""


class _Limited(Environment):
    """Liquid with limits, so that no text renders for ever or fills the memory."""

    context_depth_limit = 10
    loop_iteration_limit = 10_000
    local_namespace_limit = 1_000_000
    output_stream_limit = 2_000_000

    def __init__(self, *, autoescape: bool = False) -> None:
        super().__init__(autoescape=autoescape)
        self.filters = {name: _without_endless_ranges(apply) for name, apply in self.filters.items()}


def _without_endless_ranges(apply: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, which does not unroll `(1..1000000000)`: the limits look only at what comes out."""

    @wraps(apply)
    def limited(*values: Any, **options: Any) -> Any:
        if any(isinstance(value, range) and len(value) > _Limited.loop_iteration_limit for value in values):
            raise RenderingError(f"a range has more than {_Limited.loop_iteration_limit} numbers")
        return apply(*values, **options)

    return limited


_PLAIN = _Limited()
_HTML = _Limited(autoescape=True)


@lru_cache(maxsize=4096)
def _parsed(source: str, html: bool) -> BoundTemplate:
    return (_HTML if html else _PLAIN).from_string(source)


def check_text(source: str) -> None:
    """Raises RenderingError where the text is not Liquid."""
    try:
        _parsed(source, False)
    except (LiquidError, RecursionError, ValueError, TypeError) as error:
        raise RenderingError(str(error)) from None


def variables_of(source: str) -> set[tuple[str, str]]:
    """The variables that the text takes from outside: the first two parts of each path. Empty where it is no Liquid."""
    try:
        found = _parsed(source, False).analyze().globals
    except (LiquidError, RecursionError, ValueError, TypeError):
        return set()
    paths = [variable.segments for uses in found.values() for variable in uses]
    return {(str(path[0]), str(path[1]) if len(path) > 1 else "") for path in paths}


def render(source: str, variables: Mapping[str, Any], *, html: bool = False) -> str:
    """The text with the variables put in, values escaped in HTML; what is missing is empty.

    Raises RenderingError for anything that goes wrong.
    """
    try:
        return _parsed(source, html).render(**variables)
    except (LiquidError, RecursionError, ValueError, TypeError, ArithmeticError) as error:
        raise RenderingError(str(error)) from None
