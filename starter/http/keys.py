"""Who may come in: by which key, and how many at a time."""

import base64
import binascii
import hmac
from collections.abc import AsyncIterator, Callable

from fastapi.security.http import HTTPBase
from starlette.requests import HTTPConnection

from campaigns.models.problems import FieldError
from campaigns.models.settings import Settings
from campaigns.starter.http.problems import Problem

MAX_IN_FLIGHT = 256


class ApiKey(HTTPBase):
    """Lets only requests with the API key as bearer token pass."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(scheme="bearer", scheme_name="api key", description="CAMPAIGNS_API_KEY, as bearer token")
        self._key = settings.secret("api_key")

    async def __call__(self, request: HTTPConnection) -> None:
        """Raise a Problem (401) for any other request."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not _same(given.strip(), self._key):
            raise _unauthorized("the API key", "Bearer and the API key", "Bearer")


class WriteKey(HTTPBase):
    """Lets requests with the write key as the user name of HTTP Basic pass, and those that may bear it in their body.

    Those have no `Authorization` at all, and are to be checked by `check_body_key` once the body is read.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(scheme="basic", scheme_name="write key", description="CAMPAIGNS_WRITE_KEY, as user name")
        self._key = settings.secret("write_key")

    async def __call__(self, request: HTTPConnection) -> None:
        """Raise a Problem (401) for any other request."""
        authorization = request.headers.get("authorization")
        request.state.has_key = authorization is not None
        if authorization is None:
            return
        scheme, _, given = authorization.partition(" ")
        try:
            name = base64.b64decode(given, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            name = ""
        if scheme.lower() != "basic" or not _same(name, self._key):
            raise _no_write_key()


def check_body_key(request: HTTPConnection, settings: Settings, body: object) -> None:
    """Raise a Problem (401) where neither the header nor the body of a tracking call bears the write key."""
    given = body.get("writeKey") if isinstance(body, dict) else None
    if not request.state.has_key and not (isinstance(given, str) and _same(given, settings.secret("write_key"))):
        raise _no_write_key()


def _no_write_key() -> Problem:
    return _unauthorized("the write key", "Basic with the write key as user name", 'Basic realm="campaigns"')


def _unauthorized(key: str, expected: str, challenge: str) -> Problem:
    errors = [FieldError("Authorization", f"must be {expected}")]
    detail = f"Authorization: {key} is missing or wrong"
    return Problem(401, "Unauthorized", detail, errors, {"WWW-Authenticate": challenge})


def _same(given: str, key: str) -> bool:
    return bool(key) and hmac.compare_digest(given.encode(), key.encode())


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
