"""What the routes share: problem documents (RFC 9457), bodies within limits, keys, pages of lists."""

import base64
import binascii
import hmac
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from campaigns.models.problems import FieldError, Invalid, field_errors
from campaigns.models.settings import Settings
from campaigns.models.values import Json

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_NESTING = 100

ModelT = TypeVar("ModelT", bound=BaseModel)


class Problem(Exception):
    """An error answer."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status, self.title, self.detail = status, title, detail
        self.errors, self.headers = list(errors), headers
        super().__init__(detail)

    def to_json(self) -> Json:
        """The problem document; `errors` names each field."""
        document: Json = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
        if self.errors:
            document["errors"] = [{"field": error.field, "detail": error.detail} for error in self.errors]
        return document


def invalid_problem(error: Invalid, status: int = 400) -> Problem:
    """The problem of what can't be taken."""
    return Problem(status, "Invalid request", str(error), error.errors)


def not_found(what: str, name: str) -> Problem:
    """There is no such thing."""
    return Problem(404, "Not found", f"there is no {what} {name!r}")


def install_problem_handlers(app: FastAPI) -> None:
    """Every error of every route answers with a problem document."""

    def answer(problem: Problem) -> JSONResponse:
        return JSONResponse(problem.to_json(), problem.status, problem.headers, media_type="application/problem+json")

    async def on_problem(_: Request, error: Problem) -> JSONResponse:
        return answer(error)

    async def on_invalid(_: Request, error: Invalid) -> JSONResponse:
        return answer(invalid_problem(error))

    async def on_request(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [FieldError(str(one["loc"][-1]), str(one["msg"])) for one in error.errors()]
        return answer(invalid_problem(Invalid(errors)))

    async def on_http(_: Request, error: HTTPException) -> JSONResponse:
        return answer(
            Problem(error.status_code, str(error.detail), str(error.detail), headers=dict(error.headers or {}))
        )

    async def on_anything(_: Request, __: Exception) -> JSONResponse:
        return answer(Problem(500, "Internal error", "the request failed; it is in the log of the starter"))

    handlers: dict[type[Exception], Any] = {
        Problem: on_problem,
        Invalid: on_invalid,
        RequestValidationError: on_request,
        HTTPException: on_http,
        Exception: on_anything,
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)


async def read_body(request: Request, limit: int) -> bytes:
    """The body; 413 as soon as it is over the limit, whatever its headers say."""
    chunks, size = [], 0
    if int(request.headers.get("content-length") or 0) > limit:
        raise _too_large(limit)
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> Problem:
    return Problem(413, "Too large", f"the body is over {limit} bytes", [FieldError("body", f"is over {limit} bytes")])


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
    if found := _unfit(value):
        raise Invalid([found])


def _unfit(value: Any) -> FieldError | None:
    """What JSON allows and the database does not, searched without recursion."""
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


_BODY_SCHEMAS: Json = {}


def takes(model: type[BaseModel]) -> Json:
    """For the OpenAPI document: the route's body, which is parsed by `parse`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    _BODY_SCHEMAS.update(schema.pop("$defs", {}))
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe_bodies(app: FastAPI) -> None:
    """Adds what the bodies of `takes` refer to, to the OpenAPI document."""
    made = app.openapi

    def openapi() -> Json:
        document = made()
        document.setdefault("components", {}).setdefault("schemas", {}).update(_BODY_SCHEMAS)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI's documentation does


async def fit_address(request: Request) -> None:
    """Refuses U+0000 in the path or the query: the database can't even compare with it."""
    given = {"path": request.scope["path"], **request.query_params}
    for name, value in given.items():
        if "\0" in name or "\0" in value:
            raise Invalid([FieldError(name.replace("\0", ""), "must not contain U+0000")])


def management_key(settings: Settings) -> Callable[[Request], Awaitable[None]]:
    """Lets only requests with the API key as bearer token pass."""
    wanted = settings.secret("api_key")

    async def check(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not _same(given.strip(), wanted):
            raise Problem(
                401,
                "Unauthorized",
                "Authorization: the API key is missing or wrong",
                [FieldError("Authorization", "must be Bearer and the API key")],
                {"WWW-Authenticate": "Bearer"},
            )

    return check


def ingestion_key(settings: Settings) -> Callable[[Request], Awaitable[None]]:
    """Lets only requests with the write key as the user name of HTTP Basic pass."""
    wanted = settings.secret("write_key")

    async def check(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            name = base64.b64decode(given, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            name = ""
        if scheme.lower() != "basic" or not _same(name, wanted):
            raise Problem(
                401,
                "Unauthorized",
                "Authorization: the write key is missing or wrong",
                [FieldError("Authorization", "must be Basic with the write key as user name")],
                {"WWW-Authenticate": 'Basic realm="campaigns"'},
            )

    return check


MAX_IN_FLIGHT = 256


def few_at_once(limit: int = MAX_IN_FLIGHT) -> Callable[[], AsyncIterator[None]]:
    """Takes so many requests at a time, and turns others away before they cost memory: 429, to be tried again."""
    in_flight = 0

    async def gate() -> AsyncIterator[None]:
        nonlocal in_flight
        if in_flight >= limit:
            raise Problem(429, "Too many requests", f"{limit} requests are under way", headers={"Retry-After": "1"})
        in_flight += 1
        try:
            yield
        finally:
            in_flight -= 1

    return gate


def _same(given: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


Limit = Annotated[int, Query(ge=1, le=1000)]


def encode_cursor(value: object) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> Any:
    """What the cursor stands for, None without one; 400 where it is not ours."""
    if cursor is None:
        return None
    try:
        value = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        check_fit(value)
    except (binascii.Error, ValueError, Invalid):
        raise Invalid([FieldError("cursor", "is not a cursor of this list")]) from None
    return value
