"""Who is suppressed and why, and lifting it."""

import pytest

from campaigns.models.store.queries import suppressions
from campaigns.models.values import utc_now
from tests.support.product import Product, Starter


@pytest.fixture
async def starter(product: Product) -> Starter:
    starter = await product.starter()
    signing = starter.parts.signing
    async with starter.parts.database.write() as connection:
        for channel, address, reason in (
            ("email", "ann@example.com", "complained"), ("email", "bob@example.com", "bounced"), ("sms", "+12025550123", "twilio 30005"),
        ):  # fmt: skip
            await suppressions.add(connection, channel, signing.address_hash(channel, address), reason, utc_now())
    return starter


async def reasons(starter: Starter, query: str) -> list[tuple[str, str]]:
    found = (await starter.call("GET", f"/v1/suppressions{query}"))["suppressions"]
    return [(one["channel"], one["reason"]) for one in found]


async def test_suppressions_are_seen_and_lifted(starter: Starter):
    assert len(await reasons(starter, "")) == 3
    assert await reasons(starter, "?address=Ann@Example.com") == [("email", "complained")]
    assert await reasons(starter, "?address=%2B1 202-555-0123") == [("sms", "twilio 30005")]
    assert await reasons(starter, "?address=cid@example.com") == []
    (ann,) = (await starter.call("GET", "/v1/suppressions?address=ann@example.com"))["suppressions"]
    await starter.call("DELETE", f"/v1/suppressions/{ann['id']}", status=204)
    await starter.call("DELETE", f"/v1/suppressions/{ann['id']}", status=404)
    assert await reasons(starter, "?address=ann@example.com") == []
    assert len(await reasons(starter, "")) == 2


async def test_pages_of_suppressions(starter: Starter):
    seen, cursor = [], ""
    while cursor is not None:
        page = await starter.call("GET", f"/v1/suppressions?limit=2{cursor and '&cursor=' + cursor}")
        seen += page["suppressions"]
        cursor = page["next"]
    assert len({one["id"] for one in seen}) == len(seen) == 3


@pytest.mark.parametrize("path", ["/v1/suppressions/none", "/v1/suppressions/email.none", "/v1/suppressions/."])
async def test_none_such(starter: Starter, path: str):
    assert (await starter.api.delete(path)).status_code in (404, 405)
