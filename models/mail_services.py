"""The mail services whose webhooks are understood in their own words, a row each."""

from dataclasses import dataclass

ID_VARIABLE = "campaigns-message"
"""The name under which services that keep variables of ours bear a message's id."""


@dataclass(frozen=True)
class MailService:
    """A service that sends our mail, and tells what came of it at `/callbacks/mail/<name>`."""

    name: str
    secret: str
    """What its setting holds."""
    id_header: tuple[str, str] | None = None
    """A header of a mail by which the service keeps the message's id, and its value around `{id}`."""


MAIL_SERVICES = {
    service.name: service
    for service in (
        MailService("ses", "the ARN of the SNS topic", ("X-SES-MESSAGE-TAGS", ID_VARIABLE + "={id}")),
        MailService(
            "sendgrid",
            "the verification key of the signed event webhook",
            ("X-SMTPAPI", '{{"unique_args": {{"' + ID_VARIABLE + '": "{id}"}}}}'),
        ),
        MailService("postmark", "user:password of its basic authentication", (f"X-PM-Metadata-{ID_VARIABLE}", "{id}")),
        MailService(
            "mailgun", "the HTTP webhook signing key", ("X-Mailgun-Variables", '{{"' + ID_VARIABLE + '": "{id}"}}')
        ),
        MailService("resend", "the signing secret of the webhook (whsec_…)"),
    )
}
"""A new service: a row here, and a file in `starter/feedback/mail_services/` that reads it."""
