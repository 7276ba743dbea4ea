"""Answers held against the shapes that /openapi.json says: whatever the tests ask, a shape that lies fails them."""

from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import Any

import httpx2
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.routing import compile_path


@cache
def _routes(app: FastAPI) -> list[tuple[str, Any, TypeAdapter[Any] | None]]:
    """Method, pattern of the path and shape of each documented route, in their order."""
    listed = []
    for route in _all(app.routes):
        shape = TypeAdapter(route.response_model) if route.response_model is not None else None
        pattern, _, _ = compile_path(route.path)
        listed += [(method, pattern, shape) for method in sorted(route.methods)]
    return listed


def _all(routes: Any) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif included := getattr(route, "original_router", None):
            yield from _all(included.routes)


def shape_checker(app: FastAPI) -> Callable[[httpx2.Response], Awaitable[None]]:
    """Return a hook for a client of this application."""

    async def check(answer: httpx2.Response) -> None:
        await answer.aread()
        check_shape(app, answer)

    return check


def check_shape(app: FastAPI, answer: httpx2.Response) -> None:
    """Raise ValidationError where a good answer of JSON has another shape than its route says."""
    if not answer.is_success or "json" not in answer.headers.get("content-type", ""):
        return
    for method, pattern, shape in _routes(app):
        if method == answer.request.method and pattern.match(answer.request.url.path):
            assert shape is not None, f"{method} {pattern.pattern} says no shape"
            shape.validate_json(answer.content)
            return
    assert answer.request.url.path == app.openapi_url, f"no route for {answer.request.method} {answer.request.url}"
