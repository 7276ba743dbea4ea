"""A real Segment library talks to a running starter; of others the wire is spoken, as their sources have it."""

import asyncio
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
import segment.analytics
from sqlalchemy import select

from campaigns.models.store.tables import Event
from tests.support.product import WRITE_KEY, Product, Starter


async def test_segment_analytics_python(product: Product):
    starter = await product.starter()
    await starter.campaign("welcome", trigger={"type": "event", "event": "Signed Up"}, steps=[{"type": "exit"}])
    failures = []

    def send(zipped: bool) -> None:
        library = segment.analytics.Client(
            WRITE_KEY, host=starter.url, on_error=lambda error, _: failures.append(error), gzip=zipped, max_retries=1
        )
        user = f"ann-{zipped}"
        library.identify(user, {"email": f"{user}@example.com", "plan": "pro"})
        library.track(user, "Signed Up", {"source": "web"})
        library.page(user, "Docs", "Start")
        library.screen(user, "Home")
        library.group(user, "acme", {"name": "Acme"})
        library.alias("old", user)
        library.shutdown()

    for zipped in (False, True):
        await asyncio.to_thread(send, zipped)
        customer = await starter.call("GET", f"/v1/customers/ann-{zipped}")
        assert (customer["email"], customer["plan"]) == (f"ann-{zipped}@example.com", "pro")
        decisions = await starter.call("GET", f"/v1/customers/ann-{zipped}/decisions")
        assert [(one["campaign"], one["outcome"]) for one in decisions["decisions"]] == [("welcome", "entered")]
    assert failures == []


CALL = {"type": "track", "userId": "ann", "event": "Signed Up", "messageId": "m-1", "properties": {}}


async def post(starter: Starter, path: str, body: Any, **headers: str) -> httpx2.Response:
    content = json.dumps(body).encode()
    if headers.get("content_encoding") == "gzip":
        content = gzip.compress(content)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient() as library:
        return await library.post(
            starter.url + path, content=content, headers={"content-type": "application/json", **names}
        )


BASIC = httpx2.BasicAuth(WRITE_KEY, "")._auth_header
WIRES = {
    # analytics-java 3.5: the key stands in the body of a batch alone.
    "java": ("/v1/import/", {"batch": [CALL], "writeKey": WRITE_KEY, "sentAt": "2026-01-01T00:00:00.000Z"}, {}),
    "ruby": ("/v1/import", {"batch": [CALL], "sentAt": "2026-01-01T00:00:00.000Z"}, {"authorization": BASIC}),
    "node": ("/v1/batch", {"batch": [CALL], "writeKey": WRITE_KEY, "sentAt": "2026-01-01T00:00:00.000Z"}, {"authorization": BASIC}),
    "swift": ("/v1/b", {"batch": [CALL], "writeKey": WRITE_KEY}, {"content_type": "application/json; charset=utf-8"}),
    "kotlin": ("/v1/b", {"batch": [CALL], "writeKey": WRITE_KEY}, {"content_type": "text/plain", "content_encoding": "gzip"}),
    # analytics.js posts simple requests (Fetch, 2.2.2), so that no preflight is needed.
    "browser": ("/v1/t", {**CALL, "writeKey": WRITE_KEY}, {"content_type": "text/plain", "origin": "https://shop.example"}),
}  # fmt: skip


@pytest.mark.parametrize("library", WIRES)
async def test_the_wire_of_each_library(product: Product, library: str):
    starter = await product.starter()
    await starter.campaign("welcome", trigger={"type": "event", "event": "Signed Up"}, steps=[{"type": "exit"}])
    path, body, headers = WIRES[library]
    answer = await post(starter, path, body, **headers)
    assert answer.status_code == 200, answer.text
    result = answer.json()["results"][0] if "batch" in body else answer.json()
    assert [decision["outcome"] for decision in result["decisions"]] == ["entered"]
    if "origin" in headers:
        assert answer.headers["access-control-allow-origin"] == "*"
    wrong = await post(starter, path, {**body, "writeKey": "another"}, **{**headers, "authorization": ""})
    assert wrong.status_code == 401
    without = {name: value for name, value in headers.items() if name != "authorization"}
    assert (await post(starter, path, {**body, "writeKey": "another"}, **without)).status_code == 401
    assert (
        await post(starter, path, {name: body[name] for name in body if name != "writeKey"}, **without)
    ).status_code == 401


async def test_pages_of_other_sites_may_ask(product: Product):
    starter = await product.starter()
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}  # fmt: skip
    async with httpx2.AsyncClient() as browser:
        allowed = await browser.options(f"{starter.url}/v1/identify", headers=asked)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "*")
        # The management API is for no page of another site.
        refused = await browser.options(f"{starter.url}/v1/campaigns", headers=asked)
        assert "access-control-allow-origin" not in refused.headers


async def kept(starter: Starter, message_id: str) -> Any:
    async with starter.parts.database.read() as connection:
        statement = select(Event.customer_id, Event.timestamp, Event.received_at).where(Event.message_id == message_id)
        return (await connection.execute(statement)).one()


@pytest.mark.parametrize("place", ["batch", "call"])
async def test_a_clock_that_is_wrong_is_set_right(product: Product, place: str):
    """The device believes that it is last year; it happened ten minutes before it was sent."""
    starter = await product.starter()
    wrong = datetime.now(UTC) - timedelta(days=365)
    call = {**CALL, "timestamp": (wrong - timedelta(minutes=10)).isoformat()}
    sent = {"sentAt": wrong.isoformat()}
    body = {"batch": [call], **sent} if place == "batch" else {**call, **sent}
    answer = await post(starter, "/v1/batch" if place == "batch" else "/v1/track", body, authorization=BASIC)
    assert answer.status_code == 200, answer.text
    row = await kept(starter, "m-1")
    assert row.received_at - row.timestamp == timedelta(minutes=10)


async def test_what_is_no_clock_harms_nobody(product: Product):
    starter = await product.starter()
    calls = [
        {**CALL, "messageId": "m-1", "timestamp": "9999-12-31T23:59:59Z", "sentAt": "0001-01-01T00:00:00Z"},
        {**CALL, "messageId": "m-2", "sentAt": "yesterday"},
        {**CALL, "messageId": "m-3", "userId": 7, "anonymousId": 8},
        {**CALL, "messageId": 9, "userId": True},
        {**CALL, "messageId": "m-5", "properties": {"a": json.loads("[" * 600 + "]" * 600)}},
        {**CALL, "messageId": "m-6", "properties": {"a": "x" * 40_000}},
        "no call",
    ]
    answer = await post(starter, "/v1/batch", {"batch": calls}, authorization=BASIC)
    results = answer.json()["results"]
    assert [result["success"] for result in results] == [True, False, True, False, False, False, False]
    assert "nests deeper" in results[4]["error"]["detail"]
    assert (await kept(starter, "m-3")).customer_id == "7"
