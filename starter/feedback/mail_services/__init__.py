"""What mail services tell of mails, in their own words: each verified and read as the service documents it."""

from collections.abc import Awaitable, Callable, Mapping

from campaigns.starter.feedback.mail_services import mailgun, postmark, resend, sendgrid, ses
from campaigns.starter.feedback.mail_services.told import Fetch, MailTold

Read = Callable[[Mapping[str, str], bytes, str, Fetch], Awaitable[list[MailTold]]]

READERS: dict[str, Read] = {
    "ses": ses.read,
    "sendgrid": sendgrid.read,
    "postmark": postmark.read,
    "mailgun": mailgun.read,
    "resend": resend.read,
}
"""How the webhooks of each of `models/mail_services` are read."""
