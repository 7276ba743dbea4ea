"""The Segment HTTP tracking API."""

from collections.abc import Awaitable, Callable

import orjson
from fastapi import APIRouter, Request, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from campaigns.models.problems import FieldError, Invalid
from campaigns.models.values import Json
from campaigns.starter.composition import Parts, Services
from campaigns.starter.http.bodies import check_fit, load_json, read_body, unzip
from campaigns.starter.http.keys import check_body_key
from campaigns.starter.http.problems import Problem, invalid_problem
from campaigns.starter.intake.tracking import (
    MAX_BATCH_BYTES,
    MAX_BATCH_CALLS,
    MAX_CALL_BYTES,
    TrackingCall,
    parse_call,
)
from campaigns.starter.routes.shapes.base import Shape
from campaigns.starter.routes.shapes.entries import BatchAnswer, CallAnswer

router = APIRouter(prefix="/v1", tags=["tracking"])

_DOCUMENTED: Json = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


async def _body(request: Request, limit: int) -> bytes:
    body = await read_body(request, limit)
    return unzip(body, limit) if request.headers.get("content-encoding") == "gzip" else body


async def _one(request: Request, parts: Services, type_: str) -> Response:
    raw = load_json(await _body(request, MAX_CALL_BYTES))
    check_body_key(request, parts.settings, raw)
    check_fit(raw)
    return _answer(await parts.intake.take(parse_call(raw, type_)))


def _answer(answer: Json) -> Response:
    """The answer as it is: checking its shape for each event would cost more than the JSON."""
    return Response(orjson.dumps(answer), media_type="application/json")


async def track(request: Request, parts: Parts) -> Response:
    """An event occurred for a customer. Answers once it is durable, with what was decided."""
    return await _one(request, parts, "track")


async def identify(request: Request, parts: Parts) -> Response:
    """The traits of a customer; those that are not mentioned stay."""
    return await _one(request, parts, "identify")


async def page(request: Request, parts: Parts) -> Response:
    """A page was seen: the event `Page Viewed`."""
    return await _one(request, parts, "page")


async def screen(request: Request, parts: Parts) -> Response:
    """A screen was seen: the event `Screen Viewed`."""
    return await _one(request, parts, "screen")


async def group(request: Request, parts: Parts) -> Response:
    """Accepted and kept."""
    return await _one(request, parts, "group")


async def alias(request: Request, parts: Parts) -> Response:
    """Accepted and kept."""
    return await _one(request, parts, "alias")


async def batch(request: Request, parts: Parts) -> Response:
    """Many calls; each stands alone, and `results` answers them in order."""
    raw = load_json(await _body(request, MAX_BATCH_BYTES))
    check_body_key(request, parts.settings, raw)
    listed = raw.get("batch") if isinstance(raw, dict) else None
    if not isinstance(listed, list):
        raise Invalid([FieldError("batch", "must be a list of calls")])
    if len(listed) > MAX_BATCH_CALLS:
        detail = f"has more than {MAX_BATCH_CALLS} calls"
        raise Problem(413, "Too large", f"batch {detail}", [FieldError("batch", detail)])
    checked = [_checked(call, raw.get("sentAt")) for call in listed]
    answers = iter(await parts.intake.take_many([call for call in checked if isinstance(call, TrackingCall)]))
    results = [next(answers) if isinstance(call, TrackingCall) else call for call in checked]
    return _answer({"success": True, "results": results})


PATHS: dict[str, tuple[Callable[..., Awaitable[Response]], type[Shape]]] = {
    "track": (track, CallAnswer), "identify": (identify, CallAnswer), "page": (page, CallAnswer),
    "screen": (screen, CallAnswer), "group": (group, CallAnswer), "alias": (alias, CallAnswer),
    "batch": (batch, BatchAnswer),
}  # fmt: skip
OTHER_NAMES = {
    "t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias", "b": "batch",
    "import": "batch",
}  # fmt: skip
"""The browser's library uses the first letters, those for Java and Ruby `import`."""

for name, (endpoint, shape) in PATHS.items():
    router.post(f"/{name}", response_model=shape, openapi_extra=_DOCUMENTED)(endpoint)
for name in (*PATHS, *OTHER_NAMES):
    endpoint, shape = PATHS[OTHER_NAMES.get(name, name)]
    paths = [f"/{name}/"] if name in PATHS else [f"/{name}", f"/{name}/"]
    for path in paths:
        router.post(path, response_model=shape, include_in_schema=False)(endpoint)


class TrackingCors:
    """Lets pages of any site call the tracking API, as Segment's does (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._cors = CORSMiddleware(
            app, allow_origins=["*"], allow_methods=["POST"], allow_headers=["Authorization", "Content-Type"]
        )
        self._paths = {f"/v1/{name}" for name in (*PATHS, *OTHER_NAMES)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what a browser asks before, and say in each answer that the page may read it."""
        tracking = scope["type"] == "http" and scope["path"].rstrip("/") in self._paths
        await (self._cors if tracking else self._app)(scope, receive, send)


def _checked(raw: object, sent_at: object) -> TrackingCall | Json:
    """The call of a batch that was sent then, or what is said of one that is bad."""
    try:
        # First what nests without end, which could not even be measured.
        check_fit(raw)
        if len(orjson.dumps(raw)) > MAX_CALL_BYTES:
            raise Problem(413, "Too large", "the call is too large", [FieldError("body", "is too large")])
        return parse_call({"sentAt": sent_at, **raw} if isinstance(raw, dict) else raw)
    except Invalid as error:
        return {"success": False, "error": invalid_problem(error).to_json()}
    except Problem as problem:
        return {"success": False, "error": problem.to_json()}
