"""The Segment HTTP tracking API."""

import orjson
from fastapi import APIRouter, Request, Response

from campaigns.models.problems import FieldError, Invalid
from campaigns.models.values import Json
from campaigns.starter.composition import Parts, Services
from campaigns.starter.http.bodies import check_fit, load_json, parse_json, read_body, unzip
from campaigns.starter.http.problems import Problem, invalid_problem
from campaigns.starter.intake.tracking import (
    MAX_BATCH_BYTES,
    MAX_BATCH_CALLS,
    MAX_CALL_BYTES,
    TrackingCall,
    parse_call,
)
from campaigns.starter.routes.shapes.entries import BatchAnswer, CallAnswer

router = APIRouter(prefix="/v1", tags=["tracking"])

_DOCUMENTED: Json = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


async def _body(request: Request, limit: int) -> bytes:
    body = await read_body(request, limit)
    return unzip(body, limit) if request.headers.get("content-encoding") == "gzip" else body


async def _one(request: Request, parts: Services, type_: str) -> Response:
    call = parse_call(parse_json(await _body(request, MAX_CALL_BYTES)), type_)
    return _answer(await parts.intake.take(call))


def _answer(answer: Json) -> Response:
    """The answer as it is: checking its shape for each event would cost more than the JSON."""
    return Response(orjson.dumps(answer), media_type="application/json")


@router.post("/track", response_model=CallAnswer, openapi_extra=_DOCUMENTED)
async def track(request: Request, parts: Parts) -> Response:
    """An event occurred for a customer. Answers once it is durable, with what was decided."""
    return await _one(request, parts, "track")


@router.post("/identify", response_model=CallAnswer, openapi_extra=_DOCUMENTED)
async def identify(request: Request, parts: Parts) -> Response:
    """The traits of a customer; those that are not mentioned stay."""
    return await _one(request, parts, "identify")


@router.post("/page", response_model=CallAnswer, openapi_extra=_DOCUMENTED)
async def page(request: Request, parts: Parts) -> Response:
    """A page was seen: the event `Page Viewed`."""
    return await _one(request, parts, "page")


@router.post("/screen", response_model=CallAnswer, openapi_extra=_DOCUMENTED)
async def screen(request: Request, parts: Parts) -> Response:
    """A screen was seen: the event `Screen Viewed`."""
    return await _one(request, parts, "screen")


@router.post("/group", response_model=CallAnswer, openapi_extra=_DOCUMENTED)
async def group(request: Request, parts: Parts) -> Response:
    """Accepted and kept."""
    return await _one(request, parts, "group")


@router.post("/alias", response_model=CallAnswer, openapi_extra=_DOCUMENTED)
async def alias(request: Request, parts: Parts) -> Response:
    """Accepted and kept."""
    return await _one(request, parts, "alias")


@router.post("/batch", response_model=BatchAnswer, openapi_extra=_DOCUMENTED)
async def batch(request: Request, parts: Parts) -> Response:
    """Many calls; each stands alone, and `results` answers them in order."""
    raw = load_json(await _body(request, MAX_BATCH_BYTES))
    listed = raw.get("batch") if isinstance(raw, dict) else None
    if not isinstance(listed, list):
        raise Invalid([FieldError("batch", "must be a list of calls")])
    if len(listed) > MAX_BATCH_CALLS:
        detail = f"has more than {MAX_BATCH_CALLS} calls"
        raise Problem(413, "Too large", f"batch {detail}", [FieldError("batch", detail)])
    checked = [_checked(call) for call in listed]
    answers = iter(await parts.intake.take_many([call for call in checked if isinstance(call, TrackingCall)]))
    results = [next(answers) if isinstance(call, TrackingCall) else call for call in checked]
    return _answer({"success": True, "results": results})


def _checked(raw: object) -> TrackingCall | Json:
    """The call, or what is said of one that is bad."""
    try:
        if len(orjson.dumps(raw)) > MAX_CALL_BYTES:
            raise Problem(413, "Too large", "the call is too large", [FieldError("body", "is too large")])
        check_fit(raw)
        return parse_call(raw)
    except Invalid as error:
        return {"success": False, "error": invalid_problem(error).to_json()}
    except Problem as problem:
        return {"success": False, "error": problem.to_json()}
