"""Mailgun's webhooks.

https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure
"""

import hashlib
import hmac
from collections.abc import Mapping

from campaigns.models.mail_services import ID_VARIABLE
from campaigns.starter.feedback.mail_services.told import (
    Fetch,
    Happening,
    MailTold,
    NotSigned,
    ids,
    load_object,
    part,
    text,
)

_HAPPENINGS: dict[str, Happening] = {
    "delivered": "delivered", "failed": "bounced", "complained": "complained", "opened": "opened", "clicked": "clicked",
    "unsubscribed": "unsubscribed",
}  # fmt: skip
_GONE = frozenset({"bounce", "suppress-bounce"})
"""Reasons of a permanent failure that are about the address."""


async def read(headers: Mapping[str, str], body: bytes, key: str, _: Fetch) -> list[MailTold]:
    """Return what the event tells. Raise NotSigned, Invalid."""
    sent = load_object(body)
    signed = text(sent, "signature", "timestamp") + text(sent, "signature", "token")
    expected = hmac.new(key.encode(), signed.encode(), hashlib.sha256).hexdigest()
    if not signed or not hmac.compare_digest(text(sent, "signature", "signature").encode(), expected.encode()):
        raise NotSigned("its signature is wrong")
    event = part(sent, "event-data")
    what = _HAPPENINGS.get(text(event, "event"))
    permanent = text(event, "severity") == "permanent"
    if what is None or (what == "bounced" and not permanent):
        return []  # a temporary failure is tried again by Mailgun itself
    found = ids(text(event, "user-variables", ID_VARIABLE), text(event, "message", "headers", "message-id"))
    status = part(event, "delivery-status")
    reason = text(status, "message") or text(status, "description") or text(event, "reason")
    hard = what == "bounced" and text(event, "reason") in _GONE
    machine = bool(text(event, "client-info", "bot"))
    return [MailTold(found, what, hard, reason, machine, text(event, "url") or None)]
