"""Health and metrics."""

from asyncio import timeout

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from sqlalchemy import text

from campaigns.models.store.queries import outbox
from campaigns.starter.composition import Parts

router = APIRouter(tags=["health"])

OWED = Gauge("campaigns_dispatch_owed", "Decisions that Temporal has not been told of yet.")


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
        OWED.set(await outbox.count(connection))
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
