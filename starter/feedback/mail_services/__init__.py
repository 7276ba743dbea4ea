"""What mail services tell of mails, in their own words: each verified and read as the service documents it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from campaigns.starter.feedback.mail_services import mailgun, postmark, resend, sendgrid, ses
from campaigns.starter.feedback.mail_services.told import Fetch, MailTold

Read = Callable[[Mapping[str, str], bytes, str, Fetch], Awaitable[list[MailTold]]]


class MailService(NamedTuple):
    """How a service's webhooks are read; `secret` says what its setting holds."""

    read: Read
    secret: str


SERVICES: dict[str, MailService] = {
    "ses": MailService(ses.read, "the ARN of the SNS topic"),
    "sendgrid": MailService(sendgrid.read, "the verification key of the signed event webhook"),
    "postmark": MailService(postmark.read, "user:password of the webhook's basic authentication"),
    "mailgun": MailService(mailgun.read, "the HTTP webhook signing key"),
    "resend": MailService(resend.read, "the signing secret of the webhook (whsec_…)"),
}
"""A new service: a file that reads it, and a row here."""
