"""Lists in pages: how many rows, from where on, and where the rest begins."""

import base64
import binascii
from typing import Annotated, Any

import orjson
from fastapi import Query

from campaigns.models.problems import FieldError, Invalid
from campaigns.starter.http.bodies import check_fit

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
