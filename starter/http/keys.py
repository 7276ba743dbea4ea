"""Who may come in: by which key, and how many at a time."""

import base64
import binascii
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Request

from campaigns.models.problems import FieldError
from campaigns.models.settings import Settings
from campaigns.starter.http.problems import Problem


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
