"""Bodies of requests: read within limits, parsed and checked."""

import asyncio
import zlib
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from campaigns.models.problems import FieldError, Invalid, field_errors
from campaigns.models.storable import unfit
from campaigns.starter.http.problems import Problem

MAX_BODY_BYTES = 2 * 1024 * 1024
BODY_S = 30.0
"""So long a body may take to come: who sends none holds a place for those who do."""

ModelT = TypeVar("ModelT", bound=BaseModel)


async def read_body(request: Request, limit: int) -> bytes:
    """The body; 413 as soon as it is over the limit, whatever its headers say, and 408 where it does not come."""
    chunks, size = [], 0
    if int(request.headers.get("content-length") or 0) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        errors = [FieldError("body", f"did not come within {BODY_S:.0f} s")]
        raise Problem(408, "Request timeout", "the body did not come in time", errors) from None
    return b"".join(chunks)


def _too_large(limit: int) -> Problem:
    return Problem(413, "Too large", f"the body is over {limit} bytes", [FieldError("body", f"is over {limit} bytes")])


def unzip(body: bytes, limit: int) -> bytes:
    """The body that came as gzip. Raises Invalid where it is none, 413 where what it holds is over the limit."""
    try:
        plain = zlib.decompressobj(wbits=31).decompress(body, limit + 1)
    except zlib.error:
        raise Invalid([FieldError("body", "is not gzip, as Content-Encoding says")]) from None
    if len(plain) > limit:
        raise _too_large(limit)
    return plain


def parse_json(body: bytes) -> Any:
    """JSON (RFC 8259) that can be kept. Raises Invalid."""
    value = load_json(body)
    check_fit(value)
    return value


def load_json(body: bytes) -> Any:
    """JSON (RFC 8259), whatever it holds. Raises Invalid."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid([FieldError("body", f"is not JSON: {error}")]) from None


def check_fit(value: Any) -> None:
    """Raises Invalid for U+0000, a number that is not finite, or what nests without end."""
    if found := unfit(value):
        raise Invalid([found])


async def json_body(request: Request) -> Any:
    """The body of a management request."""
    return parse_json(await read_body(request, MAX_BODY_BYTES))


Body = Annotated[Any, Depends(json_body)]


def parse(model: type[ModelT], raw: object) -> ModelT:
    """The model of the data; Invalid names every field."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise Invalid(field_errors(error, raw)) from None


async def fit_address(request: Request) -> None:
    """Refuses U+0000 in the path or the query: the database can't even compare with it."""
    given = {"path": request.scope["path"], **request.query_params}
    for name, value in given.items():
        if "\0" in name or "\0" in value:
            raise Invalid([FieldError(name.replace("\0", ""), "must not contain U+0000")])
