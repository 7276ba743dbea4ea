"""Customers, their consents and decisions."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from campaigns.models.channels import ConsentStatus, PersonalChannel
from campaigns.models.journey.steps import Line
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.profiles import check_attributes
from campaigns.models.store.queries import consents, customers, decisions, entries, segments
from campaigns.models.values import Json, Key, Strict, iso, no_control_characters
from campaigns.starter.composition import Parts
from campaigns.starter.http.bodies import Body, parse
from campaigns.starter.http.openapi import takes
from campaigns.starter.http.paging import Page
from campaigns.starter.http.problems import not_found
from campaigns.starter.intake.tracking import check_email
from campaigns.starter.reading.decisions import explain
from campaigns.starter.reading.timeline import entry_json
from campaigns.starter.routes.shapes.customers import (
    ConsentShown,
    CustomerAttributes,
    CustomerChanged,
    CustomerShown,
    SegmentChanges,
)
from campaigns.starter.routes.shapes.entries import DecisionPage

router = APIRouter(prefix="/v1/customers", tags=["customers"])


class ConsentChange(Strict):
    """What a customer says about a channel."""

    channel: PersonalChannel
    topic: Key | None = None
    status: Literal["subscribed", "unsubscribed"]
    source: Annotated[Line, Field(max_length=255)] = "api"
    confirmed: bool = False
    """Elsewhere, as a topic with double opt-in wants it."""


def _checked_id(customer_id: str) -> str:
    try:
        if not 0 < len(no_control_characters(customer_id)) <= 255:
            raise ValueError("must have 1 to 255 characters")
    except ValueError as error:
        raise Invalid([FieldError("id", str(error))]) from None
    return customer_id


@router.put(
    "/{customer_id:path}/consents",
    response_model=ConsentShown,
    response_model_exclude_unset=True,
    openapi_extra=takes(ConsentChange),
)
async def put_consent(customer_id: str, body: Body, parts: Parts) -> Json:
    """Records a subscription or an unsubscription; `pending` is one that the customer has to confirm."""
    change = parse(ConsentChange, body)
    recorded = await parts.consents.put(
        customer_id,
        change.channel,
        change.topic or "",
        ConsentStatus(change.status),
        change.source,
        confirmed=change.confirmed,
    )
    if recorded is None:
        raise not_found("customer", customer_id)
    status, at = recorded
    return {**change.model_dump(exclude_none=True, exclude={"confirmed"}), "status": status, "at": iso(at)}


@router.get("/{customer_id:path}/decisions", response_model=DecisionPage, response_model_exclude_unset=True)
async def get_decisions(customer_id: str, parts: Parts, page: Page) -> Json:
    """Why the customer did or did not enter each campaign, the newest first."""
    before = page.after(int)
    async with parts.database.read() as connection:
        if await customers.get(connection, customer_id) is None:
            raise not_found("customer", customer_id)
        rows = await decisions.of_customer(connection, customer_id, before, page.limit)
    listed = [
        {
            "campaign": row.campaign_key,
            "outcome": row.outcome,
            "trigger": row.trigger_name,
            **({"entry_id": row.entry_id} if row.entry_id else {}),
            **({"winner": row.winner} if row.winner else {}),
            **({"retry_at": iso(row.retry_at)} if row.retry_at else {}),
            "facts": row.facts or {},
            "decided_at": iso(row.decided_at),
            "explanation": explain(row.outcome, row.winner, row.retry_at, row.facts),
        }
        for row in rows
    ]
    return {"decisions": listed, "next": page.next(rows, lambda row: row.id)}


@router.get("/{customer_id:path}/segments", response_model=SegmentChanges)
async def get_segment_changes(customer_id: str, parts: Parts, page: Page) -> Json:
    """What the customer has entered and left, the newest first, when, and by what."""
    before = page.after(int)
    async with parts.database.read() as connection:
        if await customers.get(connection, customer_id) is None:
            raise not_found("customer", customer_id)
        rows = await segments.changes(connection, customer_id, page.limit, before)
    listed = [{"segment": row.segment_key, "change": row.change, "cause": row.cause, "at": iso(row.at)} for row in rows]
    return {"changes": listed, "next": page.next(rows, lambda row: row.id)}


@router.put(
    "/{customer_id:path}",
    response_model=CustomerChanged,
    response_model_exclude_unset=True,
    openapi_extra=takes(CustomerAttributes),
)
async def put_customer(customer_id: str, body: Body, parts: Parts) -> Json:
    """Makes a customer or changes the attributes that are given; null takes one away."""
    if not isinstance(body, dict):
        raise Invalid([FieldError("body", "must be an object")])
    if body.get("id", customer_id) != customer_id:
        raise Invalid([FieldError("id", "must be the id of the path, or be left out")])
    check_attributes(body)
    check_email(body)
    made = await parts.profiles.put(_checked_id(customer_id), body)
    async with parts.database.read() as connection:
        attributes = await customers.get(connection, customer_id)
    return {"id": customer_id, **(attributes or {}), "decisions": [decision.to_json() for decision in made]}


@router.get("/{customer_id:path}", response_model=CustomerShown)
async def get_customer(customer_id: str, parts: Parts) -> Json:
    """A customer with segments, consents and entries."""
    async with parts.database.read() as connection:
        attributes = await customers.get(connection, customer_id)
        if attributes is None:
            raise not_found("customer", customer_id)
        said = await consents.of_customer(connection, customer_id)
        found = await entries.page(connection, 1000, None, customer_id=customer_id)
        of = await segments.of_customer(connection, customer_id)
    shown = [
        {
            "channel": row.channel,
            "topic": row.topic or None,
            "status": row.status,
            "source": row.source,
            "at": iso(row.at),
        }
        for row in said
    ]
    listed = [entry_json(row) for row in found]
    return {**attributes, "id": customer_id, "segments": sorted(of), "consents": shown, "entries": listed}


@router.delete("/{customer_id:path}", status_code=204)
async def delete_customer(customer_id: str, parts: Parts) -> Response:
    """Erases the customer: rows, running entries, and the executions in Temporal; counts stay."""
    if not await parts.erasures.erase(customer_id):
        raise not_found("customer", customer_id)
    return Response(status_code=204)
