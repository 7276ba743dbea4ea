"""Segments and membership by hand."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import Field

from campaigns.models.store.queries import segments
from campaigns.models.store.queries.segments import SegmentRow
from campaigns.models.values import Id, Json, Name, Strict, iso
from campaigns.starter.composition import Parts, Services
from campaigns.starter.http.bodies import Body, parse
from campaigns.starter.http.openapi import takes
from campaigns.starter.http.paging import Page
from campaigns.starter.http.problems import Problem, not_found
from campaigns.starter.routes.shapes.customers import MemberPage, SegmentPage, SegmentPreviewed, SegmentShown
from campaigns.starter.routes.shapes.entries import MemberDecisions

router = APIRouter(prefix="/v1/segments", tags=["segments"])

SegmentKey = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


READ_ONLY = {"key", "members", "recomputing"}
"""What answers say besides the definition: an answer may be edited and sent back."""


class SegmentSettings(Strict):
    """A segment as users define it."""

    name: Name
    active: bool = True
    rule: Any = None
    trigger: bool = False


class Members(Strict):
    """Customers to make members."""

    customer_ids: list[Id] = Field(min_length=1, max_length=10_000)


class SegmentPreview(Strict):
    """A rule to look at."""

    rule: Any


@router.put("/{key}", response_model=SegmentShown, openapi_extra=takes(SegmentSettings))
async def put_segment(key: SegmentKey, body: Body, parts: Parts) -> Json:
    """Makes or changes a segment. Who enters or leaves by an edited rule triggers only with `"trigger": true`."""
    if isinstance(body, dict) and body.get("key", key) == key:
        body = {name: value for name, value in body.items() if name not in READ_ONLY}
    change = parse(SegmentSettings, body)
    keeps = "rule" not in change.model_fields_set
    row = await parts.rules.put(key, change.name, change.active, change.rule, triggers=change.trigger, keeps=keeps)
    return await _json(parts, row)


@router.get("", response_model=SegmentPage)
async def list_segments(parts: Parts, page: Page) -> Json:
    """All segments, by key."""
    async with parts.database.read() as connection:
        rows = await segments.page(connection, page.after(str) or "", page.limit)
    listed = [{"key": row.key, "name": row.name, "active": row.active, "rule": row.rule} for row in rows]
    return {"segments": listed, "next": page.next(rows, lambda row: row.key)}


@router.get("/{key}", response_model=SegmentShown)
async def get_segment(key: SegmentKey, parts: Parts) -> Json:
    """A segment, with the number of its members and how far an edited rule has come."""
    async with parts.database.read() as connection:
        row = await segments.get(connection, key)
    if row is None:
        raise not_found("segment", key)
    return await _json(parts, row)


@router.post("/{key}/preview", response_model=SegmentPreviewed, openapi_extra=takes(SegmentPreview))
async def preview_rule(key: SegmentKey, body: Body, parts: Parts) -> Json:
    """How many customers would enter and leave by the rule, and how many would be messaged."""
    return {"key": key, **await parts.rules.preview(key, parse(SegmentPreview, body).rule)}


async def _json(parts: Services, row: SegmentRow) -> Json:
    async with parts.database.read() as connection:
        members = await segments.count_members(connection, row.key)
    shown = {"key": row.key, "name": row.name, "active": row.active, "rule": row.rule, "members": members}
    return {**shown, "recomputing": await parts.rules.progress(row)}


@router.post(
    "/{key}/members",
    response_model=MemberDecisions,
    response_model_exclude_unset=True,
    openapi_extra=takes(Members),
)
async def add_members(key: SegmentKey, body: Body, parts: Parts) -> Json:
    """Makes customers members; entering triggers. Answers after deciding."""
    members = parse(Members, body)
    await _by_hand(parts, key)
    made = await parts.members.enter(key, members.customer_ids)
    return {"decisions": [{"customer_id": customer, **decision.to_json()} for customer, decision in made]}


@router.delete("/{key}/members/{customer_id:path}", status_code=204)
async def remove_member(key: SegmentKey, customer_id: str, parts: Parts) -> Response:
    """Ends a membership."""
    await _by_hand(parts, key)
    if not await parts.members.leave(key, customer_id):
        raise not_found("member", customer_id)
    return Response(status_code=204)


@router.get("/{key}/members", response_model=MemberPage)
async def get_members(key: SegmentKey, parts: Parts, page: Page) -> Json:
    """The members, by id."""
    await _exists(parts, key)
    async with parts.database.read() as connection:
        rows = await segments.members(connection, key, page.after(str) or "", page.limit)
    listed = [{"customer_id": row.customer_id, "entered_at": iso(row.entered_at)} for row in rows]
    return {"members": listed, "next": page.next(rows, lambda row: row.customer_id)}


async def _by_hand(parts: Services, key: str) -> None:
    async with parts.database.read() as connection:
        row = await segments.get(connection, key)
    if row is None:
        raise not_found("segment", key)
    if row.rule is not None:
        raise Problem(409, "Conflict", f"the members of {key!r} follow its rule, and are not set by hand")


async def _exists(parts: Services, key: str) -> None:
    async with parts.database.read() as connection:
        if await segments.get(connection, key) is None:
            raise not_found("segment", key)
