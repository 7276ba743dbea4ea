"""Twilio SendGrid's signed event webhook.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

import base64
import binascii
from collections.abc import Iterator, Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from campaigns.models.mail_services import ID_VARIABLE
from campaigns.starter.feedback.mail_services.told import (
    Fetch,
    Happening,
    MailTold,
    NotSigned,
    ids,
    load,
    part,
    sent_header,
    text,
)

_HAPPENINGS: dict[str, Happening] = {
    "delivered": "delivered", "bounce": "bounced", "dropped": "bounced", "spamreport": "complained", "open": "opened",
    "click": "clicked", "unsubscribe": "unsubscribed",
}  # fmt: skip
_GONE = ("bounced address", "invalid")
"""Reasons of `dropped` that are about the address; others are about us, or about what we asked for."""


async def read(headers: Mapping[str, str], body: bytes, key: str, _: Fetch) -> list[MailTold]:
    """Return what the batch of events tells. Raise NotSigned, Invalid."""
    timestamp = sent_header(headers, "x-twilio-email-event-webhook-timestamp")
    signature = sent_header(headers, "x-twilio-email-event-webhook-signature")
    try:
        public = load_der_public_key(base64.b64decode(key))
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise NotSigned("the verification key is of another kind")
        public.verify(base64.b64decode(signature), timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, UnsupportedAlgorithm, binascii.Error, ValueError):
        raise NotSigned("its signature is wrong") from None
    events = load(body)
    return list(_told(events)) if isinstance(events, list) else []


def _told(events: list[object]) -> Iterator[MailTold]:
    for event in events:
        what = _HAPPENINGS.get(text(event, "event"))
        if what is None:
            continue
        found = ids(text(event, ID_VARIABLE), text(event, "smtp-id"), text(event, "sg_message_id"))
        reason = text(event, "reason")
        if text(event, "event") == "dropped":
            hard = reason.lower().startswith(_GONE)
        else:
            hard = what == "bounced" and text(event, "type") != "blocked"
        machine = part(event, "sg_machine_open") is True
        yield MailTold(found, what, hard, reason, machine, text(event, "url") or None)
