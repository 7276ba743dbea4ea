"""Campaigns: drafts, edits, the life cycle, statistics."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from campaigns.models import dispatch
from campaigns.models.channels import template_channel
from campaigns.models.journey.definition import (
    CampaignStatus,
    Definition,
    SegmentTrigger,
    mentioned_segments,
    mentioned_templates,
)
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import campaigns, due_entries, entries, events, outbox, segments, templates
from campaigns.models.store.queries.campaigns import CampaignRow
from campaigns.models.values import Json, iso, utc_now
from campaigns.starter.authoring.advice import advise
from campaigns.starter.authoring.checking import checked_definition
from campaigns.starter.authoring.readiness import readiness
from campaigns.starter.composition import Parts, Services
from campaigns.starter.http.bodies import Body, takes
from campaigns.starter.http.paging import Limit, decode_cursor, encode_cursor
from campaigns.starter.http.problems import Problem, not_found
from campaigns.starter.outbox import Unit
from campaigns.starter.reading.statistics import STATUSES, campaign_statistics
from campaigns.starter.reading.timeline import entry_json

router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])

CampaignKey = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]

MOVES = {
    "start": ({CampaignStatus.DRAFT}, CampaignStatus.LIVE),
    "pause": ({CampaignStatus.LIVE}, CampaignStatus.PAUSED),
    "resume": ({CampaignStatus.PAUSED}, CampaignStatus.LIVE),
    "stop": ({CampaignStatus.LIVE, CampaignStatus.PAUSED}, CampaignStatus.STOPPED),
    "archive": ({CampaignStatus.DRAFT, CampaignStatus.STOPPED}, CampaignStatus.ARCHIVED),
}


@router.post("", status_code=201, openapi_extra=takes(Definition))
async def create_campaign(body: Body, parts: Parts, response: Response) -> Json:
    """Makes a draft."""
    definition = await asyncio.to_thread(checked_definition, body, parts.journeys)
    async with parts.database.write() as connection:
        await _check_names(connection, definition)
        if not await campaigns.create(connection, definition, utc_now()):
            errors = [FieldError("key", "is taken by another campaign")]
            raise Problem(409, "Conflict", f"there is a campaign {definition.key!r} already", errors)
    return await _answer(parts, definition.key, response)


@router.get("")
async def list_campaigns(parts: Parts, limit: Limit = 100, cursor: str | None = None) -> Json:
    """My campaigns, by key."""
    after = decode_cursor(cursor) or ""
    if not isinstance(after, str):
        raise Invalid([FieldError("cursor", "is not a cursor of this list")])
    async with parts.database.read() as connection:
        rows = await campaigns.page(connection, after, limit)
    listed = [{**_row_json(row), "name": row.name} for row in rows]
    return {"campaigns": listed, "next": encode_cursor(rows[-1].key) if len(rows) == limit else None}


@router.put("/{key}", openapi_extra=takes(Definition))
async def put_campaign(key: CampaignKey, body: Body, parts: Parts, request: Request, response: Response) -> Json:
    """Edits a campaign, or makes a draft of that key. What has been live gets a new version."""
    if isinstance(body, dict):
        body = {"key": key, **body}
    definition = await asyncio.to_thread(checked_definition, body, parts.journeys)
    if definition.key != key:
        raise Invalid([FieldError("key", "must be the key of the path, or be left out")])
    async with parts.database.write() as connection:
        await _check_names(connection, definition)
        row = await campaigns.get(connection, key, lock=True)
        _check_match(request, row)
        if row is None:
            await campaigns.create(connection, definition, utc_now())
            response.status_code = 201
        elif row.status in (CampaignStatus.STOPPED, CampaignStatus.ARCHIVED):
            raise Problem(409, "Conflict", f"a campaign that is {row.status} cannot be edited")
        else:
            await campaigns.edit(connection, row, definition, utc_now())
    return await _answer(parts, key, response)


@router.get("/{key}")
async def get_campaign(key: CampaignKey, parts: Parts, response: Response) -> Json:
    """A campaign's newest version, with its status."""
    return await _answer(parts, key, response)


@router.post("/{key}/{move}")
async def move_campaign(key: CampaignKey, move: str, parts: Parts, response: Response) -> Json:
    """draft → live ⇄ paused → stopped → archived, by start, pause, resume, stop and archive; any other move is 409."""
    if move not in MOVES:
        raise Problem(404, "Not found", f"a campaign knows {', '.join(MOVES)}, not {move!r}")
    now = utc_now()
    async with parts.outbox.transaction() as unit:
        connection = unit.connection
        row = await campaigns.get(connection, key, lock=True)
        if row is None:
            raise not_found("campaign", key)
        allowed, status = MOVES[move]
        if row.status not in allowed:
            raise Problem(409, "Conflict", f"status: a campaign that is {row.status} cannot {move}")
        if move == "start":
            definition = await parts.definitions.get(connection, key, row.version, frozen=False)
            await _check_names(connection, definition)
            await _enter_existing(unit, definition, now)
        await campaigns.set_status(connection, row, status, now)
        if move == "resume":
            await outbox.add_resumes(connection, key, now)
        elif move == "stop":
            await entries.request_stop(connection, key)
            await outbox.add_stops(connection, key, now)
    return await _answer(parts, key, response)


@router.get("/{key}/readiness")
async def get_readiness(key: CampaignKey, parts: Parts) -> Json:
    """What a mailbox provider would object to: `checks` of `ok`, `objection` or `unknown`, objections first."""
    async with parts.database.read() as connection:
        row = await _row(connection, key)
        definition = await parts.definitions.get(connection, key, row.version, frozen=not row.is_draft)
        contents = await templates.get_many(connection, [name for _, _, name in mentioned_templates(definition)])
    return {"campaign": key, "checks": await readiness(parts.settings, definition, contents)}


@router.get("/{key}/statistics")
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


@router.get("/{key}/entries")
async def get_entries(
    key: CampaignKey, parts: Parts, status: str | None = None, limit: Limit = 100, cursor: str | None = None
) -> Json:
    """The campaign's entries, in the order in which they entered."""
    if status is not None and status not in STATUSES:
        raise Invalid([FieldError("status", f"must be one of {', '.join(STATUSES)}")])
    async with parts.database.read() as connection:
        await _row(connection, key)
        return await entries_page(connection, limit, cursor, campaign_key=key, status=status)


async def entries_page(connection: Connection, limit: int, cursor: str | None, **where: str | None) -> Json:
    """A page of entries."""
    rows = await entries.page(connection, limit, _entry_cursor(cursor), **where)
    following = encode_cursor([iso(rows[-1].entered_at), rows[-1].id]) if len(rows) == limit else None
    return {"entries": [entry_json(row) for row in rows], "next": following}


def _entry_cursor(cursor: str | None) -> Any:
    value = decode_cursor(cursor)
    if value is None:
        return None
    try:
        at, entry_id = value
        return datetime.fromisoformat(at), str(entry_id)
    except (TypeError, ValueError):
        raise Invalid([FieldError("cursor", "is not a cursor of this list")]) from None


async def _enter_existing(unit: Unit, definition: Definition, now: datetime) -> None:
    """Existing members are due at the campaign's start; a workflow is owed that enters them."""
    trigger = definition.trigger
    if not isinstance(trigger, SegmentTrigger) or not trigger.include_existing:
        return
    inactive = await segments.inactive(unit.connection, trigger.segments)
    active = [segment for segment in trigger.segments if segment not in inactive]
    begin = max(now, definition.starts_at or now)
    await due_entries.add_existing(unit.connection, definition.key, active, begin)
    unit.owe(dispatch.existing(definition.key, begin))


async def _check_names(connection: Connection, definition: Definition) -> None:
    """Raises Invalid where the definition names segments or templates that there are not."""
    named = list(mentioned_segments(definition))
    missing = await segments.missing(connection, [segment for _, segment in named])
    errors = [FieldError(place, f"there is no segment {segment!r}") for place, segment in named if segment in missing]
    mentioned = list(mentioned_templates(definition))
    known = await templates.get_many(connection, [template for _, _, template in mentioned])
    for place, step, template in mentioned:
        if template not in known:
            errors.append(FieldError(place, f"there is no template {template!r}"))
        elif known[template]["channel"] != template_channel(step.channel):
            errors.append(FieldError(place, f"the template {template!r} is not for {step.channel}"))
    if errors:
        raise Invalid(errors)


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


async def _answer(parts: Services, key: str, response: Response) -> Json:
    async with parts.database.read() as connection:
        row = await _row(connection, key)
        definition = await parts.definitions.get(connection, key, row.version, frozen=not row.is_draft)
        found = await _warnings(connection, definition)
        left = await due_entries.count_existing(connection, key)
        unheard = await events.unheard(connection, [one.event for one in definition.listeners])
    response.headers["ETag"] = _etag(row)
    advice = [f"nobody has sent the event {name!r} so far" for name in sorted(unheard)]
    advice += await asyncio.to_thread(advise, definition)
    shown = definition.to_json()
    if definition.workflow is not None:
        shown["steps"] = None
    shown["starts_at"] = shown["starts_at"] or iso(row.created_at)
    return {**shown, **_row_json(row), "warnings": found, "advice": advice, "existing_members_left": left}


async def _warnings(connection: Connection, definition: Definition) -> list[str]:
    found = []
    if isinstance(definition.trigger, SegmentTrigger):
        for segment in await segments.inactive(connection, definition.trigger.segments):
            found.append(f"trigger.segments: the segment {segment!r} is not active, so entering it triggers nothing")
    if definition.ends_at and definition.ends_at <= utc_now():
        found.append(f"ends_at: {iso(definition.ends_at)} has passed, so nobody enters")
    return found
