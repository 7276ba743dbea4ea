"""The life of a campaign: draft → live ⇄ paused → stopped → archived, and what each move makes of its entries."""

from datetime import datetime

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
from campaigns.models.store.definitions import Definitions
from campaigns.models.store.queries import campaigns, due_entries, entries, outbox, segments, templates
from campaigns.models.values import utc_now
from campaigns.starter.outbox import Outbox, Unit

MOVES = {
    "start": ({CampaignStatus.DRAFT}, CampaignStatus.LIVE),
    "pause": ({CampaignStatus.LIVE}, CampaignStatus.PAUSED),
    "resume": ({CampaignStatus.PAUSED}, CampaignStatus.LIVE),
    "stop": ({CampaignStatus.LIVE, CampaignStatus.PAUSED}, CampaignStatus.STOPPED),
    "archive": ({CampaignStatus.DRAFT, CampaignStatus.STOPPED}, CampaignStatus.ARCHIVED),
}
"""From which statuses each leads to which."""


class NotAllowed(Exception):
    """The campaign's status does not allow the move."""


class Lifecycle:
    """Moves campaigns."""

    def __init__(self, outbox: Outbox, definitions: Definitions) -> None:
        self._outbox = outbox
        self._definitions = definitions

    async def move(self, key: str, move: str) -> bool:
        """Do one of MOVES; False where there is no such campaign. Raise NotAllowed, Invalid."""
        now = utc_now()
        async with self._outbox.transaction() as unit:
            connection = unit.connection
            row = await campaigns.get(connection, key, lock=True)
            if row is None:
                return False
            allowed, status = MOVES[move]
            if row.status not in allowed:
                raise NotAllowed(f"a campaign that is {row.status} cannot {move}")
            if move == "start":
                definition = await self._definitions.get(connection, key, row.version, frozen=False)
                await check_names(connection, definition)
                await _enter_existing(unit, definition, now)
            await campaigns.set_status(connection, row, status, now)
            if move == "resume":
                await outbox.add_resumes(connection, key, now)
            elif move == "stop":
                await entries.request_stop(connection, key)
                await outbox.add_stops(connection, key, now)
        return True


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


async def check_names(connection: Connection, definition: Definition) -> None:
    """Raise Invalid where the definition names segments or templates that there are not."""
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
