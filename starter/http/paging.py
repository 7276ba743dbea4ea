"""Lists in pages: how many rows, from where on, and where the rest begins."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import orjson
from fastapi import Depends, Query
from pydantic import TypeAdapter, ValidationError

from campaigns.models.problems import FieldError, Invalid
from campaigns.starter.http.bodies import check_fit

T = TypeVar("T")
RowT = TypeVar("RowT")


class PageRequest:
    """Which part of a list is asked for. The cursor stands for the last row of the page before."""

    def __init__(self, limit: Annotated[int, Query(ge=1, le=1000)] = 100, cursor: str | None = None) -> None:
        self.limit = limit
        self._cursor = cursor

    def after(self, kind: type[T]) -> T | None:
        """The place of the last row of the page before; None for the first page.

        Raise Invalid where the cursor is none of a list whose places are of that kind.
        """
        if self._cursor is None:
            return None
        try:
            place = orjson.loads(base64.urlsafe_b64decode(self._cursor + "=" * (-len(self._cursor) % 4)))
            check_fit(place)
            return TypeAdapter(kind).validate_json(orjson.dumps(place), strict=True)
        except (binascii.Error, ValueError, ValidationError, Invalid):
            raise Invalid([FieldError("cursor", "is not a cursor of this list")]) from None

    def next(self, rows: Sequence[RowT], place: Callable[[RowT], object]) -> str | None:
        """The cursor of the page behind these rows; None where they are the last."""
        if len(rows) < self.limit:
            return None
        return base64.urlsafe_b64encode(orjson.dumps(place(rows[-1]))).decode().rstrip("=")


Page = Annotated[PageRequest, Depends()]
