"""The grammar of conditions, and what each means."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from campaigns.models.journey.conditions import Condition, Facts, PastEvent, holds, needs

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADAPTER = TypeAdapter(Condition)
FACTS = Facts(
    now=NOW,
    attributes={
        "plan": "pro", "age": 40, "vip": True, "tags": ["a", 1], "address": {"city": "Athens"}, "a.b": "dotted",
        "nothing": None, "born": "1986-05-01", "renews": "2026-04-01T00:00:00+02:00",
        "seconds": 1_767_225_600, "milliseconds": 1_767_225_600_000, "brackets[]": "dotted",
        "pets": [{"name": "Rex", "age": 3}, {"name": None}, "fish", {"name": "Tom", "toys": [{"color": "red"}]}],
    },
    properties={"total": 50, "order_id": "o-1"},
    trigger={"order_id": "o-1", "limit": 50},
    segments=frozenset({"vip"}),
    events=(
        PastEvent("Order Completed", {"total": 80}, NOW - timedelta(days=10)),
        PastEvent("Order Completed", {"total": 20}, NOW - timedelta(days=40)),
    ),
    steps={"welcome": frozenset({"sent"})},
)  # fmt: skip


def attribute(name, op, *value):
    return {"attribute": name, "op": op, **({"value": value[0]} if value else {})}


def orders(**more):
    return {"event": "Order Completed", **more}


TRUE = [
    attribute("plan", "equals", "pro"),
    attribute("plan", "not_equals", "free"),
    attribute("missing", "not_equals", "free"),
    attribute("nothing", "not_exists"),
    attribute("missing", "not_exists"),
    attribute("age", "exists"),
    attribute("age", "greater_than", 39),
    attribute("age", "at_least", 40),
    attribute("age", "at_most", 40.0),
    attribute("age", "less_than", 41),
    attribute("plan", "starts_with", "pr"),
    attribute("plan", "contains", "ro"),
    attribute("tags", "contains", 1),
    attribute("plan", "in", ["free", "pro"]),
    attribute("address.city", "equals", "Athens"),
    attribute("a.b", "equals", "dotted"),
    attribute("born", "before", "1990-01-01"),
    attribute("renews", "after", "2026-03-31T21:59:59Z"),
    attribute("vip", "equals", True),
    {"property": "total", "op": "at_least", "value": {"trigger": "limit"}},
    {"property": "order_id", "op": "equals", "value": {"trigger": "order_id"}},
    {"segment": "vip"},
    {"not": {"segment": "other"}},
    {"all": [{"segment": "vip"}, attribute("age", "exists")]},
    {"any": [{"segment": "other"}, attribute("age", "exists")]},
    orders(),
    orders(count={"op": "equals", "value": 2}),
    orders(within="P10D"),
    orders(within="P30D", count={"op": "less_than", "value": 2}),
    orders(where={"property": "total", "op": "greater_than", "value": 50}, count={"op": "equals", "value": 1}),
    {"event": "Never", "count": {"op": "equals", "value": 0}},
    {"step": "welcome", "status": "sent"},
    # Any item of a list; what denies holds where none is so.
    attribute("pets[].name", "equals", "Tom"),
    attribute("pets[].age", "less_than", 4),
    attribute("pets[].toys[].color", "in", ["blue", "red"]),
    attribute("pets[].name", "not_equals", "Bello"),
    attribute("pets[].weight", "not_exists"),
    attribute("tags[]", "equals", "a"),
    attribute("brackets[]", "equals", "dotted"),
    # Unix time, in seconds and milliseconds: 2026-01-01T00:00:00Z.
    attribute("seconds", "before", "2026-01-01T00:00:01Z"),
    attribute("milliseconds", "after", "2025-12-31"),
    attribute("seconds", "before", 1_767_225_600_001),
]
FALSE = [
    attribute("missing", "equals", None),
    attribute("missing", "equals", "x"),
    attribute("age", "equals", "40"),
    attribute("vip", "equals", 1),
    attribute("age", "greater_than", "39"),
    attribute("plan", "greater_than", 3),
    attribute("plan", "before", "2026-01-01"),
    attribute("tags", "contains", True),
    attribute("address.city.street", "exists"),
    attribute("plan", "equals", {"attribute": "missing"}),
    attribute("plan", "in", {"attribute": "age"}),
    orders(within="P9D"),
    {"step": "welcome", "status": "opened"},
    {"step": "other", "status": "sent"},
    attribute("pets[].name", "not_equals", "Tom"),
    attribute("pets[].weight", "exists"),
    attribute("pets[]", "equals", "Rex"),
    attribute("plan[].name", "exists"),
    attribute("missing[]", "equals", "x"),
    attribute("age", "after", "1970-01-01"),
    attribute("vip", "after", "1970-01-01"),
    attribute("seconds", "after", "2026-01-01"),
]


@pytest.mark.parametrize("raw", TRUE, ids=str)
def test_holds(raw: dict):
    assert holds(ADAPTER.validate_python(raw), FACTS)


@pytest.mark.parametrize("raw", FALSE, ids=str)
def test_does_not_hold(raw: dict):
    assert not holds(ADAPTER.validate_python(raw), FACTS)


@pytest.mark.parametrize(
    "raw",
    [
        {}, {"all": []}, {"attribute": "a"}, {"attribute": "a", "op": "like", "value": 1}, attribute("a", "exists", 1),
        attribute("a", "equals"), attribute("a", "in", "abc"), {"segment": "a b"}, orders(within="P1M"),
        orders(count={"op": "contains", "value": 1}), {"segment": "vip", "extra": 1}, "vip", None, 5, [],
    ],
    ids=str,
)  # fmt: skip
def test_refused(raw: object):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(raw)


def test_needs_names_all_that_is_asked_for():
    raw = {"any": [{"segment": "a"}, {"not": orders(where={"segment": "b"})}, {"step": "welcome", "status": "sent"}]}
    found = needs([ADAPTER.validate_python(raw), None])
    assert found.segments == {"a", "b"}
    assert found.events == {"Order Completed"}
    assert found.steps == {"welcome"}
