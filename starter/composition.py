"""What the routes work with."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from campaigns.models.settings import Settings
from campaigns.models.signing import Signing
from campaigns.models.store.database import Database
from campaigns.models.store.definitions import Definitions
from campaigns.models.values import Json
from campaigns.starter.admission.due_entries import DueEntries
from campaigns.starter.feedback.consents import Subscriptions
from campaigns.starter.feedback.message_events import MessageEvents
from campaigns.starter.housekeeping import Housekeeping
from campaigns.starter.intake.events import Intake
from campaigns.starter.relay import Dispatcher
from campaigns.starter.segments.follow import Touch
from campaigns.starter.segments.recompute import Rules
from campaigns.workflows.client import EntryClient
from campaigns.workflows.registry import Journeys, load_journeys


@dataclass(frozen=True)
class Services:
    """One starter's parts."""

    settings: Settings
    database: Database
    journeys: Journeys
    definitions: Definitions
    signing: Signing
    client: EntryClient
    dispatcher: Dispatcher
    intake: Intake
    due_entries: DueEntries
    rules: Rules
    housekeeping: Housekeeping
    message_events: MessageEvents
    subscriptions: Subscriptions


def make_services(settings: Settings, database: Database, client: EntryClient) -> Services:
    """The parts, put together; the dispatcher is not started."""
    settings.require("secret_key", "api_key", "write_key")
    journeys = load_journeys(settings.journeys)
    definitions = Definitions(journeys)
    signing = Signing(settings.secret("secret_key"))
    dispatcher = Dispatcher(database, definitions, client, signing)
    intake = Intake(database, definitions, signing, dispatcher)

    async def follow(payload: Json) -> None:
        touch = Touch(f"journey {payload['campaign']}", attributes=frozenset(payload["attributes"]))
        await intake.look_again(payload["customer_id"], touch, but_for=payload["campaign"])

    dispatcher.follow = follow
    rules = Rules(database, intake)
    housekeeping = Housekeeping(database, settings.decisions_kept_for)
    due_entries = DueEntries(database, definitions, intake, dispatcher)
    message_events = MessageEvents(database, intake, signing)
    subscriptions = Subscriptions(database, intake, signing, settings.base_url)
    return Services(
        settings, database, journeys, definitions, signing, client, dispatcher, intake, due_entries, rules,
        housekeeping, message_events, subscriptions,
    )  # fmt: skip


async def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


Parts = Annotated[Services, Depends(_services)]
