"""What a journey looks like, and what a customer would get of it."""

from fastapi import APIRouter, Response

from campaigns.models.journey.definition import Definition
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import campaigns, customers
from campaigns.models.values import Json, utc_now
from campaigns.starter.authoring.drawing import draw
from campaigns.starter.authoring.scenario import Scenario, SimulationRequest, check_trigger, known_facts
from campaigns.starter.authoring.simulation import simulate
from campaigns.starter.authoring.storyboard import storyboard
from campaigns.starter.composition import Parts, Services
from campaigns.starter.http.bodies import Body, parse
from campaigns.starter.http.openapi import takes
from campaigns.starter.http.problems import not_found
from campaigns.starter.routes.campaigns import CampaignKey
from campaigns.starter.routes.shapes.campaigns import SimulationShown

router = APIRouter(prefix="/v1/campaigns", tags=["campaigns"])


@router.post(
    "/{key}/simulate",
    response_model=SimulationShown,
    response_model_exclude_unset=True,
    openapi_extra=takes(SimulationRequest),
)
async def simulate_campaign(key: CampaignKey, body: Body, parts: Parts) -> Json:
    """The path and the messages that this customer would get, without sending; admission is taken as given."""
    wanted = parse(SimulationRequest, body)
    if (wanted.customer_id is None) == (wanted.customer is None):
        raise Invalid([FieldError("customer_id", "is required, or customer; one of them only")])
    async with parts.database.read() as connection:
        definition = await _definition(connection, parts, key)
        check_trigger(definition, wanted.trigger, parts.journeys)
        customer_id, attributes = await _customer(connection, wanted)
        facts = await known_facts(connection, parts.signing, definition, wanted.customer_id, attributes)
    known = facts.pop("events", [])
    scenario = Scenario(
        definition,
        customer_id,
        attributes,
        wanted.at or utc_now(),
        wanted.trigger,
        [*known, *wanted.happenings()],
        **facts,
    )
    return await simulate(scenario, parts.journeys)


@router.get("/{key}/journey.svg", response_class=Response, responses={200: {"content": {"image/svg+xml": {}}}})
async def draw_journey(key: CampaignKey, parts: Parts) -> Response:
    """The journey of the newest version as SVG."""
    async with parts.database.read() as connection:
        definition = await _definition(connection, parts, key)
    picture = draw(storyboard(definition, parts.journeys), definition.name)
    return Response(
        picture,
        media_type="image/svg+xml",
        headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
    )


async def _definition(connection: Connection, parts: Services, key: str) -> Definition:
    row = await campaigns.get(connection, key)
    if row is None:
        raise not_found("campaign", key)
    return await parts.definitions.get(connection, key, row.version, frozen=not row.is_draft)


async def _customer(connection: Connection, wanted: SimulationRequest) -> tuple[str, Json]:
    if wanted.customer is not None:
        return wanted.given_customer()
    found = await customers.get(connection, wanted.customer_id or "")
    if found is None:
        raise not_found("customer", wanted.customer_id or "")
    return wanted.customer_id or "", found
