"""Health, metrics, and the page behind every unsubscribe link."""

from asyncio import timeout

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from sqlalchemy import text

from campaigns.models.queries import customers, dispatch, messages
from campaigns.models.values import utc_now
from campaigns.starter.services import Parts

router = APIRouter(tags=["system"])

OWED = Gauge("campaigns_dispatch_owed", "Decisions that Temporal has not been told of yet.")

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>Unsubscribe</title>
<body style="font: 1.1rem/1.5 system-ui; max-width: 32rem; margin: 20vh auto; padding: 0 1rem">{content}</body>
</html>"""


@router.get("/", include_in_schema=False)
async def index() -> RedirectResponse:
    """Leads to the documentation of the API."""
    return RedirectResponse("/docs")


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(parts: Parts) -> JSONResponse:
    """Database and Temporal are reached."""
    reached = {"database": False, "temporal": False}
    try:
        async with timeout(5), parts.database.read() as connection:
            await connection.execute(text("SELECT 1"))
            reached["database"] = True
    except Exception:
        reached["database"] = False
    try:
        async with timeout(5):
            reached["temporal"] = await parts.client.client.service_client.check_health()
    except Exception:
        reached["temporal"] = False
    ready = all(reached.values())
    return JSONResponse({"status": "ready" if ready else "not ready", **reached}, 200 if ready else 503)


@router.get("/metrics")
async def metrics(parts: Parts) -> Response:
    """Prometheus metrics."""
    async with parts.database.read() as connection:
        OWED.set(await dispatch.count(connection))
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@router.get("/u/{token}", include_in_schema=False)
async def unsubscribe_page(token: str, parts: Parts) -> HTMLResponse:
    """Asks; a GET changes nothing, for scanners follow links."""
    if parts.signing.message_of(token) is None:
        return HTMLResponse(_PAGE.format(content="<p>This link is not valid.</p>"), 404)
    form = '<p>Do you want no more of these messages?</p><form method="post"><button>Unsubscribe</button></form>'
    return HTMLResponse(_PAGE.format(content=form))


@router.post("/u/{token}", include_in_schema=False)
async def unsubscribe(token: str, parts: Parts) -> HTMLResponse:
    """Unsubscribes from all marketing of the message's channel (RFC 8058); again is harmless."""
    message_id = parts.signing.message_of(token)
    if message_id is None:
        return HTMLResponse(_PAGE.format(content="<p>This link is not valid.</p>"), 404)
    now = utc_now()
    async with parts.database.write() as connection:
        found = await messages.customer_of(connection, message_id)
        if found:
            customer_id, channel = found
            await customers.put_consent(connection, customer_id, channel, "", "unsubscribed", "link", now)
            await messages.mark_unsubscribed(connection, message_id, now)
    return HTMLResponse(_PAGE.format(content="<p>You are unsubscribed. You will get no more of these messages.</p>"))
