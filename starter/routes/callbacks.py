"""What providers tell of messages: Twilio's status callbacks and incoming texts, bounces and complaints of mail."""

from typing import Annotated
from urllib.parse import parse_qsl

import httpx2
import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from campaigns.activities.senders.twilio.callbacks import is_signed, read_status, read_subscription
from campaigns.activities.senders.twilio.errors import OPTED_OUT, Meaning
from campaigns.models.channels import ConsentStatus
from campaigns.models.storable import storable
from campaigns.starter.composition import Parts, Services
from campaigns.starter.feedback.mail_reports import known_as
from campaigns.starter.feedback.mail_services import READERS
from campaigns.starter.feedback.mail_services.told import MailTold, NotSigned
from campaigns.starter.feedback.message_events import Happening
from campaigns.starter.http.bodies import parse, parse_json, read_body
from campaigns.starter.http.problems import Problem

router = APIRouter(prefix="/callbacks", include_in_schema=False)
log = structlog.get_logger()

MAX_BYTES = 64 * 1024
MAX_BATCH = 2 * 1024 * 1024
FETCH_S = 5.0


async def _twilio_form(request: Request, parts: Services) -> dict[str, str]:
    """The form of a request that Twilio has signed (https://www.twilio.com/docs/usage/security); 403 for others."""
    form = dict(parse_qsl((await read_body(request, MAX_BYTES)).decode(errors="replace"), keep_blank_values=True))
    token = parts.settings.twilio_auth_token
    url = parts.settings.base_url + request.url.path + (f"?{request.url.query}" if request.url.query else "")
    signature = request.headers.get("x-twilio-signature", "")
    if token is None or not is_signed(form, url, signature, token.get_secret_value()):
        raise Problem(403, "Forbidden", "the request does not bear Twilio's signature")
    return form


@router.post("/twilio/{message_id}")
async def twilio_status(message_id: str, request: Request, parts: Parts) -> Response:
    """What came of a text message; it may come twice, late, and out of order."""
    told, events = read_status(await _twilio_form(request, parts)), parts.message_events
    if told.provider_id:
        await events.sent(message_id, told.provider_id)
    for what in told.happened:
        await events.happened(message_id, what, {"error": told.error} if what == "failed" and told.error else {})
    if told.meaning in (Meaning.BAD_NUMBER, Meaning.OPTED_OUT):
        await events.suppress(message_id, f"twilio {told.error}")
    elif told.meaning is Meaning.OURS:
        await events.pause_campaign(message_id, f"twilio {told.error}")
    return Response(status_code=204)


@router.post("/twilio")
async def twilio_incoming(request: Request, parts: Parts) -> Response:
    """A text message from a customer: the words that end or begin a subscription are obeyed."""
    change = read_subscription(await _twilio_form(request, parts))
    if change:
        status = ConsentStatus.SUBSCRIBED if change.subscribes else ConsentStatus.UNSUBSCRIBED
        source = f"text message: {change.word}"
        known = await parts.consents.put_by_address(change.channel, change.number, status, source)
        if change.subscribes:
            await parts.consents.lift_suppression(change.channel, change.number, str(OPTED_OUT))
        log.info("a text message changed a subscription", status=status, customers=len(known))
    return Response('<?xml version="1.0" encoding="UTF-8"?><Response/>', media_type="text/xml")


@router.post("/mail/{service}")
async def mail_service(service: str, request: Request, parts: Parts) -> Response:
    """What a mail service tells of mails in its own words; what is not of ours is let pass, or it would be repeated."""
    read, secret = READERS.get(service), parts.settings.mail_service_secrets.get(service)
    if read is None or secret is None:
        raise Problem(404, "Not found", f"CAMPAIGNS_MAIL_SERVICES names no mail service {service!r}")
    try:
        told = await read(request.headers, await read_body(request, MAX_BATCH), secret, _fetch)
    except NotSigned as error:
        raise Problem(403, "Forbidden", f"the request is not the service's: {error}") from None
    except OSError:
        raise Problem(503, "Service unavailable", "the service's certificate can't be had now") from None
    for mail in told:
        await _record(parts, service, mail)
    return Response(status_code=204)


async def _record(parts: Services, service: str, mail: MailTold) -> None:
    if mail.what == "clicked" and mail.machine:
        return  # as with our own links
    for message_id in dict.fromkeys(map(known_as, mail.ids)):
        if mail.what == "unsubscribed":
            known = await parts.consents.unsubscribe(message_id, service)
        else:
            reason = storable(mail.reason, 500)
            known = await parts.message_events.report(
                message_id, mail.what, reason, hard=mail.hard, machine=mail.machine
            )
        if known:
            return


async def _fetch(url: str) -> bytes:
    """What stands at a URL that was checked to be the service's own."""
    try:
        async with httpx2.AsyncClient(timeout=FETCH_S, follow_redirects=False) as client:
            answer = (await client.get(url)).raise_for_status()
    except httpx2.HTTPError as error:
        raise OSError(str(error)) from None
    return answer.content[:MAX_BYTES]


class ReportedMail(BaseModel):
    """What a webhook says of a mail; services say more than this."""

    message_id: Annotated[str, Field(min_length=1, max_length=998)]
    """The Message-ID, or our id, which is its first half."""
    hard: bool = True
    reason: Annotated[str, Field(max_length=500)] = ""


class MailWebhook(BaseModel):
    """A webhook about a mail, as Standard Webhooks recommends the form."""

    type: Annotated[str, Field(max_length=100)]
    data: ReportedMail


_REPORTED: dict[str, Happening] = {
    f"email.{one}": one for one in ("delivered", "bounced", "complained", "opened", "clicked")
}


@router.post("/mail")
async def mail_webhook(request: Request, parts: Parts) -> Response:
    """What a mail service tells of a mail, signed by Standard Webhooks (https://www.standardwebhooks.com).

    `{"type": "email.bounced", "data": {"message_id", "hard", "reason"}}`; what is not ours is let pass, for a service
    would repeat what it sees refused.
    """
    raw = await read_body(request, MAX_BYTES)
    secret = parts.settings.mail_webhook_secret
    try:
        if secret is None:
            raise WebhookVerificationError
        Webhook(secret.get_secret_value()).verify(raw, dict(request.headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        raise Problem(403, "Forbidden", "the request does not bear the service's signature, or is old") from None
    told = parse_json(raw)
    what = _REPORTED.get(str(told.get("type")) if isinstance(told, dict) else "")
    if what is not None:
        data = parse(MailWebhook, told).data
        await parts.message_events.report(known_as(data.message_id), what, data.reason, hard=data.hard)
    return Response(status_code=204)
