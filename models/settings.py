"""The settings, read from the environment; Temporal's own connection settings are read by its library."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from campaigns.models.channels import CHANNELS
from campaigns.models.journey.steps import mailbox
from campaigns.models.mail_services import MAIL_SERVICES
from campaigns.models.values import parse_duration


def _smtp_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("must look like smtp://user:password@host:port or smtps://host")
    query = parse_qs(parts.query)
    if set(query) - {"starttls"} or query.get("starttls", ["require"])[-1] not in ("require", "opportunistic", "never"):
        raise ValueError("takes starttls=require, opportunistic or never, and nothing else, behind the question mark")
    _ = parts.port
    return value


def _database_url(value: str) -> str:
    if not value.startswith(("sqlite:///", "postgresql://")):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return value


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < 32:
        raise ValueError("must have 32 characters or more")
    return value


def _webhook_secret(value: SecretStr) -> SecretStr:
    try:
        key = base64.b64decode(value.get_secret_value().removeprefix("whsec_"), validate=True)
    except ValueError:
        raise ValueError("must be whsec_ and base64") from None
    if not 24 <= len(key) <= 64:
        raise ValueError("must hold 24 to 64 bytes, in base64 behind whsec_")
    return value


_ACCOUNTS = dict.fromkeys(channel.account for channel in CHANNELS.values() if channel.account)
RATED = {
    **{name: tuple(channel.name for channel in CHANNELS.values() if channel.account == name) for name in _ACCOUNTS},
    **{name: (name,) for name in CHANNELS},
}
"""What a rate may be said of: a channel, or a provider with its channels."""


def _rate_limits(value: str) -> str:
    rated: list[str] = []
    for one in value.split(","):
        name, _, rate = (part.strip() for part in one.partition("="))
        try:
            per_second = float(rate)
        except ValueError:
            per_second = 0
        if name not in RATED or not 0 < per_second < 1_000_000:
            raise ValueError(f"must look like email=50,twilio=10, in messages a second, by {', '.join(RATED)}")
        rated += RATED[name]
    if len(set(rated)) < len(rated):
        raise ValueError("has two rates for one channel")
    return value


def _mail_services(value: SecretStr) -> SecretStr:
    for pair in value.get_secret_value().split(","):
        name, _, secret = pair.partition("=")
        if name.strip() not in MAIL_SERVICES or not secret.strip():
            services = "; ".join(f"{service.name}={service.secret}" for service in MAIL_SERVICES.values())
            raise ValueError(f"must look like postmark=user:password,mailgun=key, of: {services}")
    return value


def _not_yet(value: bool) -> bool:
    if value:
        raise ValueError("payloads cannot be encrypted by this version yet")
    return value


def _duration(value: str) -> str:
    if parse_duration(value) <= timedelta(0):
        raise ValueError("must be longer than zero")
    return value


class SmtpServer:
    """The parts of `CAMPAIGNS_SMTP_URL`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.tls_from_start = parts.scheme == "smtps"
        self.host = parts.hostname or ""
        self.port = parts.port or (465 if self.tls_from_start else 587)
        self.user = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password) if parts.password else None
        self.starttls = parse_qs(parts.query).get("starttls", ["require"])[-1]


class Settings(BaseSettings):
    """Every setting of the product. There are no default secrets: what is required is asked for where it is used."""

    model_config = SettingsConfigDict(env_prefix="CAMPAIGNS_", env_ignore_empty=True, extra="ignore")

    database_url: Annotated[str, AfterValidator(_database_url)] = "sqlite:///.campaigns/campaigns.db"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    public_url: str | None = None
    smtp_url: Annotated[str, AfterValidator(_smtp_url)] | None = None
    mail_from: Annotated[str, AfterValidator(mailbox)] | None = None
    twilio_account_sid: str | None = None
    twilio_auth_token: SecretStr | None = None
    twilio_from: str | None = None
    twilio_base_url: str | None = None
    fcm_credentials: str | None = None
    fcm_base_url: str | None = None
    dkim_key: SecretStr | None = None
    dkim_selector: str | None = None
    webhook_allow_internal: bool = False
    webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secret)] | None = None
    mail_webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secret)] | None = None
    mail_services: Annotated[SecretStr, AfterValidator(_mail_services)] | None = None
    rate_limits: Annotated[str, AfterValidator(_rate_limits)] | None = None
    journeys: Path | None = None
    secret_key: Annotated[SecretStr, AfterValidator(_long_enough)] | None = None
    write_key: SecretStr | None = None
    api_key: SecretStr | None = None
    encrypt_payloads: Annotated[bool, AfterValidator(_not_yet)] = False
    decision_retention: Annotated[str, AfterValidator(_duration)] | None = None
    worker_metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None

    @property
    def decisions_kept_for(self) -> timedelta | None:
        """How long uninteresting decisions are kept; None for ever."""
        return None if self.decision_retention is None else parse_duration(self.decision_retention)

    @property
    def rates(self) -> dict[str, float]:
        """So many messages a second at most, by channel or provider (`RATED`)."""
        pairs = (one.partition("=") for one in (self.rate_limits or "").split(",") if one)
        return {name.strip(): float(rate) for name, _, rate in pairs}

    @property
    def mail_service_secrets(self) -> dict[str, str]:
        """What each mail service that is set up signs with, or shows, by its name."""
        value = self.mail_services.get_secret_value() if self.mail_services else ""
        pairs = (pair.partition("=") for pair in value.split(",") if pair)
        return {name.strip(): secret.strip() for name, _, secret in pairs}

    @property
    def base_url(self) -> str:
        """Where the world reaches the starter, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    def secret(self, name: str) -> str:
        """The value of a secret setting. Raises SystemExit that names it where it is missing."""
        self.require(name)
        value: SecretStr = getattr(self, name)
        return value.get_secret_value()

    def require(self, *names: str) -> None:
        """Raises SystemExit that names every missing setting."""
        if missing := [f"CAMPAIGNS_{name.upper()}" for name in names if not getattr(self, name)]:
            raise SystemExit(f"campaigns: please set {', '.join(missing)} (see docs/operations.md)")
