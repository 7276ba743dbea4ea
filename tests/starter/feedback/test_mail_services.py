"""Bounces, complaints, deliveries, openings and clicks in each service's own words and with its own signature."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from standardwebhooks.webhooks import Webhook

from campaigns.models.mail_services import MAIL_SERVICES
from campaigns.models.problems import Invalid
from campaigns.starter.feedback.mail_services import READERS
from campaigns.starter.feedback.mail_services.told import MailTold, NotSigned

TOPIC = "arn:aws:sns:us-east-1:123456789012:mail"
CERTIFICATE_URL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem"
AWS = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SENDGRID = ec.generate_private_key(ec.SECP256R1())
SENDGRID_KEY = base64.b64encode(
    SENDGRID.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()
RESEND = "whsec_" + base64.b64encode(b"r" * 24).decode()


def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(AWS.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(AWS, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


FETCHED: list[str] = []


async def fetch(url: str) -> bytes:
    FETCHED.append(url)
    return certificate() if url == CERTIFICATE_URL else b"<ConfirmSubscriptionResponse/>"


def sns(message: dict | str, *, version: str = "2", **changed: str) -> bytes:
    body = {
        "Type": "Notification", "MessageId": "sns-1", "TopicArn": TOPIC, "Timestamp": "2026-01-01T00:00:00.000Z",
        "Message": message if isinstance(message, str) else json.dumps(message), **changed,
    }  # fmt: skip
    names = ["Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token", "TopicArn", "Type"]
    signed = "".join(f"{name}\n{body[name]}\n" for name in names if name in body).encode()
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()
    body |= {"SignatureVersion": version, "SigningCertURL": CERTIFICATE_URL}
    body["Signature"] = base64.b64encode(AWS.sign(signed, padding.PKCS1v15(), algorithm)).decode()
    return json.dumps(body).encode()


def ses_mail(**more: object) -> dict:
    return {
        "mail": {
            "messageId": "0100-ses",
            "headers": [{"name": "Message-ID", "value": "<m1@shop.example>"}, {"name": "X-Campaigns-Message", "value": "m1"}],
        },
        **more,
    }  # fmt: skip


def sendgrid(*events: dict) -> tuple[dict[str, str], bytes]:
    body = json.dumps(events).encode()
    signature = SENDGRID.sign(b"1700000000" + body, ec.ECDSA(hashes.SHA256()))
    prefix = "x-twilio-email-event-webhook-"
    return {f"{prefix}timestamp": "1700000000", f"{prefix}signature": base64.b64encode(signature).decode()}, body


def postmark(record: dict) -> tuple[dict[str, str], bytes]:
    return {"authorization": "Basic " + base64.b64encode(b"hook:s3cret").decode()}, json.dumps(record).encode()


def mailgun(event: dict, key: str = "mg-key") -> tuple[dict[str, str], bytes]:
    signature = hmac.new(key.encode(), b"1700000000tok", hashlib.sha256).hexdigest()
    signed = {"timestamp": "1700000000", "token": "tok", "signature": signature}
    return {}, json.dumps({"signature": signed, "event-data": event}).encode()


def resend(event: dict) -> tuple[dict[str, str], bytes]:
    body, now = json.dumps(event), datetime.now(UTC)
    signature = Webhook(RESEND).sign("msg_1", now, body)
    return {"svix-id": "msg_1", "svix-timestamp": str(int(now.timestamp())), "svix-signature": signature}, body.encode()


SECRETS = {"ses": TOPIC, "sendgrid": SENDGRID_KEY, "postmark": "hook:s3cret", "mailgun": "mg-key", "resend": RESEND}
SES_IDS = ("m1", "m1@shop.example", "0100-ses")
GONE = "smtp; 550 5.1.1 user unknown"


async def read(service: str, sent: tuple[dict[str, str], bytes], secret: str | None = None) -> list[MailTold]:
    return await READERS[service](sent[0], sent[1], secret or SECRETS[service], fetch)


CASES = [
    ("ses", ({}, sns(ses_mail(notificationType="Bounce", bounce={"bounceType": "Permanent", "bouncedRecipients": [{"diagnosticCode": GONE}]}))),
     [MailTold(SES_IDS, "bounced", True, GONE)]),
    ("ses", ({}, sns(ses_mail(eventType="Bounce", bounce={"bounceType": "Transient", "bounceSubType": "MailboxFull"}), version="1")),
     [MailTold(SES_IDS, "bounced", False, "MailboxFull")]),
    ("ses", ({}, sns(ses_mail(eventType="Complaint", complaint={"complaintFeedbackType": "abuse"}))), [MailTold(SES_IDS, "complained", reason="abuse")]),
    ("ses", ({}, sns(ses_mail(eventType="Complaint", complaint={"complaintFeedbackType": "not-spam"}))), []),
    ("ses", ({}, sns(ses_mail(eventType="Delivery", delivery={}))), [MailTold(SES_IDS, "delivered")]),
    ("ses", ({}, sns(ses_mail(eventType="Open", open={}))), [MailTold(SES_IDS, "opened")]),
    ("ses", ({}, sns(ses_mail(eventType="Click", click={"link": "https://a.example"}))), [MailTold(SES_IDS, "clicked", url="https://a.example")]),
    ("ses", ({}, sns(ses_mail(eventType="Send", send={}))), []),
    ("ses", ({}, sns({"eventType": "Delivery", "delivery": {}, "mail": {"messageId": "0100-ses", "tags": {"campaigns-message": ["m1"]}}})), [MailTold(("m1", "0100-ses"), "delivered")]),
    ("ses", ({}, sns("Successfully validated SNS topic for Amazon SES event publishing.")), []),
    ("ses", ({}, sns({"mail": None, "notificationType": "Bounce", "bounce": None})), [MailTold((), "bounced")]),
    ("sendgrid", sendgrid(
        {"event": "bounce", "type": "bounce", "smtp-id": "<m1@shop.example>", "sg_message_id": "sg.1", "reason": GONE},
        {"event": "bounce", "type": "blocked", "campaigns-message": "m1", "reason": "blocked"},
        {"event": "dropped", "smtp-id": "<m1@shop.example>", "reason": "Bounced Address"},
        {"event": "dropped", "smtp-id": "<m1@shop.example>", "reason": "Spam Content"},
        {"event": "open", "smtp-id": "<m1@shop.example>", "sg_machine_open": True},
        {"event": "click", "smtp-id": "<m1@shop.example>", "url": "https://a.example"},
        {"event": "spamreport", "smtp-id": "<m1@shop.example>"}, {"event": "unsubscribe", "smtp-id": "<m1@shop.example>"},
        {"event": "delivered", "smtp-id": "<m1@shop.example>"}, {"event": "processed"}, 5,
    ), [
        MailTold(("m1@shop.example", "sg.1"), "bounced", True, GONE), MailTold(("m1",), "bounced", False, "blocked"),
        MailTold(("m1@shop.example",), "bounced", True, "Bounced Address"), MailTold(("m1@shop.example",), "bounced", False, "Spam Content"),
        MailTold(("m1@shop.example",), "opened", machine=True), MailTold(("m1@shop.example",), "clicked", url="https://a.example"),
        MailTold(("m1@shop.example",), "complained"), MailTold(("m1@shop.example",), "unsubscribed"), MailTold(("m1@shop.example",), "delivered"),
    ]),
    ("postmark", postmark({"RecordType": "Bounce", "Type": "HardBounce", "Details": GONE, "MessageID": "pm-1", "Metadata": {"campaigns-message": "m1"}}),
     [MailTold(("m1", "pm-1"), "bounced", True, GONE)]),
    ("postmark", postmark({"RecordType": "Bounce", "Type": "SoftBounce", "Description": "full", "MessageID": "pm-1"}), [MailTold(("pm-1",), "bounced", False, "full")]),
    ("postmark", postmark({"RecordType": "SpamComplaint", "MessageID": "pm-1"}), [MailTold(("pm-1",), "complained")]),
    ("postmark", postmark({"RecordType": "Open", "MessageID": "pm-1"}), [MailTold(("pm-1",), "opened")]),
    ("postmark", postmark({"RecordType": "Click", "MessageID": "pm-1", "OriginalLink": "https://a.example"}), [MailTold(("pm-1",), "clicked", url="https://a.example")]),
    ("postmark", postmark({"RecordType": "Delivery", "MessageID": "pm-1"}), [MailTold(("pm-1",), "delivered")]),
    ("postmark", postmark({"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "ManualSuppression", "MessageID": "pm-1"}), [MailTold(("pm-1",), "unsubscribed")]),
    ("postmark", postmark({"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "HardBounce", "MessageID": "pm-1"}), []),
    ("postmark", postmark({"RecordType": "SubscriptionChange", "SuppressSending": False, "MessageID": "pm-1"}), []),
    ("mailgun", mailgun({"event": "failed", "severity": "permanent", "reason": "bounce", "delivery-status": {"message": GONE}, "user-variables": {"campaigns-message": "m1"}, "message": {"headers": {"message-id": "m1@shop.example"}}}),
     [MailTold(("m1", "m1@shop.example"), "bounced", True, GONE)]),
    ("mailgun", mailgun({"event": "failed", "severity": "permanent", "reason": "suppress-complaint", "message": {"headers": {"message-id": "m1@shop.example"}}}),
     [MailTold(("m1@shop.example",), "bounced", False, "suppress-complaint")]),
    ("mailgun", mailgun({"event": "failed", "severity": "temporary"}), []),
    ("mailgun", mailgun({"event": "opened", "client-info": {"bot": "apple"}, "message": {"headers": {"message-id": "m1@shop.example"}}}), [MailTold(("m1@shop.example",), "opened", machine=True)]),
    ("mailgun", mailgun({"event": "clicked", "url": "https://a.example", "client-info": {"bot": ""}}), [MailTold((), "clicked", url="https://a.example")]),
    ("mailgun", mailgun({"event": "accepted"}), []),
    ("resend", resend({"type": "email.bounced", "data": {"email_id": "re-1", "bounce": {"type": "Permanent", "message": GONE}, "headers": [{"name": "X-Campaigns-Message", "value": "m1"}]}}),
     [MailTold(("m1", "re-1"), "bounced", True, GONE)]),
    ("resend", resend({"type": "email.bounced", "data": {"email_id": "re-1", "bounce": {"type": "Transient"}}}), [MailTold(("re-1",), "bounced")]),
    ("resend", resend({"type": "email.clicked", "data": {"email_id": "re-1", "click": {"link": "https://a.example"}}}), [MailTold(("re-1",), "clicked", url="https://a.example")]),
    ("resend", resend({"type": "email.complained", "data": {"email_id": "re-1"}}), [MailTold(("re-1",), "complained")]),
    ("resend", resend({"type": "contact.created", "data": {}}), []),
]  # fmt: skip


@pytest.mark.parametrize(("service", "sent", "told"), CASES, ids=lambda value: value if isinstance(value, str) else "")
async def test_what_each_service_tells(service: str, sent: tuple[dict[str, str], bytes], told: list[MailTold]):
    assert await read(service, sent) == told


def one_of_each() -> dict[str, tuple[dict[str, str], bytes]]:
    return {service: sent for service, sent, told in CASES if told}


def test_each_service_is_read():
    assert list(READERS) == list(MAIL_SERVICES) == list(SECRETS)


@pytest.mark.parametrize("service", READERS)
async def test_what_is_not_signed_is_refused(service: str):
    headers, body = one_of_each()[service]
    assert await read(service, (headers, body))
    with pytest.raises(NotSigned):
        await read(
            service, (headers, body), {"postmark": "hook:other", "resend": "whsec_" + "A" * 32}.get(service, "b3RoZXI=")
        )
    signed_part = {"ses": b"sns-1", "sendgrid": b"delivered", "mailgun": b"tok", "resend": b"re-1"}.get(service)
    if signed_part is not None:
        assert signed_part in body
        with pytest.raises(NotSigned):
            await read(service, (headers, body.replace(signed_part, b"other")))
    if headers:
        with pytest.raises(NotSigned):
            await read(service, ({}, body))


@pytest.mark.parametrize("service", ["postmark", "mailgun", "ses"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'"x"', b"\xff"])
async def test_what_is_no_object_is_said(service: str, body: bytes):
    with pytest.raises((Invalid, NotSigned)):
        await read(service, (postmark({})[0], body))


async def test_a_subscription_to_our_topic_is_confirmed():
    url = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    FETCHED.clear()
    confirmation = sns("You have chosen…", Type="SubscriptionConfirmation", SubscribeURL=url, Token="t")
    assert await read("ses", ({}, confirmation)) == []
    assert [CERTIFICATE_URL, url] == FETCHED


@pytest.mark.parametrize(
    "changed",
    [
        {"TopicArn": "arn:aws:sns:us-east-1:1:theirs"},
        {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://evil.example/?Token=t", "Token": "t"},
        {"Type": "Something"},
    ],
)
async def test_what_of_sns_is_not_ours(changed: dict[str, str]):
    FETCHED.clear()
    with pytest.raises(NotSigned):
        await read("ses", ({}, sns("hello", **changed)))
    assert set(FETCHED) <= {CERTIFICATE_URL}


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-east-1.amazonaws.com/a.pem", "https://sns.us-east-1.amazonaws.com.evil.example/a.pem",
        "https://evil.example/sns.us-east-1.amazonaws.com", "https://sns.us-east-1.amazonaws.com:8443/a.pem", "",
        "https://s3.amazonaws.com/a.pem", "https://sns.us-east-1.amazonaws.com@evil.example/a.pem",
    ],
)  # fmt: skip
async def test_certificates_come_from_sns_alone(url: str):
    body = sns(ses_mail(eventType="Delivery", delivery={})).replace(CERTIFICATE_URL.encode(), url.encode())
    FETCHED.clear()
    with pytest.raises(NotSigned, match="not of SNS"):
        await read("ses", ({}, body))
    assert FETCHED == []
