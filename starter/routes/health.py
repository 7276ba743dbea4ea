"""Health and metrics."""

from asyncio import timeout

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from sqlalchemy import text

from campaigns.models.store.queries import outbox
from campaigns.models.values import Json
from campaigns.starter.composition import Parts
from campaigns.starter.routes.shapes.content import Liveness, Readiness

router = APIRouter(tags=["health"])

OWED = Gauge("campaigns_dispatch_owed", "Decisions that Temporal has not been told of yet.")


@router.get("/", include_in_schema=False)
async def index() -> RedirectResponse:
    """Leads to the documentation of the API."""
    return RedirectResponse("/docs")


@router.get("/healthz", response_model=Liveness)
async def healthz() -> Json:
    """The process lives."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness}})
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


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(parts: Parts) -> Response:
    """Prometheus metrics."""
    async with parts.database.read() as connection:
        OWED.set(await outbox.count(connection))
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
