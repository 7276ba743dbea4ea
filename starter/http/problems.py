"""Errors of the API: problem documents (RFC 9457) that name each field."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from campaigns.models.problems import FieldError, Invalid
from campaigns.models.values import Json


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []
    """Each field that is wrong."""


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
