"""A message before it goes out: everything that its text is made of, read at one moment, and the text made of it."""

from dataclasses import dataclass, field, replace
from typing import Any

from campaigns.activities.content.compose import compose
from campaigns.activities.content.link_tracking import track
from campaigns.activities.contract import SendResult
from campaigns.activities.delivery.passage import Passage
from campaigns.activities.senders.base import Outgoing
from campaigns.models.addresses import Unsendable
from campaigns.models.decision import Trigger
from campaigns.models.journey.steps import Email
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import messages, templates
from campaigns.models.store.queries.messages import Recipient
from campaigns.models.values import Json, iso


@dataclass(frozen=True)
class Draft:
    """The message of a passage to one address; rendering it needs no database."""

    passage: Passage
    recipient: Recipient
    to: str
    template: dict[str, Any] | None
    answers: Json
    """What webhooks have answered before."""


@dataclass(frozen=True)
class RenderedMessage:
    """A message as it goes out, and where its tracked links lead."""

    outgoing: Outgoing
    links: dict[str, str] = field(default_factory=dict)


async def read_draft(connection: Connection, passage: Passage, recipient: Recipient, to: str) -> Draft:
    """Return the draft, with the template and the answers that it needs."""
    step = passage.step
    template = await templates.get(connection, step.template) if step.template else None
    answers = await messages.responses(connection, passage.entry_id, passage.definition.saved_answers)
    return Draft(passage, recipient, to, template, answers)


class Drafting:
    """Renders drafts, with links of this product's own."""

    def __init__(self, base_url: str, signing: Signing, *, tracks: bool) -> None:
        self._base_url = base_url
        self._signing = signing
        self._tracks = tracks

    async def render(self, draft: Draft) -> RenderedMessage | SendResult:
        """Return the message, its links tracked; or why there is none."""
        passage, step = draft.passage, draft.passage.step
        url = None
        if passage.is_marketing:
            url = f"{self._base_url}/u/{self._signing.token('unsubscribe', passage.message_id)}"
        outgoing = await compose(step, draft.template, self._variables(draft, url), passage.message_id, draft.to, url)
        if isinstance(outgoing, Unsendable):
            return SendResult(outgoing.outcome, outgoing.reason, outgoing.detail)
        outgoing = replace(outgoing, step=step.id)
        if not (self._tracks and isinstance(step, Email) and step.tracking and outgoing.html):
            return RenderedMessage(outgoing)
        tracked = track(outgoing.html, outgoing.message_id, self._base_url, self._signing)
        return RenderedMessage(replace(outgoing, html=tracked.html), tracked.links)

    def _variables(self, draft: Draft, unsubscribe_url: str | None) -> Json:
        recipient = draft.recipient
        trigger = Trigger.from_json(recipient.trigger or {})
        return {
            "customer": {**(recipient.attributes or {}), "id": recipient.customer_id},
            "event": trigger.liquid_event(),
            "event_name": trigger.name,
            "event_time": iso(trigger.at),
            "entry": {"id": draft.passage.entry_id},
            "steps": draft.answers,
            "unsubscribe_url": unsubscribe_url or "",
        }
