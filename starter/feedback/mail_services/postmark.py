"""Postmark's webhooks: no signature, but HTTP basic authentication.

https://postmarkapp.com/developer/webhooks/webhooks-overview
https://postmarkapp.com/developer/webhooks/bounce-webhook
"""

import base64
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
    sent_header,
    text,
)

_HAPPENINGS: dict[str, Happening] = {
    "Delivery": "delivered", "Bounce": "bounced", "SpamComplaint": "complained", "Open": "opened", "Click": "clicked",
    "SubscriptionChange": "unsubscribed",
}  # fmt: skip
_HARD = frozenset({"HardBounce", "BadEmailAddress"})


async def read(headers: Mapping[str, str], body: bytes, credentials: str, _: Fetch) -> list[MailTold]:
    """Return what the record tells. Raise NotSigned, Invalid."""
    expected = "Basic " + base64.b64encode(credentials.encode()).decode()
    if not hmac.compare_digest(sent_header(headers, "authorization").encode(), expected.encode()):
        raise NotSigned("its user or password is wrong")
    record = load_object(body)
    what = _HAPPENINGS.get(text(record, "RecordType"))
    # A suppression for a bounce or a complaint is told as that too; only the recipient's own choice is news.
    left = part(record, "SuppressSending") is True and text(record, "SuppressionReason") == "ManualSuppression"
    if what is None or (what == "unsubscribed" and not left):
        return []
    found = ids(text(record, "Metadata", ID_VARIABLE), text(record, "MessageID"))
    reason = text(record, "Details") or text(record, "Description")
    hard = text(record, "Type") in _HARD
    return [MailTold(found, what, hard, reason, url=text(record, "OriginalLink") or None)]
