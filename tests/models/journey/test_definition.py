"""Definitions: what is taken, and where the error stands in what is not."""

import pytest

from campaigns.models.journey.definition import parse_definition
from campaigns.models.problems import Invalid

GOOD = {
    "key": "cart-recovery",
    "name": "Cart recovery",
    "trigger": {"type": "event", "event": "Cart Abandoned"},
    "steps": [{"type": "email", "subject": "Hello", "text": "Hello"}],
}
WHOLE = {
    **GOOD,
    "description": "…",
    "trigger": {"type": "event", "event": "Cart Abandoned", "where": {"property": "total", "op": "at_least", "value": 1}},
    "frequency": {"type": "interval", "every": "P7D", "while_member": False},
    "frequency_cap": "P30D",
    "priority": 0,
    "starts_at": "2026-01-01T00:00:00+02:00",
    "ends_at": "2027-01-01T00:00:00Z",
    "entry_key": "properties.order_id",
    "goal": {"event": "Order Completed", "where": {"property": "a", "op": "exists"}, "within": "P14D", "exit": True},
    "exit_on_leave": False,
    "holdout_percent": 5,
    "quiet_hours": {"from": "22:00", "to": "08:00"},
    "timezone": "Europe/Athens",
    "steps": [
        {"id": "mail", "type": "email", "subject": "a", "html": "b", "text": "c", "from": "Shop <s@example.com>",
         "reply_to": "r@example.com", "category": "transactional", "on_failure": "exit", "expires_after": "PT1H"},
        {"type": "sms", "body": "x"}, {"type": "whatsapp", "template": "t"}, {"type": "push", "title": "t", "body": "b"},
        {"type": "webhook", "url": "https://example.com", "method": "PUT", "headers": {"a": "b"}, "body": {"c": 1},
         "save_as": "d"},
        {"type": "delay", "for": "PT0S"}, {"type": "delay", "until": {"time": "09:00", "weekdays": ["mon"]}},
        {"type": "delay", "until": {"attribute": "renews_on", "offset": "-P3D", "time": "09:00"}},
        {"type": "wait", "for": [{"name": "a", "event": "A", "steps": [{"type": "exit", "reason": "x"}]}],
         "timeout": "P2D", "on_timeout": [{"type": "update", "attributes": {"a": [1]}}], "since": "step"},
        {"type": "branch", "branches": [{"name": "a", "when": {"step": "mail", "status": "sent"}, "steps": []}],
         "otherwise": [{"type": "exit"}]},
        {"type": "split", "variants": [{"name": "a", "weight": 1, "steps": []}, {"name": "b", "weight": 0}]},
    ],
}  # fmt: skip


def test_all_fields_of_the_product_are_taken():
    campaign = parse_definition(WHOLE)
    assert [step.id for step in campaign.all_steps] == [
        "mail", "sms-2", "whatsapp-3", "push-4", "webhook-5", "delay-6", "delay-7", "delay-8", "wait-9",
        "exit-9-a-1", "update-9-timeout-1", "branch-10", "exit-10-otherwise-1", "split-11",
    ]  # fmt: skip
    assert parse_definition(campaign.to_json()) == campaign


def test_defaults():
    campaign = parse_definition({**GOOD, "goal": {"event": "X"}})
    assert campaign.frequency.type == "once"
    assert campaign.goal is not None
    assert campaign.goal.exit
    assert (campaign.frequency_cap, campaign.priority, campaign.ends_at, campaign.quiet_hours) == (None,) * 4


def steps(*listed):
    return {"steps": list(listed)}


EMAIL = {"type": "email", "subject": "Hello", "text": "Hello"}
WAIT = {"type": "wait", "for": [{"name": "a", "event": "A"}], "timeout": "PT1S"}
BAD = [
    ({"key": "a b"}, "key"),
    ({"key": 5}, "key"),
    ({"name": None}, "name"),
    ({"name": "a\u0007"}, "name"),
    ({"colour": "red"}, "colour"),
    ({"trigger": {"type": "event"}}, "trigger.event"),
    ({"trigger": {"type": "event", "event": 5}}, "trigger.event"),
    ({"trigger": {"type": "segment", "segments": []}}, "trigger.segments"),
    ({"trigger": {"type": "segment", "segments": ["a", 5]}}, "trigger.segments[1]"),
    ({"trigger": {"type": "moon"}}, "trigger"),
    ({"trigger": {"type": "event", "event": "x", "where": {"attribute": "a", "op": "zz"}}}, "trigger.where.op"),
    ({"trigger": {"type": "event", "event": "x", "where": {"all": [{"not": {"foo": 1}}]}}}, "trigger.where.all[0].not"),
    ({"frequency": {"type": "interval"}}, "frequency.every"),
    ({"frequency": {"type": "interval", "every": "PT0S"}}, "frequency.every"),
    ({"frequency_cap": "30 days"}, "frequency_cap"),
    ({"frequency_cap": 30}, "frequency_cap"),
    ({"frequency_cap": "-P1D"}, "frequency_cap"),
    ({"priority": -1}, "priority"),
    ({"priority": "0"}, "priority"),
    ({"priority": True}, "priority"),
    ({"starts_at": "2026-01-01T00:00:00"}, "starts_at"),
    ({"starts_at": 1767225600}, "starts_at"),
    ({"starts_at": "2026-01-02T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z"}, "ends_at"),
    ({"entry_key": "order_id"}, "entry_key"),
    ({"goal": {"event": "x", "within": "P1Y"}}, "goal.within"),
    ({"exit_on_leave": True}, "exit_on_leave"),
    ({"exit_on_leave": 1}, "exit_on_leave"),
    ({"holdout_percent": 101}, "holdout_percent"),
    ({"quiet_hours": {"from": "22:00", "to": "24:00"}}, "quiet_hours.to"),
    ({"timezone": "Mars/Olympus"}, "timezone"),
    ({"steps": []}, "steps"),
    ({"steps": None}, "steps"),
    ({"steps": {"type": "exit"}}, "steps"),
    ({"workflow": "CartRecovery"}, "steps"),
    (steps({"type": "fly"}), "steps[0]"),
    (steps("email"), "steps[0]"),
    (steps({"type": "email", "subject": "Hello"}), "steps[0].html"),
    (steps({"type": "email", "text": "Hello"}), "steps[0].subject"),
    (steps({**EMAIL, "template": "a"}), "steps[0].subject"),
    (steps({**EMAIL, "subject": "a\nBcc: b@example.com"}), "steps[0].subject"),
    (steps({**EMAIL, "from": "nobody"}), "steps[0].from"),
    (steps({**EMAIL, "next": "other"}), "steps[0].next"),
    (steps({"type": "sms"}), "steps[0].body"),
    (steps({"type": "delay"}), "steps[0].for"),
    (steps({"type": "delay", "for": "PT1S", "until": {"time": "09:00"}}), "steps[0].for"),
    (steps({"type": "delay", "until": {"time": "9:00"}}), "steps[0].until.time"),
    (steps({"type": "wait", "timeout": "PT1S"}), "steps[0].for"),
    (steps({**WAIT, "timeout": "PT0S"}), "steps[0].timeout"),
    (steps({**WAIT, "for": [*WAIT["for"], *WAIT["for"]]}), "steps[0].for[1].name"),
    (steps({**WAIT, "for": [{"name": "timeout", "event": "A"}]}), "steps[0].for[0].name"),
    (
        steps({**WAIT, "for": [{"name": "a", "event": "A", "steps": [{"type": "sms"}]}]}),
        "steps[0].for[0].steps[0].body",
    ),
    (steps({**WAIT, "on_timeout": [{"type": "fly"}]}), "steps[0].on_timeout[0]"),
    (steps({"type": "branch", "branches": [{"name": "a"}]}), "steps[0].branches[0].when"),
    (steps({"type": "branch", "branches": []}), "steps[0].branches"),
    (steps({"type": "split", "variants": [{"name": "a", "weight": 0}]}), "steps[0].variants"),
    (steps({"type": "update", "attributes": {}}), "steps[0].attributes"),
    (steps({"id": "a", **EMAIL}, {"id": "a", **EMAIL}), "steps[1].id"),
    (
        steps({"type": "branch", "branches": [{"name": "a", "when": {"step": "later", "status": "sent"}}]}, EMAIL),
        "steps[0].branches[0].when",
    ),
]


@pytest.mark.parametrize(("change", "field"), BAD, ids=[str(change)[:80] for change, _ in BAD])
def test_refused_with_the_field(change: dict, field: str):
    with pytest.raises(Invalid) as caught:
        parse_definition({**GOOD, **change})
    assert field in [error.field for error in caught.value.errors], caught.value.errors


@pytest.mark.parametrize("raw", [None, [], "x", 5, {}])
def test_no_definition_at_all(raw: object):
    with pytest.raises(Invalid):
        parse_definition(raw)


def test_blocks_that_nest_without_end():
    block: dict = {"type": "exit"}
    for _ in range(200):
        block = {**WAIT, "for": [{"name": "a", "event": "A", "steps": [block]}]}
    with pytest.raises(Invalid, match="nests deeper"):
        parse_definition({**GOOD, "steps": [block]})
