"""docker-compose.yml: its structure, its images, and its settings against those that the code knows."""

import re
from pathlib import Path

import pytest
import yaml

from campaigns.cli.app import app
from campaigns.models.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("migrate", "starter", "worker")


def test_the_services():
    assert set(SERVICES) == {"postgres", "temporal", "temporal-ui", "mail", "migrate", "starter", "worker"}
    assert set(COMPOSE["volumes"]) == {"postgres"}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_images_are_pinned(name: str):
    assert re.fullmatch(r"[a-z/-]+:v?\d[\w.]*", SERVICES[name]["image"])


@pytest.mark.parametrize("name", OURS)
def test_our_processes_run_our_commands_with_our_settings(name: str):
    service = SERVICES[name]
    assert service["build"] == "."
    assert service["command"] == [name]
    assert name in {command.name or command.callback.__name__ for command in app.registered_commands}
    ours = {key for key in service["environment"] if key.startswith("CAMPAIGNS_")}
    assert ours <= {f"CAMPAIGNS_{field.upper()}" for field in Settings.model_fields}
    assert set(service["environment"]) - ours == {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"}


def test_every_setting_can_be_given():
    taken = {key for name in OURS for key in SERVICES[name]["environment"]}
    # Of a machine, of tests, or not for containers.
    others = {"port", "journeys", "webhook_allow_internal", "twilio_base_url", "fcm_base_url", "encrypt_payloads"}
    others |= {"worker_metrics_port"}
    assert {f"CAMPAIGNS_{field.upper()}" for field in set(Settings.model_fields) - others} <= taken


def test_the_settings_are_what_the_code_takes(monkeypatch: pytest.MonkeyPatch):
    given = {
        "POSTGRES_PASSWORD": "p",
        "CAMPAIGNS_SECRET_KEY": "s" * 32,
        "CAMPAIGNS_WRITE_KEY": "w",
        "CAMPAIGNS_API_KEY": "a",
    }

    def expand(text: str) -> str:
        return re.sub(r"\$\{(\w+)(?::\?|:-([^}]*))\}", lambda match: given.get(match[1]) or match[2] or "", text)

    for key, value in SERVICES["starter"]["environment"].items():
        monkeypatch.setenv(key, expand(value))
    settings = Settings()
    settings.require("secret_key", "write_key", "api_key", "mail_from", "smtp_url")
    assert settings.database_url == "postgresql://campaigns:p@postgres:5432/campaigns"
    assert settings.host == "0.0.0.0"
    assert settings.twilio_account_sid is None


def test_no_secret_has_a_default():
    text = (ROOT / "docker-compose.yml").read_text()
    for secret in ("POSTGRES_PASSWORD", "CAMPAIGNS_SECRET_KEY", "CAMPAIGNS_WRITE_KEY", "CAMPAIGNS_API_KEY"):
        assert set(re.findall(rf"\$\{{{secret}([^}}]*)\}}", text)) == {":?"}, secret


def test_what_depends_on_what():
    def needs(name: str) -> dict[str, str]:
        return {service: how["condition"] for service, how in SERVICES[name]["depends_on"].items()}

    assert needs("migrate") == {"postgres": "service_healthy"}
    for name in ("starter", "worker"):
        assert needs(name) == {"migrate": "service_completed_successfully", "temporal": "service_healthy"}
    for name in ("postgres", "temporal", "starter"):
        assert "healthcheck" in SERVICES[name], name
    # Scales with `--scale worker=4`: neither a name nor a port of the host is its own.
    assert not {"container_name", "ports"} & set(SERVICES["worker"])


def test_the_image_is_made_of_what_is_there():
    for source in re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M):
        for name in source.split():
            assert (ROOT / name).exists(), name
