"""Entries: where each customer is, and why."""

from datetime import datetime

from fastapi import APIRouter

from campaigns.models import dispatch
from campaigns.models.dispatch import DispatchKind, DispatchRow
from campaigns.models.entry import EndedBy, EntryStatus
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import entries, messages, steps
from campaigns.models.values import Json, iso
from campaigns.starter.composition import Parts, Services
from campaigns.starter.http.paging import Page, PageRequest
from campaigns.starter.http.problems import Problem, not_found
from campaigns.starter.reading.timeline import entry_json, timeline_json
from campaigns.starter.routes.shapes.entries import EntryPage, EntryRequest, EntryWithTimeline

router = APIRouter(prefix="/v1/entries", tags=["entries"])


@router.get("", response_model=EntryPage)
async def find_entries(parts: Parts, page: Page, customer: str | None = None, entry_key: str | None = None) -> Json:
    """The entries of a customer, or of an entry key."""
    if customer is None and entry_key is None:
        raise Invalid([FieldError("customer", "is required, or entry_key")])
    async with parts.database.read() as connection:
        return await entries_page(connection, page, customer_id=customer, entry_key=entry_key)


async def entries_page(connection: Connection, page: PageRequest, **where: str | None) -> Json:
    """Return a page of entries, in the order in which they entered."""
    rows = await entries.page(connection, page.limit, page.after(tuple[datetime, str]), **where)
    following = page.next(rows, lambda row: [iso(row.entered_at), row.id])
    return {"entries": [entry_json(row) for row in rows], "next": following}


@router.get("/{entry_id}", response_model=EntryWithTimeline)
async def get_entry(entry_id: str, parts: Parts) -> Json:
    """One entry with its timeline."""
    async with parts.database.read() as connection:
        entry = await entries.get(connection, entry_id)
        if entry is None:
            raise not_found("entry", entry_id)
        passed = await steps.timeline(connection, entry_id)
        sent = await messages.of_entry(connection, entry_id)
    return {**entry_json(entry), "timeline": timeline_json(entry, passed, sent)}


@router.post("/{entry_id}/exit", status_code=202, response_model=EntryRequest)
async def exit_entry(entry_id: str, parts: Parts) -> Json:
    """Takes the customer out, whatever the entry waits for."""
    return await _signal(parts, entry_id, dispatch.exit(entry_id, EndedBy.OPERATOR))


@router.post("/{entry_id}/skip-wait", status_code=202, response_model=EntryRequest)
async def skip_wait(entry_id: str, parts: Parts) -> Json:
    """Ends the entry's present delay or wait."""
    return await _signal(parts, entry_id, dispatch.skip_wait(entry_id))


async def _signal(parts: Services, entry_id: str, row: DispatchRow) -> Json:
    async with parts.outbox.transaction() as unit:
        locked = await entries.lock(unit.connection, entry_id)
        if locked is None:
            raise not_found("entry", entry_id)
        if locked.status != EntryStatus.RUNNING:
            raise Problem(409, "Conflict", f"the entry has ended: it is {locked.status}")
        if row.kind == DispatchKind.EXIT:
            await entries.request_exit(unit.connection, entry_id, EndedBy.OPERATOR)
        unit.owe(row)
    return {"entry_id": entry_id, "requested": "exit" if row.kind == DispatchKind.EXIT else "skip-wait"}
