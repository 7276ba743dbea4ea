"""What the docs say is true: the first campaign of the README is one, and every link leads somewhere."""

import json
import re
from pathlib import Path

from campaigns.models.settings import Settings
from campaigns.starter.authoring.checking import checked_definition
from campaigns.workflows.registry import load_journeys

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_first_campaign():
    text = (ROOT / "README.md").read_text()
    raw = re.search(r"/v1/campaigns -H \"Authorization: Bearer \$API_KEY\" -d '(.*?)'\n", text, re.S)
    assert raw
    definition = checked_definition(json.loads(raw[1]), load_journeys())
    assert definition.key == "cart-recovery"


def test_links_lead_somewhere():
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())]
    assert len(links) > 20
    for page, link in links:
        assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_setting_is_explained():
    text = (ROOT / "docs/operations.md").read_text().replace("`_AUTH_TOKEN`", "`CAMPAIGNS_TWILIO_AUTH_TOKEN`")
    text = text.replace("`_FROM`", "`CAMPAIGNS_TWILIO_FROM`").replace("`_BASE_URL`", "`CAMPAIGNS_TWILIO_BASE_URL`")
    for field in Settings.model_fields:
        assert f"CAMPAIGNS_{field.upper()}" in text, field
