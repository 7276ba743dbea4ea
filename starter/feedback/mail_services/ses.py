"""Amazon SES by SNS: notifications and event publishing.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from campaigns.models.mail_services import ID_VARIABLE
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
    text,
)

_HOST = re.compile(r"sns\.[a-z0-9-]{3,}\.amazonaws\.com(\.cn)?")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HASHES: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 - SNS's own, version 1
_HAPPENINGS: dict[str, Happening] = {
    "delivery": "delivered", "bounce": "bounced", "complaint": "complained", "open": "opened", "click": "clicked",
}  # fmt: skip


async def read(headers: Mapping[str, str], body: bytes, topic: str, fetch: Fetch) -> list[MailTold]:
    """Return what the notification tells; confirm a subscription to our topic. Raise NotSigned, Invalid, OSError."""
    sent = load_object(body)
    # Anybody can have SNS sign messages of a topic of their own.
    if text(sent, "TopicArn") != topic:
        raise NotSigned("it is of another topic")
    url = text(sent, "SigningCertURL") or text(sent, "SigningCertUrl")
    _verify(sent, _certificate(await fetch(_own(url))))
    if text(sent, "Type") == "SubscriptionConfirmation":
        await fetch(_own(text(sent, "SubscribeURL")))
    if text(sent, "Type") != "Notification":
        return []
    try:
        message = orjson.loads(text(sent, "Message"))
    except orjson.JSONDecodeError:
        return []  # such as the sentence by which SES says that the topic was set
    return _told(message)


def _own(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not _HOST.fullmatch(parts.hostname or "") or parts.port not in (None, 443):
        raise NotSigned("it names a URL that is not of SNS")
    return url


@lru_cache(maxsize=16)
def _certificate(pem: bytes) -> rsa.RSAPublicKey:
    try:
        key = x509.load_pem_x509_certificate(pem).public_key()
    except ValueError:
        raise NotSigned("its certificate is none") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise NotSigned("its certificate has another kind of key")
    return key


def _verify(sent: dict[str, Any], key: rsa.RSAPublicKey) -> None:
    names = _SIGNED.get(text(sent, "Type"), ())
    signed = "".join(f"{name}\n{sent[name]}\n" for name in names if name in sent)
    algorithm = _HASHES.get(text(sent, "SignatureVersion"))
    if not names or algorithm is None:
        raise NotSigned("it is signed in no way that is known")
    try:
        key.verify(base64.b64decode(text(sent, "Signature")), signed.encode(), padding.PKCS1v15(), algorithm)
    except (InvalidSignature, binascii.Error, ValueError):
        raise NotSigned("its signature is wrong") from None


def _told(message: object) -> list[MailTold]:
    kind = (text(message, "notificationType") or text(message, "eventType")).lower()
    what = _HAPPENINGS.get(kind)
    about = part(message, kind)
    if what is None or text(about, "complaintFeedbackType") == "not-spam":
        return []
    mail = part(message, "mail")
    mail_headers = part(mail, "headers")
    found = ids(
        header(mail_headers, ID_HEADER),
        header(mail_headers, "message-id"),
        text(mail, "commonHeaders", "messageId"),
        *_tagged(mail),
        text(mail, "messageId"),
    )
    hard = text(about, "bounceType") == "Permanent"
    return [MailTold(found, what, hard, _reason(about), url=text(about, "link") or None)]


def _tagged(mail: object) -> list[Any]:
    """Event publishing tells the tags that a mail was sent with, each a list of values."""
    values = part(mail, "tags", ID_VARIABLE)
    return values if isinstance(values, list) else []


def _reason(about: object) -> str:
    recipients = part(about, "bouncedRecipients")
    first = recipients[0] if isinstance(recipients, list) and recipients else None
    words = (text(first, "diagnosticCode"), text(about, "bounceSubType"), text(about, "complaintFeedbackType"))
    return next(filter(None, words), "")
