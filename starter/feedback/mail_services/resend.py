"""Resend's webhooks, signed by Svix, whose headers Standard Webhooks has taken over under other names.

https://resend.com/docs/dashboard/webhooks/verify-webhooks-requests
https://resend.com/docs/dashboard/webhooks/event-types
"""

from collections.abc import Mapping

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from campaigns.starter.feedback.mail_services.told import (
    ID_HEADER,
    Fetch,
    Happening,
    MailTold,
    NotSigned,
    header,
    ids,
    load_object,
    part,
    sent_header,
    text,
)

_HAPPENINGS: dict[str, Happening] = {
    "email.delivered": "delivered", "email.bounced": "bounced", "email.suppressed": "bounced",
    "email.complained": "complained", "email.opened": "opened", "email.clicked": "clicked",
}  # fmt: skip


async def read(headers: Mapping[str, str], body: bytes, secret: str, _: Fetch) -> list[MailTold]:
    """Return what the event tells. Raise NotSigned, Invalid."""
    signed = {f"webhook-{name}": sent_header(headers, f"svix-{name}") for name in ("id", "timestamp", "signature")}
    try:
        Webhook(secret).verify(body, signed, json_parse=False)
    except (WebhookVerificationError, ValueError):
        raise NotSigned("its signature is wrong, or it is old") from None
    event = load_object(body)
    what = _HAPPENINGS.get(text(event, "type"))
    if what is None:
        return []
    data = part(event, "data")
    found = ids(header(part(data, "headers"), ID_HEADER), text(data, "message_id"), text(data, "email_id"))
    hard = what == "bounced" and text(data, "bounce", "type") in ("Permanent", "")
    return [MailTold(found, what, hard, text(data, "bounce", "message"), url=text(data, "click", "link") or None)]
