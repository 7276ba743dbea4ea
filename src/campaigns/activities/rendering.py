"""Message texts: Liquid, within limits."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any

import css_inline
from inscriptis import get_text
from inscriptis.model.config import ParserConfig
from liquid import BoundTemplate, Environment
from liquid.exceptions import LiquidError
from mjml import mjml_to_html


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


# Its defaults would read files and URLs, and drop what @media says.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
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


def check_part(name: str, source: str) -> None:
    """Raises RenderingError where the part of a message can't be rendered for anybody: no Liquid, or no MJML."""
    try:
        check_text(_html_of(source) if name == "html" else source)
    except RenderingError as error:
        raise RenderingError(f"is not Liquid: {error}" if "MJML" not in str(error) else str(error)) from None


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
        if not html:
            return _parsed(source, False).render(**variables)
        return _inlined(_parsed(_html_of(source), True).render(**variables))
    except (LiquidError, RecursionError, ValueError, TypeError, ArithmeticError) as error:
        raise RenderingError(str(error)) from None


def text_of(html: str) -> str:
    """The text part of a mail of which only the HTML was written; links stand behind their words."""
    config = ParserConfig(display_links=True, display_anchors=False)
    lines = (line.rstrip() for line in get_text(html, config).strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


@lru_cache(maxsize=512)
def _html_of(source: str) -> str:
    """The HTML of MJML (https://mjml.io), which is known by its first tag; anything else is HTML already."""
    if not source.lstrip().lower().startswith("<mjml"):
        return source
    if "<mj-include" in source.lower():
        raise RenderingError("is not MJML that can be taken: mj-include reads files")
    try:
        made = mjml_to_html(source)
    except Exception as error:
        # The library raises whatever its parts raise.
        raise RenderingError(f"is not MJML: {error}") from None
    return str(made.html)


def _inlined(html: str) -> str:
    """The HTML with its styles at their elements, for mail programs that know no style sheets; media queries stay."""
    if "<style" not in html.lower():
        return html
    try:
        return _INLINER.inline(html)
    except css_inline.InlineError as error:
        raise RenderingError(f"styles: {error}") from None
