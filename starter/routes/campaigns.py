"""Campaigns: drafts, edits, the life cycle, statistics."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse

from campaigns.models.journey.definition import CampaignStatus, Definition, SegmentTrigger, mentioned_templates
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import campaigns, due_entries, events, segments, templates
from campaigns.models.store.queries.campaigns import CampaignRow
from campaigns.models.values import Json, iso, utc_now
from campaigns.starter.authoring.advice import advise
from campaigns.starter.authoring.checking import checked_definition
from campaigns.starter.authoring.lifecycle import MOVES, NotAllowed, check_names
from campaigns.starter.authoring.readiness import readiness
from campaigns.starter.composition import Parts, Services
from campaigns.starter.http.bodies import Body
from campaigns.starter.http.openapi import takes
from campaigns.starter.http.paging import Page
from campaigns.starter.http.problems import Problem, not_found
from campaigns.starter.reading.statistics import STATUSES, campaign_statistics
from campaigns.starter.routes.entries import entries_page
from campaigns.starter.routes.shapes.campaigns import CampaignPage, CampaignShown, ReadinessShown, StatisticsShown
from campaigns.starter.routes.shapes.entries import EntryPage

router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])

CampaignKey = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


@router.post("", status_code=201, response_model=CampaignShown, openapi_extra=takes(Definition))
async def create_campaign(body: Body, parts: Parts) -> Response:
    """Makes a draft."""
    definition = await asyncio.to_thread(checked_definition, body, parts.journeys)
    async with parts.database.write() as connection:
        await check_names(connection, definition)
        if not await campaigns.create(connection, definition, utc_now()):
            errors = [FieldError("key", "is taken by another campaign")]
            raise Problem(409, "Conflict", f"there is a campaign {definition.key!r} already", errors)
    return await _answer(parts, definition.key, 201)


@router.get("", response_model=CampaignPage)
async def list_campaigns(parts: Parts, page: Page) -> Json:
    """My campaigns, by key."""
    async with parts.database.read() as connection:
        rows = await campaigns.page(connection, page.after(str) or "", page.limit)
    listed = [{**_row_json(row), "name": row.name} for row in rows]
    return {"campaigns": listed, "next": page.next(rows, lambda row: row.key)}


@router.put("/{key}", response_model=CampaignShown, openapi_extra=takes(Definition))
async def put_campaign(key: CampaignKey, body: Body, parts: Parts, request: Request) -> Response:
    """Edits a campaign, or makes a draft of that key. What has been live gets a new version."""
    if isinstance(body, dict):
        body = {"key": key, **body}
    definition = await asyncio.to_thread(checked_definition, body, parts.journeys)
    if definition.key != key:
        raise Invalid([FieldError("key", "must be the key of the path, or be left out")])
    async with parts.database.write() as connection:
        await check_names(connection, definition)
        row = await campaigns.get(connection, key, lock=True)
        _check_match(request, row)
        if row is None:
            await campaigns.create(connection, definition, utc_now())
        elif row.status in (CampaignStatus.STOPPED, CampaignStatus.ARCHIVED):
            raise Problem(409, "Conflict", f"a campaign that is {row.status} cannot be edited")
        else:
            await campaigns.edit(connection, row, definition, utc_now())
    return await _answer(parts, key, 201 if row is None else 200)


@router.get("/{key}", response_model=CampaignShown)
async def get_campaign(key: CampaignKey, parts: Parts) -> Response:
    """A campaign's newest version, with its status."""
    return await _answer(parts, key)


@router.post("/{key}/{move}", response_model=CampaignShown)
async def move_campaign(key: CampaignKey, move: str, parts: Parts) -> Response:
    """draft → live ⇄ paused → stopped → archived, by start, pause, resume, stop and archive; any other move is 409."""
    if move not in MOVES:
        raise Problem(404, "Not found", f"a campaign knows {', '.join(MOVES)}, not {move!r}")
    try:
        if not await parts.lifecycle.move(key, move):
            raise not_found("campaign", key)
    except NotAllowed as error:
        raise Problem(409, "Conflict", f"status: {error}") from None
    return await _answer(parts, key)


@router.get("/{key}/readiness", response_model=ReadinessShown, response_model_exclude_unset=True)
async def get_readiness(key: CampaignKey, parts: Parts) -> Json:
    """What a mailbox provider would object to: `checks` of `ok`, `objection` or `unknown`, objections first."""
    async with parts.database.read() as connection:
        row = await _row(connection, key)
        definition = await parts.definitions.get(connection, key, row.version, frozen=not row.is_draft)
        contents = await templates.get_many(connection, [name for _, _, name in mentioned_templates(definition)])
    return {"campaign": key, "checks": await readiness(parts.settings, definition, contents)}


@router.get("/{key}/statistics", response_model=StatisticsShown)
async def get_statistics(key: CampaignKey, parts: Parts, version: int | None = None) -> Json:
    """What happened, counted in one snapshot: over all versions, or of one."""
    async with parts.database.read() as connection:
        row = await _row(connection, key)
        if version is not None and not 1 <= version <= row.version:
            raise Invalid([FieldError("version", f"must be one of 1 to {row.version}")])
        versions = [
            await parts.definitions.get(connection, key, number, frozen=not row.is_draft)
            for number in (range(row.version, 0, -1) if version is None else [version])
        ]
        return await campaign_statistics(connection, versions, version)


@router.get("/{key}/entries", response_model=EntryPage)
async def get_entries(key: CampaignKey, parts: Parts, page: Page, status: str | None = None) -> Json:
    """The campaign's entries, in the order in which they entered."""
    if status is not None and status not in STATUSES:
        raise Invalid([FieldError("status", f"must be one of {', '.join(STATUSES)}")])
    async with parts.database.read() as connection:
        await _row(connection, key)
        return await entries_page(connection, page, campaign_key=key, status=status)


def _check_match(request: Request, row: CampaignRow | None) -> None:
    """RFC 9110, 13.1.1."""
    wanted = request.headers.get("if-match")
    if wanted is None:
        return
    tags = [tag.strip() for tag in wanted.split(",")]
    if row is None or ("*" not in tags and _etag(row) not in tags):
        raise Problem(
            412,
            "Precondition failed",
            "If-Match: the campaign was changed since it was read",
            [FieldError("If-Match", f"the campaign is at {_etag(row)}" if row else "there is no such campaign")],
        )


def _etag(row: CampaignRow) -> str:
    return f'"{row.revision}"'


async def _row(connection: Connection, key: str) -> CampaignRow:
    row = await campaigns.get(connection, key)
    if row is None:
        raise not_found("campaign", key)
    return row


def _row_json(row: CampaignRow) -> Json:
    return {
        "key": row.key,
        "status": row.status,
        "paused_because": row.paused_because,
        "version": row.version,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
    }


async def _answer(parts: Services, key: str, status: int = 200) -> Response:
    """The campaign as it is now. It was checked when it was kept, so it is not checked again for its shape."""
    async with parts.database.read() as connection:
        row = await _row(connection, key)
        definition = await parts.definitions.get(connection, key, row.version, frozen=not row.is_draft)
        found = await _warnings(connection, definition)
        left = await due_entries.count_existing(connection, key)
        unheard = await events.unheard(connection, [one.event for one in definition.listeners])
    advice = [f"nobody has sent the event {name!r} so far" for name in sorted(unheard)]
    advice += await asyncio.to_thread(advise, definition)
    shown = definition.to_json()
    if definition.workflow is not None:
        shown["steps"] = None
    shown["starts_at"] = shown["starts_at"] or iso(row.created_at)
    answer = {**shown, **_row_json(row), "warnings": found, "advice": advice, "existing_members_left": left}
    return JSONResponse(answer, status, headers={"ETag": _etag(row)})


async def _warnings(connection: Connection, definition: Definition) -> list[str]:
    found = []
    if isinstance(definition.trigger, SegmentTrigger):
        for segment in await segments.inactive(connection, definition.trigger.segments):
            found.append(f"trigger.segments: the segment {segment!r} is not active, so entering it triggers nothing")
    if definition.ends_at and definition.ends_at <= utc_now():
        found.append(f"ends_at: {iso(definition.ends_at)} has passed, so nobody enters")
    return found
