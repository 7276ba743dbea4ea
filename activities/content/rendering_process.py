"""The process that renders: Liquid, MJML, styles, text parts; within limits, knowing nothing, and free to be killed.

Whoever writes a template decides what is computed here. So it is a process of its own, which has no secret, no
connection and no environment, may take so much memory and so long for each request, and is replaced when it dies.
"""

import os
import re
import resource
import signal
import sys
from collections.abc import Mapping
from functools import lru_cache, partial
from multiprocessing.connection import Connection
from typing import Any

import css_inline
import lxml.html
import orjson
from inscriptis import get_text
from inscriptis.model.config import ParserConfig
from mjml import mjml_to_html

from campaigns.activities.content.liquid_dialect import (
    LIQUID_ERRORS,
    Missing,
    TextError,
    as_variables,
    check_filters,
    parsed,
)

CPU_S = 2.0
"""So much computing time a request may take; then the system kills the process."""
MEMORY_BYTES = 512 * 1024 * 1024


# Its defaults would read files and URLs, and drop what @media says.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
_DOWNLEVEL = re.compile(r"<!--.*?-->|<!\[((?:if [^\]]*|endif))\]>", re.DOTALL | re.IGNORECASE)
_KEPT = re.compile(r"<!--kept:\[((?:if [^\]]*|endif))\]-->", re.IGNORECASE)
_TAG = re.compile(r"\{%.*?%\}", re.DOTALL)
_OUTPUT = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_HOLE = re.compile(r"liquid-(\d+)-hole")


def _is_mjml(source: str) -> bool:
    return _TAG.sub("", source).lstrip().lower().startswith("<mjml")


@lru_cache(maxsize=256)
def _html_of(source: str) -> str:
    """The HTML of MJML (https://mjml.io), which is known by its first tag; anything else is HTML already."""
    if not _is_mjml(source):
        return source
    if "<mj-include" in source.lower():
        raise TextError("is not MJML that can be taken: mj-include reads files")
    try:
        made = mjml_to_html(source)
    except Exception as error:
        # The library raises whatever its parts raise.
        raise TextError(f"is not MJML: {error}") from None
    return str(made.html)


@lru_cache(maxsize=256)
def _html_around_outputs(source: str) -> str:
    """The HTML of MJML in which Liquid writes values and nothing else: made once for all customers.

    MJML sees a word in the place of each output, whatever quotes and brackets that holds.
    """
    outputs: list[str] = []

    def hole(output: re.Match[str]) -> str:
        outputs.append(output[0])
        return f"liquid-{len(outputs) - 1}-hole"

    return _HOLE.sub(lambda found: outputs[int(found[1])], _html_of(_OUTPUT.sub(hole, source)))


def _rendered_html(source: str, variables: Mapping[str, Any]) -> str:
    """Liquid, then MJML: tags may stand around sections, columns and attributes, and each branch is MJML of its own."""
    if _is_mjml(source) and _TAG.search(source):
        return _html_of.__wrapped__(parsed(source, True).render(**variables))
    return parsed(_html_around_outputs(source), True).render(**variables)


def _check_html(source: str) -> None:
    """Raise TextError for MJML that is none in one of its branches: all of them are looked at together."""
    _html_of(_OUTPUT.sub("liquid", _TAG.sub("", source)))


def _inlined(html: str) -> str:
    """The HTML with its styles at their elements, for mail programs that know no style sheets; media queries stay."""
    if "<style" not in html.lower():
        return html
    # Outlook's conditions that are no comments (`<![if !mso]>`) would come out of the parser as comments.
    kept = _DOWNLEVEL.sub(lambda found: f"<!--kept:[{found[1]}]-->" if found[1] else found[0], html)
    try:
        inlined = _INLINER.inline(kept)
    except css_inline.InlineError as error:
        raise TextError(f"styles: {error}") from None
    return _KEPT.sub(r"<![\1]>", inlined)


def _text_of(html: str) -> str:
    """The text part of a mail of which only the HTML was written; links stand behind their words."""
    config = ParserConfig(display_links=True, display_anchors=False)
    lines = (line.rstrip() for line in get_text(html, config).strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _rendered(source: str, variables: Mapping[str, Any], html: bool) -> str:
    try:
        if not html:
            return parsed(source, False).render(**variables)
        return _inlined(_rendered_html(source, variables))
    except LIQUID_ERRORS as error:
        raise TextError(str(error)) from None


def render(request: Mapping[str, Any]) -> dict[str, Any]:
    """`{"parts": {name: [source, is HTML]}, "variables", "makes_text"}` to `{"parts", "missing"}`.

    Or to `{"part", "error"}`, the first that can't be rendered.
    """
    Missing.noted.clear()
    variables, parts = as_variables(request["variables"]), {}
    for name, (source, html) in request["parts"].items():
        try:
            parts[name] = _rendered(source, variables, html)
        except TextError as error:
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
            template = parsed(source, False)
            found = template.analyze().globals
            check_filters(template)
            if html:
                _check_html(source)
        except TextError as error:
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
        html = _html_of(_OUTPUT.sub("{{}}", _TAG.sub("", source)))
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
