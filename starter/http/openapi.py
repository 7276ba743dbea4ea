"""The OpenAPI document, beyond what FastAPI sees: the bodies that `parse` takes, and problems."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from campaigns.models.values import Json
from campaigns.starter.http.problems import ProblemDocument

SUMMARY = "Durable customer journeys on Temporal"
TAGS = [
    {"name": "tracking", "description": "The Segment HTTP tracking API: what customers do, and who they are."},
    {"name": "customers", "description": "Who we message: attributes, consents, and why they entered or did not."},
    {"name": "segments", "description": "Named sets of customers, by a rule or by hand."},
    {"name": "campaigns", "description": "Definitions, their life, what they would do and what they did."},
    {"name": "entries", "description": "Where each customer is in a campaign, and why."},
    {"name": "templates", "description": "Reusable message content."},
    {"name": "messages", "description": "What became of messages, as others report it."},
    {"name": "message caps", "description": "How many marketing messages a customer may get, over all campaigns."},
    {"name": "suppressions", "description": "Addresses that get nothing more, and why."},
    {"name": "topics", "description": "What customers subscribe to within a channel."},
    {"name": "health", "description": "Liveness, readiness and metrics."},
]
_REF = "#/components/schemas/{model}"

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem (RFC 9457); `errors` names each field.",
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model=ProblemDocument.__name__)}}},
    }
}
"""Of every route: declared once, for the application."""

_bodies: list[type[BaseModel]] = []


def takes(model: type[BaseModel]) -> Json:
    """For the OpenAPI document: the route's body, which is parsed by `parse`."""
    _bodies.append(model)
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def takes_list(model: type[BaseModel]) -> Json:
    """For the OpenAPI document: the route's body is a list."""
    _bodies.append(model)
    schema = {"type": "array", "items": {"$ref": _REF.format(model=model.__name__)}}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI) -> None:
    """Adds what the bodies of `takes`, and problems, refer to, to the OpenAPI document."""
    made = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            schemas = made()["components"]["schemas"]
            models: list[type[BaseModel]] = [*_bodies, ProblemDocument]
            _, more = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
            schemas.update(more["$defs"])
        return made()

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI's documentation does
