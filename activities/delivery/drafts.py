"""A message before it is composed: everything that its text is made of, read at one moment."""

from dataclasses import dataclass, replace
from typing import Any

from campaigns.activities.content.compose import compose
from campaigns.activities.contract import SendResult, StepTask
from campaigns.activities.senders.base import Outgoing
from campaigns.models.addresses import Unsendable
from campaigns.models.decision import Trigger
from campaigns.models.journey.definition import Definition
from campaigns.models.journey.steps import MessageBase
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import messages, templates
from campaigns.models.store.queries.messages import MessageRow, Recipient
from campaigns.models.values import Json, iso


@dataclass(frozen=True)
class Draft:
    """The message of a step to one address; composing it needs no database."""

    step: MessageBase
    recipient: Recipient
    message_id: str
    to: str
    template: dict[str, Any] | None
    answers: Json
    """What webhooks have answered before."""
    otherwise: SendResult | None = None
    """Of a message whose last attempt was cut off: what it is where the provider does not know either."""

    @property
    def earlier(self) -> MessageRow | None:
        """The message where an attempt was made before."""
        return self.recipient.message


async def draft(
    connection: Connection,
    task: StepTask,
    definition: Definition,
    step: MessageBase,
    recipient: Recipient,
    message_id: str,
    to: str,
    otherwise: SendResult | None = None,
) -> Draft:
    """The draft, with the template and the answers that it needs."""
    template = await templates.get(connection, step.template) if step.template else None
    answers = await messages.responses(connection, task.entry.entry_id, definition.saved_answers)
    return Draft(step, recipient, message_id, to, template, answers, otherwise)


async def composed(wanted: Draft, entry_id: str, base_url: str, signing: Signing) -> Outgoing | Unsendable:
    """The message with its texts rendered, and its link to unsubscribe."""
    recipient, step = wanted.recipient, wanted.step
    trigger = Trigger.from_json(recipient.trigger or {})
    unsubscribe_url = None
    if step.category == "marketing":
        unsubscribe_url = f"{base_url}/u/{signing.token('unsubscribe', wanted.message_id)}"
    variables = {
        "customer": {**(recipient.attributes or {}), "id": recipient.customer_id},
        "event": trigger.liquid_event(),
        "event_name": trigger.name,
        "event_time": iso(trigger.at),
        "entry": {"id": entry_id},
        "steps": wanted.answers,
        "unsubscribe_url": unsubscribe_url or "",
    }
    made = await compose(step, wanted.template, variables, wanted.message_id, wanted.to, unsubscribe_url)
    return made if isinstance(made, Unsendable) else replace(made, step=step.id)
