"""What the routes work with."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from campaigns.models.settings import Settings
from campaigns.models.signing import Signing
from campaigns.models.store.database import Database
from campaigns.models.store.definitions import Definitions
from campaigns.starter.admission.due_entries import DueEntries
from campaigns.starter.authoring.lifecycle import Lifecycle
from campaigns.starter.feedback.consents import Consents
from campaigns.starter.feedback.message_events import MessageEvents
from campaigns.starter.housekeeping import Housekeeping
from campaigns.starter.intake.erasure import Erasures
from campaigns.starter.intake.events import Intake
from campaigns.starter.intake.profiles import Profiles
from campaigns.starter.outbox import Outbox
from campaigns.starter.relay import Relay
from campaigns.starter.segments.by_hand import MembersByHand
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
    outbox: Outbox
    relay: Relay
    intake: Intake
    profiles: Profiles
    erasures: Erasures
    members: MembersByHand
    due_entries: DueEntries
    rules: Rules
    lifecycle: Lifecycle
    housekeeping: Housekeeping
    message_events: MessageEvents
    consents: Consents


def make_services(settings: Settings, database: Database, client: EntryClient) -> Services:
    """The parts, put together; the relay is not started."""
    settings.require("secret_key", "api_key", "write_key")
    journeys = load_journeys(settings.journeys)
    definitions = Definitions(journeys)
    signing = Signing(settings.secret("secret_key"))
    outbox = Outbox(database)
    relay = Relay(database, outbox, definitions, client, signing)
    intake = Intake(outbox, definitions, signing)
    profiles = Profiles(outbox, definitions, signing)
    erasures = Erasures(outbox, signing)
    members = MembersByHand(database, outbox, definitions)
    rules = Rules(database, outbox, definitions)
    housekeeping = Housekeeping(database, settings.decisions_kept_for)
    due_entries = DueEntries(database, outbox, definitions)
    message_events = MessageEvents(database, intake, signing)
    consents = Consents(database, intake, message_events, signing, settings.base_url)
    return Services(
        settings, database, journeys, definitions, signing, client, outbox, relay, intake, profiles, erasures,
        members, due_entries, rules, Lifecycle(outbox, definitions), housekeeping, message_events, consents,
    )  # fmt: skip


async def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


Parts = Annotated[Services, Depends(_services)]
