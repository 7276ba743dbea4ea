"""Mail services tell in their own words what came of a mail, which they may know by another id than ours."""

import base64
import hashlib
import hmac
import json
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr, ValidationError

from campaigns.models.settings import Settings
from tests.support.product import Product, Starter

MAIL = {"id": "mail", "type": "email", "subject": "Hi", "text": "Hi"}
POSTMARK = {"Authorization": "Basic " + base64.b64encode(b"hook:s3cret").decode()}


async def tells(starter: Starter, service: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> int:
    async with httpx2.AsyncClient() as client:
        url = f"{starter.url}/callbacks/mail/{service}"
        return (await client.post(url, json=body, headers=headers or {})).status_code


def mailgun(event: dict[str, Any]) -> dict[str, Any]:
    signature = hmac.new(b"mg-key", b"1700000000tok", hashlib.sha256).hexdigest()
    return {"signature": {"timestamp": "1700000000", "token": "tok", "signature": signature}, "event-data": event}


async def messages(starter: Starter) -> dict[str, int]:
    counted = (await starter.statistics("c"))["steps"][0]["messages"]
    return {name: number for name, number in counted.items() if number}


async def test_what_services_tell_is_recorded(product: Product):
    product.settings.mail_services = SecretStr("postmark=hook:s3cret,mailgun=mg-key")
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", frequency={"type": "every_time"}, steps=[{**MAIL, "category": "transactional"}])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
        (mail,) = product.providers.mails
        ours = mail["X-Campaigns-Message"]
        assert mail["Message-ID"].startswith(f"<{ours}@")
        assert mail["X-PM-Metadata-campaigns-message"] == ours
        assert json.loads(mail["X-Mailgun-Variables"]) == {"campaigns-message": ours}
        kept = {"Metadata": {"campaigns-message": ours}, "MessageID": "another-id"}
        assert await tells(starter, "postmark", {"RecordType": "Delivery", **kept}, POSTMARK) == 204
        assert await messages(starter) == {"sent": 1, "delivered": 1}
        # A machine that opens counts apart, one that clicks not at all.
        opened = {"event": "opened", "client-info": {"bot": "apple"}, "user-variables": {"campaigns-message": ours}}
        assert await tells(starter, "mailgun", mailgun(opened)) == 204
        assert await tells(starter, "mailgun", mailgun({**opened, "event": "clicked"})) == 204
        assert await messages(starter) == {"sent": 1, "delivered": 1}
        # What is signed by nobody, of nobody's, or of a service that is not set up.
        bounce = {"RecordType": "Bounce", "Type": "HardBounce", **kept}
        assert await tells(starter, "postmark", bounce) == 403
        assert await tells(starter, "postmark", {**bounce, "Metadata": {}, "MessageID": "none"}, POSTMARK) == 204
        assert await tells(starter, "resend", bounce) == 404
        assert await tells(starter, "another", bounce) == 404
        assert await messages(starter) == {"sent": 1, "delivered": 1}
        assert await tells(starter, "postmark", bounce, POSTMARK) == 204
        assert await messages(starter) == {"sent": 1, "delivered": 1, "bounced": 1}
        await starter.track("ann", "c")
        assert (await starter.until_ended("c"))["steps"][0]["skipped"] == {"suppressed": 1}


async def test_who_leaves_by_the_service_has_left(product: Product):
    product.settings.mail_services = SecretStr("mailgun=mg-key")
    starter = await product.starter()
    await starter.customer("ann")
    await starter.campaign("c", frequency={"type": "every_time"}, steps=[MAIL])
    async with product.worker():
        await starter.track("ann", "c")
        await starter.until_ended("c")
        left = {
            "event": "unsubscribed",
            "message": {"headers": {"message-id": product.providers.mails[0]["Message-ID"]}},
        }
        assert await tells(starter, "mailgun", mailgun(left)) == 204
        await starter.track("ann", "c")
        assert (await starter.until_ended("c"))["steps"][0]["skipped"] == {"unsubscribed": 1}


@pytest.mark.parametrize("value", ["", "postmark", "postmark=", "another=x", "postmark=a:b,"])
def test_a_setting_that_is_wrong_is_said(value: str):
    with pytest.raises(ValidationError, match="must look like postmark=user:password"):
        Settings(mail_services=SecretStr(value))
