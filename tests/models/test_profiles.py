"""One rule says what given attributes make of a customer."""

import pytest

from campaigns.models.profiles import change

BEFORE = {"plan": "free", "n": 1, "address": {"city": "Bonn", "zip": "53111"}}


@pytest.mark.parametrize(
    ("given", "after", "changed"),
    [
        ({}, BEFORE, set()),
        ({"plan": "free"}, BEFORE, set()),
        ({"plan": "pro"}, {**BEFORE, "plan": "pro"}, {"plan"}),
        ({"new": [1]}, {**BEFORE, "new": [1]}, {"new"}),
        ({"plan": None}, {"n": 1, "address": BEFORE["address"]}, {"plan"}),
        ({"unknown": None}, BEFORE, set()),
        ({"address": {"city": "Bonn"}}, {**BEFORE, "address": {"city": "Bonn"}}, {"address"}),
        ({"address": {"zip": "53111", "city": "Bonn"}}, BEFORE, set()),
        ({"n": True}, {**BEFORE, "n": True}, {"n"}),
        ({"id": "bob", "plan": "pro"}, {**BEFORE, "plan": "pro"}, {"plan"}),
    ],
)
def test_a_profile_change(given: dict, after: dict, changed: set[str]):
    made = change(BEFORE, given)
    assert made.attributes == after
    assert [type(value) for value in made.attributes.values()] == [type(value) for value in after.values()]
    assert made.changed == changed


def test_what_is_null_already_goes_and_is_no_change():
    made = change({"plan": None, "n": 1}, {"plan": None})
    assert (made.attributes, made.changed) == ({"n": 1}, frozenset())
