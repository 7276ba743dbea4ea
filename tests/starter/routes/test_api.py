"""The management and ingestion API over real HTTP: what it takes, what it refuses and how it says so."""

import asyncio
import json
import re

import pytest

from tests.support.product import WRITE_KEY, Product, Starter

STEPS = [{"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}]
CAMPAIGN = {"key": "c", "name": "C", "trigger": {"type": "event", "event": "E"}, "steps": STEPS}


@pytest.fixture
async def starter(product: Product) -> Starter:
    return await product.starter()


def fields(answer) -> list[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    return [error["field"] for error in problem.get("errors", [])]


# What is refused does not come to the database, so one kind is enough.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

DEEP = b'{"a":' * 500 + b"1" + b"}" * 500
REFUSED = [
    ("POST", "/v1/campaigns", b"{", 400, "body"),
    ("POST", "/v1/campaigns", b"", 400, "body"),
    ("POST", "/v1/campaigns", b"\xff", 400, "body"),
    ("POST", "/v1/campaigns", b"[]", 400, "body"),
    ("POST", "/v1/campaigns", DEEP, 400, None),
    ("POST", "/v1/campaigns", b"x" * 10_000_000, 413, "body"),
    ("PUT", "/v1/segments/a%20b", b'{"name":"a"}', 400, "key"),
    ("PUT", "/v1/segments/a", b'{"name":5}', 400, "name"),
    ("PUT", "/v1/segments/a", b'{"name":"a","active":"yes"}', 400, "active"),
    ("PUT", "/v1/segments/a", b'{"name":"a","colour":1}', 400, "colour"),
    ("POST", "/v1/segments/none/members", b'{"customer_ids":["a"]}', 404, None),
    ("POST", "/v1/segments/vip/members", b'{"customer_ids":["ann","nobody"]}', 400, "customer_ids[1]"),
    ("POST", "/v1/segments/vip/members", b'{"customer_ids":"ann"}', 400, "customer_ids"),
    ("POST", "/v1/segments/vip/members", b'{"customer_ids":[]}', 400, "customer_ids"),
    ("PUT", "/v1/customers/a", b"[1]", 400, "body"),
    ("PUT", "/v1/customers/a", b'{"id":"b"}', 400, "id"),
    ("PUT", "/v1/customers/a", b'{"email":5}', 400, "email"),
    ("PUT", "/v1/customers/a", b'{"email":"nobody"}', 400, "email"),
    ("PUT", "/v1/customers/a", b'{"email":"a@example.com\\nBcc: b@example.com"}', 400, "email"),
    ("PUT", "/v1/customers/a", b'{"name":"a\\u0000"}', 400, "name"),
    ("PUT", "/v1/customers/a", b'{"n":NaN}', 400, "body"),
    ("PUT", "/v1/customers/a", b'{"n":1e999}', 400, None),
    ("PUT", "/v1/customers/a%07", b"{}", 400, "id"),
    ("PUT", "/v1/customers/a%00", b"{}", 400, "path"),
    ("PUT", "/v1/customers/" + "a" * 256, b"{}", 400, "id"),
    ("PUT", "/v1/customers/ann/consents", b'{"channel":"pigeon","status":"subscribed","source":"x"}', 400, "channel"),
    ("PUT", "/v1/customers/nobody/consents", b'{"channel":"sms","status":"subscribed","source":"x"}', 404, None),
    ("GET", "/v1/customers/nobody", b"", 404, None),
    ("DELETE", "/v1/customers/nobody", b"", 404, None),
    ("GET", "/v1/campaigns/none", b"", 404, None),
    ("GET", "/v1/campaigns/none/statistics", b"", 404, None),
    ("GET", "/v1/campaigns?cursor=zzz", b"", 400, "cursor"),
    ("GET", "/v1/campaigns?limit=0", b"", 400, "limit"),
    ("POST", "/v1/campaigns/none/start", b"", 404, None),
    ("POST", "/v1/campaigns/none/fly", b"", 404, None),
    ("GET", "/v1/entries", b"", 400, "customer"),
    ("GET", "/v1/entries/none", b"", 404, None),
    ("POST", "/v1/entries/none/exit", b"", 404, None),
    ("PUT", "/v1/templates/t", b'{"subject":"{{ a"}', 400, "html"),
    ("PUT", "/v1/templates/t", b'{"subject":"{% if %}","text":"a"}', 400, "subject"),
    ("GET", "/v1/nothing", b"", 404, None),
    ("PATCH", "/v1/campaigns", b"", 405, None),
]


@on_sqlite
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    REFUSED,
    ids=[f"{case[0]} {case[1][:40]} {case[2][:40]!r}" for case in REFUSED],
)
async def test_management_refuses(refusing: Starter, method, path, body, status, field):
    answer = await refusing.api.request(method, path, content=body)
    assert answer.status_code == status, answer.text
    assert field is None or field in fields(answer), answer.text
    fields(answer)


@pytest.fixture
async def refusing(starter: Starter) -> Starter:
    await starter.customer("ann")
    await starter.call("PUT", "/v1/segments/vip", {"name": "VIP"})
    return starter


TRACKED = [
    (b"{", 400, "body"),
    (b"[]", 400, "body"),
    (b"{}", 400, "userId"),
    (b'{"userId":"ann"}', 400, "event"),
    (b'{"userId":5.5,"event":"E"}', 400, "userId"),
    (b'{"userId":"","event":"E"}', 400, "userId"),
    (b'{"userId":"a\\u0001","event":"E"}', 400, "userId"),
    (b'{"userId":"ann","event":"E","properties":[]}', 400, "properties"),
    (b'{"userId":"ann","event":"E","properties":{"a":{"b":"\\u0000"}}}', 400, "properties.a.b"),
    (b'{"userId":"ann","event":"E","timestamp":"yesterday"}', 400, "timestamp"),
    (b'{"userId":"ann","event":"E","messageId":[5]}', 400, "messageId"),
    (b'{"userId":"ann","event":"' + b"E" * 40_000 + b'"}', 413, "body"),
]


@on_sqlite
@pytest.mark.parametrize(("body", "status", "field"), TRACKED, ids=[str(case[0][:50]) for case in TRACKED])
async def test_ingestion_refuses(refusing: Starter, body, status, field):
    answer = await refusing.tracking.post("/v1/track", content=body)
    assert answer.status_code == status, answer.text
    assert field in fields(answer)


@on_sqlite
async def test_wrong_keys(refusing: Starter):
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {WRITE_KEY}"}):
        refusing.api.headers.pop("Authorization", None)
        answer = await refusing.api.get("/v1/campaigns", headers=headers)
        assert answer.status_code == 401
        assert fields(answer) == ["Authorization"]
    for auth in (("wrong", ""), ("", WRITE_KEY), None):
        answer = await refusing.api.post("/v1/track", json={"userId": "a", "event": "E"}, auth=auth)
        assert answer.status_code == 401
        assert fields(answer) == ["Authorization"]


@on_sqlite
async def test_a_campaign_is_checked_whole(refusing: Starter):
    wrong = {
        **CAMPAIGN,
        "trigger": {"type": "segment", "segments": ["vip", "none"]},
        "steps": [{"type": "email", "template": "none"}, {"type": "sms", "body": "{{ a"}],
    }
    assert fields(await refusing.api.post("/v1/campaigns", json=wrong)) == ["steps[1].body"]
    wrong["steps"][1] = {"type": "update", "attributes": {"email": 5}}
    assert fields(await refusing.api.post("/v1/campaigns", json=wrong)) == ["steps[1].attributes.email"]
    wrong["steps"].pop()
    answer = await refusing.api.post("/v1/campaigns", json=wrong)
    assert fields(answer) == ["trigger.segments[1]", "steps[0].template"]
    assert (await refusing.call("GET", "/v1/campaigns"))["campaigns"] == []


async def test_the_life_cycle(starter: Starter):
    def status(answer):
        return answer.json().get("status")

    await starter.campaign("c", start=False, trigger={"type": "event", "event": "E"}, steps=STEPS)
    moves = [
        ("pause", 409), ("resume", 409), ("stop", 409), ("start", "live"), ("start", 409), ("resume", 409),
        ("archive", 409), ("pause", "paused"), ("pause", 409), ("start", 409), ("resume", "live"), ("stop", "stopped"),
        ("resume", 409), ("start", 409), ("archive", "archived"), ("start", 409), ("archive", 409),
    ]  # fmt: skip
    for move, expected in moves:
        assert status(await starter.api.post(f"/v1/campaigns/c/{move}")) == expected, move
    assert (await starter.api.put("/v1/campaigns/c", json=CAMPAIGN)).status_code == 409


async def test_versions_and_conflicts(starter: Starter):
    created = await starter.api.post("/v1/campaigns", json=CAMPAIGN)
    assert created.status_code == 201
    assert (await starter.api.post("/v1/campaigns", json=CAMPAIGN)).status_code == 409
    first = created.headers["etag"]
    edited = await starter.api.put("/v1/campaigns/c", json={**CAMPAIGN, "name": "New"}, headers={"If-Match": first})
    assert (edited.status_code, edited.json()["version"], edited.json()["name"]) == (200, 1, "New")
    stale = await starter.api.put("/v1/campaigns/c", json=CAMPAIGN, headers={"If-Match": first})
    assert stale.status_code == 412
    assert fields(stale) == ["If-Match"]
    await starter.call("POST", "/v1/campaigns/c/start")
    sent_back = {**(await starter.call("GET", "/v1/campaigns/c")), "name": "Newer"}
    assert (await starter.call("PUT", "/v1/campaigns/c", sent_back))["version"] == 2
    listed = (await starter.call("GET", "/v1/campaigns"))["campaigns"]
    assert [(one["key"], one["name"], one["version"], one["status"]) for one in listed] == [("c", "Newer", 2, "live")]


async def test_warnings(starter: Starter):
    await starter.call("PUT", "/v1/segments/quiet", {"name": "Quiet", "active": False})
    trigger = {"type": "segment", "segments": ["quiet"]}
    await starter.campaign(
        "c", start=False, trigger=trigger, ends_at="2020-01-01T00:00:00Z", starts_at="2019-01-01T00:00:00Z", steps=STEPS
    )
    started = await starter.call("POST", "/v1/campaigns/c/start")
    assert started["status"] == "live"
    assert [warning.partition(":")[0] for warning in started["warnings"]] == ["trigger.segments", "ends_at"]
    await starter.customer("ann")
    entered = await starter.call("POST", "/v1/segments/quiet/members", {"customer_ids": ["ann"]})
    assert [decision["outcome"] for decision in entered["decisions"]] == ["ended"]


async def test_customers(starter: Starter):
    await starter.call("PUT", "/v1/customers/a%2Fb", {"id": "a/b", "plan": "pro", "age": 3})
    await starter.call("PUT", "/v1/customers/a%2Fb", {"age": None, "email": "a@example.com"})
    found = await starter.call("GET", "/v1/customers/a%2Fb")
    assert found == {
        "id": "a/b", "plan": "pro", "email": "a@example.com", "segments": [], "consents": [], "entries": []
    }  # fmt: skip
    await starter.call(
        "PUT", "/v1/customers/a%2Fb/consents", {"channel": "email", "status": "unsubscribed", "source": "form"}
    )
    (consent,) = (await starter.call("GET", "/v1/customers/a%2Fb"))["consents"]
    assert (consent["channel"], consent["topic"], consent["status"], consent["source"]) == (
        "email",
        None,
        "unsubscribed",
        "form",
    )


async def test_members(starter: Starter):
    await starter.call("PUT", "/v1/segments/vip", {"name": "VIP"})
    for customer in ("ann", "bob", "cid"):
        await starter.customer(customer)
    await starter.call("POST", "/v1/segments/vip/members", {"customer_ids": ["cid", "ann", "bob", "ann"]})
    first = await starter.call("GET", "/v1/segments/vip/members?limit=2")
    assert [member["customer_id"] for member in first["members"]] == ["ann", "bob"]
    second = await starter.call("GET", f"/v1/segments/vip/members?limit=2&cursor={first['next']}")
    assert ([member["customer_id"] for member in second["members"]], second["next"]) == (["cid"], None)
    await starter.call("DELETE", "/v1/segments/vip/members/ann", status=204)
    await starter.call("DELETE", "/v1/segments/vip/members/ann", status=404)
    await starter.call("DELETE", "/v1/segments/vip/members/nobody", status=404)
    await starter.call("GET", "/v1/customers/nobody", status=404)
    assert (await starter.call("GET", "/v1/customers/ann"))["segments"] == []


async def test_templates(starter: Starter):
    await starter.call(
        "PUT", "/v1/templates/t", {"subject": "Hi {{ customer.name }}", "html": "<p>{{ customer.name }}</p>"}
    )
    preview = await starter.call("POST", "/v1/templates/t/preview", {"customer": {"name": "<Ann>"}})
    assert (preview["subject"], preview["html"]) == ("Hi <Ann>", "<p>&lt;Ann&gt;</p>")
    assert (await starter.call("GET", "/v1/templates/t"))["channel"] == "email"
    assert (await starter.call("PUT", "/v1/templates/s", {"body": "Hi"}))["channel"] == "sms"
    assert (await starter.call("PUT", "/v1/templates/p", {"title": "Hi", "body": "Ho"}))["channel"] == "push"
    assert fields(await starter.api.put("/v1/templates/t", json={"channel": "sms", "subject": "a", "text": "b"})) == [
        "subject"
    ]
    answer = await starter.api.post("/v1/campaigns", json={**CAMPAIGN, "steps": [{"type": "sms", "template": "t"}]})
    assert fields(answer) == ["steps[0].template"]
    await starter.call("POST", "/v1/campaigns", {**CAMPAIGN, "steps": [{"type": "sms", "template": "s"}]}, 201)


async def test_a_batch_takes_each_message_alone(starter: Starter):
    await starter.campaign("c", trigger={"type": "event", "event": "E"}, steps=STEPS)
    messages = [
        {"type": "identify", "userId": "ann", "traits": {"plan": "pro"}},
        {"type": "track", "userId": "ann", "event": "E"},
        {"type": "track", "userId": "ann"},
        {"type": "dance", "userId": "ann"},
        "nothing",
        {"type": "track", "anonymousId": "x", "event": "E"},
        {"type": "page", "userId": "ann", "name": "Home"},
        {"type": "track", "userId": "ann", "event": "E", "properties": {"a": "\0"}},
        {"type": "track", "userId": "ann", "event": "E", "properties": {"a": "x" * 33_000}},
    ]
    answer = await starter.tracking.post("/v1/batch", json={"batch": messages})
    results = answer.json()["results"]
    assert [result["success"] for result in results] == [True, True, False, False, False, True, True, False, False]
    assert results[1]["decisions"][0]["outcome"] == "entered"
    assert results[2]["error"]["errors"][0]["field"] == "event"
    assert results[5]["decisions"] == []
    assert results[7]["error"]["errors"][0]["field"] == "properties.a"
    assert results[8]["error"]["status"] == 413
    assert (await starter.call("GET", "/v1/customers/ann"))["plan"] == "pro"
    assert (await starter.tracking.post("/v1/batch", json={"batch": 5})).status_code == 400
    too_many = await starter.tracking.post("/v1/batch", json={"batch": [{}] * 2501})
    assert too_many.status_code == 413


async def test_the_same_message_id_gets_the_first_answer(starter: Starter):
    await starter.campaign("c", trigger={"type": "event", "event": "E"}, frequency={"type": "every_time"}, steps=STEPS)
    first = await starter.track("ann", "E", messageId="m-1")
    assert await starter.track("ann", "E", {"other": 1}, messageId="m-1") == first
    assert (await starter.statistics("c"))["decisions"]["entered"] == 1


async def test_health(starter: Starter):
    for path in ("/healthz", "/readyz", "/openapi.json", "/docs", "/metrics"):
        assert (await starter.api.get(path)).status_code == 200, path
    assert (await starter.api.get("/readyz")).json() == {"status": "ready", "database": True, "temporal": True}
    assert "campaigns_dispatch_owed" in (await starter.api.get("/metrics")).text


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/customers/%00", "path"),
        ("/v1/entries/%00", "path"),
        ("/v1/entries?customer=a%00", "customer"),
        ("/v1/customers/a/decisions?cursor=Ilx1MDAwMCI", "cursor"),
        ("/v1/campaigns?cursor=Ilx1MDAwMCI", "cursor"),
    ],
)
async def test_what_the_database_cannot_hold(starter: Starter, path: str, field: str):
    answer = await starter.api.get(path)
    assert answer.status_code == 400
    assert fields(answer) == [field]


async def test_the_openapi_document_is_whole(starter: Starter):
    document = (await starter.api.get("/openapi.json")).json()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    referred = set(re.findall(r"#/components/schemas/\w+", json.dumps(document)))
    assert referred <= known
    assert {"/v1/track", "/v1/campaigns/{key}", "/v1/entries/{entry_id}"} <= set(document["paths"])


async def test_a_body_that_does_not_come(starter: Starter, monkeypatch: pytest.MonkeyPatch):
    """Whoever opens a request and sends nothing, with a key or without, gives the place back."""
    monkeypatch.setattr("campaigns.starter.http.bodies.BODY_S", 0.2)
    host, port = starter.url.removeprefix("http://").split(":")
    for path in ("/v1/track", "/v1/t", "/v1/batch"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert (await reader.readline()).split()[1] == b"408"
        writer.close()
