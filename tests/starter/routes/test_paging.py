"""Every list is read whole in parts, whatever their size, and a cursor that is made up is refused."""

from typing import Any

import pytest

from tests.support.product import Product, Starter

LISTS = {
    "customers/ann/segments": "changes", "customers/ann/decisions": "decisions", "topics": "topics", "segments": "segments",
    "campaigns": "campaigns", "segments/s0/members": "members", "campaigns/c0/entries": "entries", "entries?customer=ann": "entries",
}  # fmt: skip


@pytest.fixture
async def starter(product: Product) -> Starter:
    starter = await product.starter()
    await starter.customer("ann")
    for number in range(5):
        await starter.call("PUT", f"/v1/topics/t{number}", {"name": "T"})
        await starter.call("PUT", f"/v1/segments/s{number}", {"name": "S"})
        trigger = {"type": "segment", "segments": [f"s{number}"]}
        await starter.campaign(f"c{number}", trigger=trigger, steps=[{"type": "delay", "for": "P1D"}])
        await starter.call("POST", f"/v1/segments/s{number}/members", {"customer_ids": ["ann"]})
        await starter.customer(f"bob{number}")
        await starter.call("POST", "/v1/segments/s0/members", {"customer_ids": [f"bob{number}"]})
    return starter


async def read(starter: Starter, path: str, name: str, limit: int) -> list[Any]:
    rows, cursor = [], ""
    while cursor is not None:
        query = f"{'&' if '?' in path else '?'}limit={limit}{cursor and '&cursor=' + cursor}"
        page = await starter.call("GET", f"/v1/{path}{query}")
        assert len(page[name]) <= limit
        rows, cursor = rows + page[name], page["next"]
    return rows


async def test_lists_are_read_whole_in_parts(starter: Starter):
    for path, name in LISTS.items():
        whole = await read(starter, path, name, 1000)
        assert len(whole) >= 5, path
        for limit in (1, 2, 5):
            assert await read(starter, path, name, limit) == whole, (path, limit)


@pytest.mark.parametrize("cursor", ["x", "W10", "bnVsbA", "IjAi", "NS41", "W10x", "e30", "%00", "WyJhIiwiYiIsImMiXQ"])
async def test_made_up_cursors_are_refused(starter: Starter, cursor: str):
    for path in LISTS:
        answer = await starter.api.get(f"/v1/{path}{'&' if '?' in path else '?'}cursor={cursor}")
        assert answer.status_code in (200, 400), (path, answer.text)
        if answer.status_code == 400:
            assert [error["field"] for error in answer.json()["errors"]] == ["cursor"], path
