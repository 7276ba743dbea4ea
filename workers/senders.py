"""The senders of the channels, by what is set up: the only place that names concrete senders."""

from collections.abc import Callable
from urllib.parse import urlsplit

from campaigns.activities.senders.base import Sender
from campaigns.activities.senders.fcm import FcmSender, read_credentials
from campaigns.activities.senders.smtp import Dkim, SmtpSender
from campaigns.activities.senders.twilio.send import TwilioSender
from campaigns.activities.senders.webhook import WebhookSender
from campaigns.models.channels import CHANNELS
from campaigns.models.mail_services import MAIL_SERVICES
from campaigns.models.settings import Settings, SmtpServer


def make_senders(settings: Settings) -> dict[str, Sender]:
    """Return a sender for each channel that is set up; in a running loop. Raise SystemExit that names what is amiss."""
    return {channel: sender for make in PROVIDERS for channel, sender in make(settings).items()}


def _smtp(settings: Settings) -> dict[str, Sender]:
    if not settings.smtp_url:
        return {}
    settings.require("mail_from")
    headers = [MAIL_SERVICES[name].id_header for name in settings.mail_service_secrets]
    id_headers = dict(header for header in headers if header is not None)
    return {"email": SmtpSender(SmtpServer(settings.smtp_url), settings.mail_from or "", _dkim(settings), id_headers)}


def _twilio(settings: Settings) -> dict[str, Sender]:
    if not settings.twilio_account_sid:
        return {}
    settings.require("twilio_auth_token", "twilio_from")
    return {
        channel.name: TwilioSender(
            settings.twilio_account_sid,
            settings.secret("twilio_auth_token"),
            settings.twilio_from or "",
            settings.twilio_base_url,
            prefix=channel.prefix,
            callbacks=_callbacks(settings),
        )
        for channel in CHANNELS.values()
        if channel.account == "twilio"
    }


def _fcm(settings: Settings) -> dict[str, Sender]:
    if not settings.fcm_credentials:
        return {}
    try:
        credentials = read_credentials(settings.fcm_credentials)
    except (OSError, ValueError) as error:
        raise SystemExit(f"campaigns: CAMPAIGNS_FCM_CREDENTIALS: {error}") from None
    return {"push": FcmSender(credentials, settings.fcm_base_url)}


def _webhook(settings: Settings) -> dict[str, Sender]:
    secret = settings.webhook_secret.get_secret_value() if settings.webhook_secret else None
    return {"webhook": WebhookSender(allow_internal=settings.webhook_allow_internal, secret=secret)}


PROVIDERS: tuple[Callable[[Settings], dict[str, Sender]], ...] = (_smtp, _twilio, _fcm, _webhook)
"""What each provider sends where it is set up."""


def _dkim(settings: Settings) -> Dkim | None:
    if settings.dkim_key is None and settings.dkim_selector is None:
        return None
    settings.require("dkim_key", "dkim_selector")
    try:
        return Dkim(settings.dkim_selector or "", settings.secret("dkim_key"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"campaigns: CAMPAIGNS_DKIM_KEY: {error}") from None


def _callbacks(settings: Settings) -> str | None:
    """Where Twilio tells what came of messages; it refuses to send where it could not reach that (error 21609)."""
    host = urlsplit(settings.base_url).hostname or ""
    reached = settings.twilio_base_url or (settings.public_url and host not in ("localhost", "127.0.0.1", "::1"))
    return f"{settings.base_url}/callbacks/twilio" if reached else None
