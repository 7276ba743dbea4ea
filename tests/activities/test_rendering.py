"""Liquid within limits."""

import pytest

from campaigns.activities.rendering import RenderingError, check_text, render


def test_what_is_missing_is_empty():
    assert render("a{{ customer.b.c }}d", {"customer": {}}) == "ad"
    assert render("{{ customer.name | default: 'friend' }}", {"customer": {}}) == "friend"


def test_values_are_escaped_in_html_only():
    assert render("{{ a }}", {"a": "<b>"}, html=True) == "&lt;b&gt;"
    assert render("{{ a }}", {"a": "<b>"}) == "<b>"


def test_no_python_attribute_is_reached():
    assert render("{{ a.__class__ }}{{ a.format }}", {"a": "x"}) == ""


@pytest.mark.parametrize("text", ["{{", "{% if %}", "{% nothing %}", "{% for a in b %}", "{{ a | nothing }}"])
def test_no_liquid(text: str):
    if "|" in text:
        with pytest.raises(RenderingError):
            render(text, {})
    else:
        with pytest.raises(RenderingError):
            check_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in (1..100000000) %}x{% endfor %}",
        "{% for i in (1..5000) %}{% for j in (1..5000) %}x{% endfor %}{% endfor %}",
        "{% assign a = 'x' %}{% for i in (1..100) %}{% assign a = a | append: a %}{% endfor %}",
        "{{ 1 | divided_by: 0 }}",
        "{{ (1..9000000000) | join: 'x' }}",
        "{{ (1..9000000000) | reverse }}",
        "{% assign a = (1..9000000000) %}{{ a | sort | first }}",
        "{{ 'a' | split: '' | concat: (1..9000000000) }}",
    ],
)
def test_no_text_renders_for_ever(text: str):
    with pytest.raises(RenderingError):
        render(text, {})


def test_filters_still_work():
    assert (
        render("{{ (1..3) | join: '-' }} {{ 'now' | date: '%Y' | size }} {{ a | escape }}", {"a": "<"})
        == "1-2-3 4 &lt;"
    )
