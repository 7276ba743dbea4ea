"""The process that renders: Liquid, MJML, styles, text parts; within limits, knowing nothing, and free to be killed.

Whoever writes a template decides what is computed here. So it is a process of its own, which has no secret, no
connection and no environment, may take so much memory and so long for each request, and is replaced when it dies.
"""

import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache, partial, wraps
from multiprocessing.connection import Connection
from typing import Any, ClassVar

import css_inline
import lxml.html
import orjson
from inscriptis import get_text
from inscriptis.model.config import ParserConfig
from liquid import BoundTemplate, Environment
from liquid.exceptions import LiquidError
from liquid.undefined import Undefined
from mjml import mjml_to_html

CPU_S = 2.0
"""So much computing time a request may take; then the system kills the process."""
MEMORY_BYTES = 512 * 1024 * 1024
LIQUID_ERRORS = (LiquidError, RecursionError, ValueError, TypeError, ArithmeticError)


class RenderingError(Exception):
    """The text cannot be rendered for this customer, or is not Liquid at all."""


class Missing(Undefined):
    """A variable that has no value: false in conditions, empty in loops, noted where it would be written."""

    __slots__ = ()
    noted: ClassVar[dict[str, None]] = {}
    """The names, in the order in which they were met."""

    def __str__(self) -> str:
        name = self.hint.removesuffix(" is undefined") if self.hint and "undefined" in self.hint else self.name
        self.noted[name.strip("'")] = None
        return ""


class _Limited(Environment):
    """Liquid with limits, so that most of what is endless is refused before the process must be killed."""

    context_depth_limit = 10
    loop_iteration_limit = 10_000
    local_namespace_limit = 1_000_000
    output_stream_limit = 2_000_000

    def __init__(self, *, autoescape: bool = False) -> None:
        super().__init__(autoescape=autoescape, undefined=Missing)
        self.filters = {name: _filter(name, apply) for name, apply in self.filters.items()}


def _filter(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, through which a missing value passes up to its default, and no range is unrolled.

    `(1..1000000000)` needs to be refused here: Liquid's limits look only at what comes out.
    """

    @wraps(apply)
    def limited(*values: Any, **options: Any) -> Any:
        if values and isinstance(values[0], Missing) and name != "default":
            return values[0]
        if any(isinstance(value, range) and len(value) > _Limited.loop_iteration_limit for value in values):
            raise RenderingError(f"a range has more than {_Limited.loop_iteration_limit} numbers")
        return apply(*values, **options)

    return limited


# Its defaults would read files and URLs, and drop what @media says.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
_PLAIN = _Limited()
_HTML = _Limited(autoescape=True)


@lru_cache(maxsize=1024)
def _parsed(source: str, html: bool) -> BoundTemplate:
    return (_HTML if html else _PLAIN).from_string(source)


@lru_cache(maxsize=256)
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


def _text_of(html: str) -> str:
    """The text part of a mail of which only the HTML was written; links stand behind their words."""
    config = ParserConfig(display_links=True, display_anchors=False)
    lines = (line.rstrip() for line in get_text(html, config).strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _rendered(source: str, variables: Mapping[str, Any], html: bool) -> str:
    try:
        if not html:
            return _parsed(source, False).render(**variables)
        return _inlined(_parsed(_html_of(source), True).render(**variables))
    except LIQUID_ERRORS as error:
        raise RenderingError(str(error)) from None


def _without_nulls(value: Any) -> Any:
    """A value that is null is as missing as one that is not there."""
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def render(request: Mapping[str, Any]) -> dict[str, Any]:
    """`{"parts": {name: [source, is HTML]}, "variables", "makes_text"}` to `{"parts", "missing"}`.

    Or to `{"part", "error"}`, the first that can't be rendered.
    """
    Missing.noted.clear()
    variables, parts = _without_nulls(request["variables"]), {}
    for name, (source, html) in request["parts"].items():
        try:
            parts[name] = _rendered(source, variables, html)
        except RenderingError as error:
            return {"part": name, "error": str(error)}
    if request["makes_text"] and "text" not in parts and "html" in parts:
        parts["text"] = _text_of(parts["html"])
    return {"parts": parts, "missing": list(Missing.noted)}


def check(request: Mapping[str, Any]) -> dict[str, Any]:
    """`{"parts": {name: [source, is HTML]}}` to `{"errors": {name: why}, "variables": {name: [[root, next], …]}}`."""
    errors: dict[str, str] = {}
    variables: dict[str, list[list[str]]] = {}
    for name, (source, html) in request["parts"].items():
        try:
            template = _parsed(_html_of(source) if html else source, False)
            found = template.analyze().globals
        except RenderingError as error:
            errors[name] = str(error)
        except LIQUID_ERRORS as error:
            errors[name] = f"is not Liquid: {error}"
        else:
            paths = [variable.segments for uses in found.values() for variable in uses]
            variables[name] = [[str(path[0]), str(path[1]) if len(path) > 1 else ""] for path in paths]
    return {"errors": errors, "variables": variables}


def look(request: Mapping[str, Any]) -> dict[str, Any]:
    """`{"parts": {name: [source, is HTML]}}` to the targets of links, and the images with what is said in their place.

    `{"links": {name: [target, …]}, "images": {name: [[source, alt], …]}}`; what Liquid puts in is `{{}}`.
    """
    links: dict[str, list[str]] = {}
    images: dict[str, list[list[str | None]]] = {}
    for name, (source, _) in request["parts"].items():
        # Variables may hold quotes, which would end an attribute.
        html = re.sub(r"\{%.*?%\}", "", re.sub(r"\{\{.*?\}\}", "{{}}", _html_of(source)))
        document = lxml.html.fromstring(html if html.strip() else "<p>")
        links[name] = [one.get("href", "").strip() for one in document.iter("a")]
        images[name] = [[one.get("src", "").strip(), one.get("alt")] for one in document.iter("img")]
    return {"links": links, "images": images}


REQUESTS = {"render": render, "check": check, "look": look}


def serve(connection: Connection) -> None:
    """Answers one request after the other, until the other side is gone."""
    while True:
        try:
            request = orjson.loads(connection.recv_bytes())
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        answer = _answer(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send_bytes(answer)


def _answer(request: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(REQUESTS[request["do"]](request))
    except MemoryError:
        return orjson.dumps({"error": "takes too much memory"})
    except BaseException as error:
        # Whatever a library makes of hostile text, a panic of compiled code too, is this text's fault.
        return orjson.dumps({"error": f"{type(error).__name__}: {error}"[:500]})


def _limit() -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for kind, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)):
        set_limit = partial(resource.setrlimit, kind, (most, most))
        try:
            set_limit()
        except (ValueError, OSError):  # macOS does not limit the memory
            continue


if __name__ == "__main__":
    _limit()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # what a library says of hostile text is no log
    with Connection(int(sys.argv[1])) as parent:
        parent.send_bytes(b"ready")
        serve(parent)
