"""Texts go out as they look: Liquid with MJML, blanks, zones, money, objects, what Outlook reads; and what is refused."""

from typing import Any

import pytest

from campaigns.activities.content.rendering import Part, check, render

MJML = "<mjml><mj-body>{}</mj-body></mjml>"
SECTION = "<mj-section><mj-column>{}</mj-column></mj-section>"
ANN = {"customer": {"name": "Ann <3", "timezone": "Europe/Athens", "locale": "de-DE", "tags": ["a", {"b": 1}]}}


async def rendered(source: str, variables: dict[str, Any] | None = None, *, html: bool = False) -> str:
    return (await render({"part": Part(source, html)}, ANN if variables is None else variables)).parts["part"]


async def mjml(body: str, **event: Any) -> str:
    source = MJML.format(body)
    assert check({"html": Part(source, html=True)}).errors == {}
    return await rendered(source, {**ANN, "event": event}, html=True)


async def test_liquid_around_sections():
    vip = "{% if event.vip %}" + SECTION.format("<mj-text>For VIPs</mj-text>") + "{% endif %}"
    body = SECTION.format("<mj-text>For all</mj-text>") + vip
    assert "For VIPs" in await mjml(body, vip=True)
    assert "For VIPs" not in await mjml(body, vip=False)
    assert "For all" in await mjml(body)


async def test_liquid_around_columns_and_in_attributes():
    two = "{% for item in event.items %}<mj-column><mj-text>{{ item }}</mj-text></mj-column>{% endfor %}"
    made = await mjml(f"<mj-section>{two}</mj-section>", items=["cup", "bowl"])
    assert ("cup" in made, "bowl" in made) == (True, True)
    assert "mj-column-per-50" in made
    assert "mj-column-per-100" in await mjml(f"<mj-section>{two}</mj-section>", items=["cup"])
    button = '<mj-button href="{{ event["url"] }}">go</mj-button>'
    assert 'href="https://x.example/?a=1&amp;b=2"' in await mjml(
        SECTION.format(button), url="https://x.example/?a=1&b=2"
    )


async def test_comparisons_in_texts_of_mjml():
    text = "<mj-text>{% if event.total > 5 and event.total < 9 %}some{% else %}{{ 'a>b' }}{% endif %}</mj-text>"
    assert ">some<" in await mjml(SECTION.format(text), total=7)
    assert "a&gt;b" in await mjml(SECTION.format(text), total=1)


async def test_values_are_no_mjml():
    section = "<mj-text>{% if true %}{{ event.name }}{% endif %}</mj-text>"
    made = await mjml(SECTION.format(section), name="</mj-text><mj-text>b")
    assert "&lt;/mj-text&gt;" in made


def test_mjml_that_is_none():
    errors = check({"html": Part(MJML.format("{% if a %}<mj-foo/>{% endif %}"), html=True)}).errors
    assert errors["html"].startswith("is not MJML")
    either = MJML.format(SECTION.format("{% if a %}<mj-text color='red'>{% else %}<mj-text>{% endif %}x</mj-text>"))
    assert check({"html": Part(either, html=True)}).errors == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ a | nothing }}", "there is no filter 'nothing'"),
        ("{% if a %}{% for b in c %}{{ b | up: 1 }}{% endfor %}{% endif %}", "there is no filter 'up'"),
        ("{% assign a = b | lower %}", "there is no filter 'lower'"),
        ("{{ a | money }}", "the filter 'money': missing a required argument: 'currency'"),
        ("{{ a | truncate: 1, 2, 3 }}", "the filter 'truncate': too many positional arguments"),
        ("{{ a | upcase: 1 }}", "the filter 'upcase': too many positional arguments"),
        ("{{ a | default: 'b', allow: true }}", "the filter 'default': got an unexpected keyword argument 'allow'"),
    ],
)
def test_filters_that_cannot_be_applied_are_refused(source: str, expected: str):
    assert check({"text": Part(source)}).errors == {"text": expected}


def test_filters_that_can():
    source = (
        "{{ a | default: 'b', allow_false: true }}{{ a | date: '%Y' }}{{ a | where: 'b', 'c' | map: 'd' | join }}"
        "{{ a | money: 'EUR' }}{{ a | in_zone: customer.timezone | date: '%H' }}{{ a | slice: 1, 2 | escape }}"
    )
    assert check({"text": Part(source)}).errors == {}


@pytest.mark.parametrize(
    ("value", "blank"),
    [
        ("", True),
        (" ", True),
        ([], True),
        ({}, True),
        (False, True),
        (None, True),
        ("x", False),
        (0, False),
        ([1], False),
    ],
)
async def test_blank(value: Any, blank: bool):
    source = (
        "{% if a == blank %}blank{% endif %}{% if blank != a %}not{% endif %}{% case a %}{% when blank %}!{% endcase %}"
    )
    made = await render({"part": Part(source)}, {"a": value})
    assert made.parts["part"] == ("blank!" if blank else "not")
    assert made.missing == []


async def test_a_guard_against_a_missing_value_is_no_use_of_it():
    source = "{% if customer.city != blank %}{{ customer.city }}{% else %}here{% endif %}"
    made = await render({"part": Part(source)}, {"customer": {}})
    assert (made.parts["part"], made.missing) == ("here", [])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ '2027-06-10T22:30:00Z' | in_zone: customer.timezone | date: '%Y-%m-%d %H:%M' }}", "2027-06-11 01:30"),
        ("{{ '2027-01-10T22:30' | in_zone: 'America/New_York' | date: '%H:%M %Z' }}", "17:30 EST"),
        ("{{ 1812666600 | in_zone: 'Mars/Base' | date: '%H:%M' }}", "22:30"),
        ("{{ 'soon' | in_zone: customer.timezone }}", "soon"),
        ("{{ '2027-06-10T22:30:00Z' | in_zone: customer.none | date: '%H' }}", "22"),
        ("{{ '2027-06-10T22:30:00Z' | in_zone: '../etc' | date: '%H' }}", "22"),
        ("{{ 'now' | in_zone: 'UTC' | date: '%Y' | size }}", "4"),
    ],
)
async def test_times_in_a_zone(source: str, expected: str):
    assert await rendered(source) == expected


@pytest.mark.parametrize(
    ("locale", "source", "expected"),
    [
        ("en-US", "{{ 1234.5 | money: 'USD' }}", "$1,234.50"),
        ("de-DE", "{{ 1234.5 | money: 'EUR' }}", "1.234,50\u00a0€"),
        ("de_AT", "{{ '9.99' | money: 'EUR' }}", "€\u00a09,99"),
        ("ja", "{{ 500 | money: 'JPY' }}", "￥500"),
        ("xx-YY", "{{ 5 | money: 'EUR' }}", "€5.00"),
        ("??", "{{ 5 | money: 'EUR' }}", "€5.00"),
        (None, "{{ 5 | money: 'EUR' }}", "€5.00"),
        ("en", "{{ 'free' | money: 'EUR' }}", "free"),
        ("en", "{{ customer.none | money: 'EUR' | default: 'free' }}", "free"),
    ],
)
async def test_money(locale: str | None, source: str, expected: str):
    assert await rendered(source, {"customer": {"locale": locale}}) == expected


async def test_objects_are_json():
    assert await rendered("{{ customer.tags }} {{ event }}", {**ANN, "event": {"a": [1, None, {"b": True}]}}) == (
        'a{"b":1} {"a":[1,null,{"b":true}]}'
    )
    assert await rendered("{{ event }}", {"event": {"a": "<"}}, html=True) == "{&#34;a&#34;:&#34;&lt;&#34;}"


@pytest.mark.parametrize(
    "outlook",
    [
        "<![if !mso]><p>a</p><![endif]>",
        "<!--[if mso]><table><tr><td><![endif]--><p>a</p><!--[if mso]></td></tr></table><![endif]-->",
        "<!--[if !mso]><!--><p>a</p><!--<![endif]-->",
    ],
)
async def test_what_outlook_reads_stays(outlook: str):
    made = await rendered("<style>p { color: red }</style>" + outlook, html=True)
    for mark in outlook.replace("<p>a</p>", "\0").split("\0"):
        assert mark in made
    assert '<p style="color: red;">a</p>' in made
