"""Who gets which campaign, when, and what they do meanwhile: what a simulation is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from campaigns.models.addresses import address_of
from campaigns.models.channels import PERSONAL
from campaigns.models.journey.conditions import needs
from campaigns.models.journey.definition import Definition, EventTrigger, mentioned_templates, placed_conditions
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.profiles import check_attributes
from campaigns.models.segment_rules import known_rule
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import consents, events, segments, suppressions, templates
from campaigns.models.store.queries.suppressions import AgainstAddress
from campaigns.models.values import Id, Instant, Json, Name, Strict
from campaigns.workflows.registry import Journeys

MAX_EVENTS = 1_000
_ID: TypeAdapter[str] = TypeAdapter(Id)


@dataclass(frozen=True)
class Happening:
    """An event of the customer's."""

    event: str
    properties: Json
    at: datetime


def _in_reach(moment: datetime) -> datetime:
    if not 2000 <= moment.year <= 2200:
        raise ValueError("must lie between the years 2000 and 2200")
    return moment


Moment = Annotated[Instant, AfterValidator(_in_reach)]


class SimulatedEvent(Strict):
    """An event of the customer's; one before the start is history."""

    event: Name
    properties: dict[str, Any] = Field(default_factory=dict)
    at: Moment


class SimulationRequest(Strict):
    """Who enters when, by which trigger, and what they do meanwhile."""

    customer_id: Id | None = None
    customer: dict[str, Any] | None = None
    at: Moment | None = None
    trigger: dict[str, Any] = Field(default_factory=dict)
    events: list[SimulatedEvent] = Field(default_factory=list, max_length=MAX_EVENTS)

    def happenings(self) -> list[Happening]:
        """The events."""
        return [Happening(one.event, one.properties, one.at) for one in self.events]

    def given_customer(self) -> tuple[str, Json]:
        """Id and attributes of a customer who is described rather than named. Raises Invalid."""
        described = self.customer or {}
        try:
            customer_id = _ID.validate_python(described.get("id", "simulated"))
        except ValidationError as error:
            raise Invalid([FieldError("customer.id", error.errors()[0]["msg"])]) from None
        check_attributes(described, "customer.")
        return customer_id, {name: one for name, one in described.items() if name != "id" and one is not None}


@dataclass(frozen=True)
class Scenario:
    """Who gets which campaign, when, and what they do meanwhile; and what is known of them from before."""

    definition: Definition
    customer_id: str
    attributes: Json
    at: datetime
    trigger: Json = field(default_factory=dict)
    events: Sequence[Happening] = ()
    segments: frozenset[str] = frozenset()
    consents: Sequence[Any] = ()
    against: Mapping[str, AgainstAddress] = field(default_factory=dict)
    """What speaks against the customer's address on each channel."""
    templates: Mapping[str, Json] = field(default_factory=dict)
    rules: Mapping[str, Json] = field(default_factory=dict)
    """Of segments that follow one."""


async def known_facts(
    connection: Connection, signing: Signing, definition: Definition, customer_id: str | None, attributes: Json
) -> Json:
    """What a scenario takes from the real database: templates, and what is known of the customer."""
    found: Json = {
        "templates": await templates.get_many(connection, [key for _, _, key in mentioned_templates(definition)])
    }
    found["rules"] = {row.key: row.rule for row in await segments.by_rule(connection)}
    found["against"] = {
        channel: await suppressions.against_address(connection, channel, signing.address_hash(channel, to))
        for channel in PERSONAL
        if isinstance(to := address_of(channel, attributes), str)
    }
    if customer_id is not None:
        rules = [known_rule(rule) for rule in found["rules"].values()]
        wanted = needs([*(condition for _, condition in placed_conditions(definition)), *rules])
        found["segments"] = await segments.of_customer(connection, customer_id)
        found["consents"] = await consents.of_customer(connection, customer_id)
        found["events"] = [
            Happening(past.name, past.properties, past.at)
            for past in await events.history(connection, customer_id, wanted.events)
        ]
    return found


def check_trigger(definition: Definition, trigger: Json, journeys: Journeys) -> None:
    """Raises Invalid where a journey in code expects a trigger with other properties."""
    code = journeys.get(definition.workflow)
    if code is not None and isinstance(definition.trigger, EventTrigger) and not code.accepts(trigger):
        wanted = ", ".join(code.trigger_type.model_fields)
        raise Invalid([FieldError("trigger", f"is not what {code.__name__} expects: {wanted}")])
