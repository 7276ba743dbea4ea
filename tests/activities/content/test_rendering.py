"""Liquid, MJML and styles, in processes that are killed where they take too long."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from campaigns.activities.content import rendering
from campaigns.activities.content.rendering import Part, Rendered, RenderingError, check, render


async def rendered(source: str, variables: dict[str, Any] | None = None, *, html: bool = False) -> str:
    found = await render({"part": Part(source, html)}, variables or {})
    return found.parts["part"]


async def missing(source: str, **variables: Any) -> list[str]:
    return (await render({"part": Part(source)}, variables)).missing


async def test_what_is_missing_is_empty_and_named():
    found = await render({"part": Part("a{{ customer.b.c }}d{{ x }}")}, {"customer": {}})
    assert found == Rendered({"part": "ad"}, ["customer.b", "x"])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ customer.name | default: 'friend' }}", "friend"),
        ("{{ customer.name | strip | capitalize | default: 'friend' }}", "friend"),
        ("{% if customer.name %}{{ customer.name }}{% else %}friend{% endif %}", "friend"),
        ("{% unless customer.age > 3 %}friend{% endunless %}", "friend"),
        ("{% for one in customer.orders %}{{ one.id }}{% else %}friend{% endfor %}", "friend"),
        ("{% assign name = customer.name | default: 'friend' %}{{ name }}", "friend"),
        ("{% if customer.name == nil %}friend{% endif %}", "friend"),
        ("{{ customer.nothing | default: 'friend' }}", "friend"),
        ("{{ customer.void }}{{ customer.zero }}{{ customer.no }}", "0false"),
    ],
)
async def test_what_a_text_asks_for_is_not_missing(source: str, expected: str):
    found = await render({"part": Part(source)}, {"customer": {"nothing": None, "void": "", "zero": 0, "no": False}})
    assert found == Rendered({"part": expected}, [])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ customer.name | upcase }}", "customer.name"),
        ("{{ 'Hi ' | append: customer.name }}", "customer.name"),
        ("{{ customer.nothing }}", "customer.nothing"),
        ("{{ customer.points | plus: 10 }}", "customer.points"),
        ("{{ customer.renews_on | date: '%Y' }}", "customer.renews_on"),
        ("{% for one in customer.orders %}{{ one.id }}{% endfor %}", "one.id"),
        ("{{ custmer.name }}", "custmer"),
    ],
)
async def test_what_is_written_without_a_value_is_missing(source: str, expected: str):
    assert await missing(source, customer={"nothing": None, "orders": [{}]}) == [expected]


async def test_values_are_escaped_in_html_only():
    assert await rendered("{{ a }}", {"a": "<b>"}, html=True) == "&lt;b&gt;"
    assert await rendered("{{ a }}", {"a": "<b>"}) == "<b>"


async def test_no_python_attribute_is_reached():
    assert await rendered("{{ a.__class__ }}{{ a.format }}", {"a": "x"}) == ""


@pytest.mark.parametrize("text", ["{{", "{% if %}", "{% nothing %}", "{% for a in b %}"])
def test_no_liquid(text: str):
    found = check({"good": Part("{{ customer.name }}{{ steps.stock.left }}"), "bad": Part(text)})
    assert found.errors["bad"].startswith("is not Liquid: ")
    assert list(found.errors) == ["bad"]
    assert found.variables == {"good": {("customer", "name"), ("steps", "stock")}}


async def test_an_unknown_filter():
    with pytest.raises(RenderingError, match=r"part: .*nothing"):
        await rendered("{{ a | nothing }}", {"a": 1})


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
        "{% if " * 5_000 + "{% endif %}" * 5_000,
    ],
)
async def test_limits_refuse_what_would_render_for_ever(text: str):
    with pytest.raises(RenderingError):
        await rendered(text)


SLOW_LIQUID = (
    "{% assign a = 'xxxxxxxxxx' %}{% for i in (1..15) %}{% assign a = a | append: a %}{% endfor %}"
    "{% for i in (1..9000) %}{% assign b = a | replace: 'x', 'y' | split: 'y' | size %}{% endfor %}"
)
SLOW_STYLES = (
    "<style>"
    + "".join(f".a{i} *:not(.b) div:nth-child(2n+1) div {{ color: red }}" for i in range(3_000))
    + "</style>"
    + "<div class=a1>" * 200
    + "x"
    + "</div>" * 200
)
DEEP_HTML = "<div>" * 60_000
DEEP_MJML = "<mjml><mj-body>" + "<mj-section>" * 3_000 + "</mj-section>" * 3_000 + "</mj-body></mjml>"
WIDE_MJML = (
    "<mjml><mj-body>"
    + "<mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section>" * 3_000
    + "</mj-body></mjml>"
)
MUCH = "{% assign a = 'x' %}{% for i in (1..19) %}{% assign a = a | append: a %}{% endfor %}{{ a | replace: 'x', a }}"


@pytest.mark.parametrize(
    "source", [SLOW_LIQUID, SLOW_STYLES, DEEP_HTML, DEEP_MJML, WIDE_MJML, MUCH],
    ids=["liquid", "styles", "html", "deep mjml", "wide mjml", "memory"],
)  # fmt: skip
async def test_hostile_texts_end_and_harm_nobody(source: str):
    # One that were not ended by its own limits would be RenderingUnavailable.
    with suppress(RenderingError):
        found = await render({"html": Part(source, html=True)}, {}, makes_text=True)
        assert len(found.parts["html"]) < 50_000_000
    assert await rendered("Hi {{ name }}", {"name": "Ann"}) == "Hi Ann"
    assert resident_mb() < 1_000


async def test_what_takes_too_long_is_killed_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch):
    slow = SLOW_LIQUID + "of this test"  # nobody has died of it yet
    go_on, deaths = threading.Event(), []
    ask = rendering._Process.ask

    def counted(process: rendering._Process, request: bytes) -> bytes | None:
        if threading.current_thread().name.startswith("rendering-slow"):
            go_on.wait(300)
        answer = ask(process, request)
        if answer is None:
            deaths.append(process)
        return answer

    monkeypatch.setattr(rendering._Process, "ask", counted)
    hostile = [asyncio.ensure_future(rendered(slow)) for _ in range(20)]
    with pytest.raises(RenderingError, match="takes too long"):
        await hostile[0]
    # While those that wait for their turn at a slow text get none at all, others are rendered.
    for number in range(50):
        assert await rendered("{{ n }}", {"n": number}) == str(number)
    assert not all(one.done() for one in hostile)
    go_on.set()
    # After some deaths in a row nobody waits for that text any more, for a while.
    ended = await asyncio.gather(*hostile, return_exceptions=True)
    assert all(isinstance(one, RenderingError) for one in ended)
    assert rendering.HOPELESS <= len(deaths) <= rendering.HOPELESS + rendering.PROCESSES
    before = len(deaths)
    with pytest.raises(RenderingError, match="takes too long"):
        await rendered(slow)
    assert len(deaths) == before


async def test_a_text_that_is_slow_for_one_is_rendered_for_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendering, "REFUSED_S", 0.1)
    text = "{% for i in (1..times) %}{% assign b = a | replace: 'x', 'y' | split: 'y' | size %}{% endfor %}done"
    long = {"a": "x" * 300_000}
    for _ in range(4):
        with pytest.raises(RenderingError, match="takes too long"):
            await rendered(text, {**long, "times": 9_000})
        await asyncio.sleep(0.2)
        assert await rendered(text, {**long, "times": 1}) == "done"


async def test_a_process_that_is_killed_from_outside_is_replaced():
    await asyncio.gather(*(rendered("{{ n }}", {"n": number}) for number in range(8)))
    for _ in range(3):
        killed = own_processes()
        for process in killed:
            os.kill(process, signal.SIGKILL)
        assert [await rendered(f"a{number}") for number in range(4)] == ["a0", "a1", "a2", "a3"]
        assert not set(killed) & set(own_processes())


async def test_one_that_hangs_for_no_fault_of_the_text_fails_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rendering, "ANSWER_S", 0.3)
    await rendered("x")
    stopped = own_processes()
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    assert await rendered("Hi {{ name }}", {"name": "Ann"}) == "Hi Ann"
    for process in stopped:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


async def test_the_process_knows_nothing_and_ends_with_its_parent(tmp_path: Path):
    code = (
        "import asyncio, os, sys, time\n"
        "from campaigns.activities.content.rendering import Part, render\n"
        "asyncio.run(render({'x': Part('x')}, {}))\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "CAMPAIGNS_SECRET_KEY": "s3cret"}, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    (process,) = own_processes(parent.pid)
    assert b"CAMPAIGNS" not in Path(f"/proc/{process}/environ").read_bytes()
    opened = [os.readlink(one) for one in Path(f"/proc/{process}/fd").iterdir()]
    assert all(one.startswith(("/dev/null", "socket:", "pipe:")) for one in opened), opened
    parent.kill()
    parent.wait()
    parent.stdout.close()
    async with asyncio.timeout(60):
        while Path(f"/proc/{process}").exists() and "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2]:
            await asyncio.sleep(0.05)


async def test_what_is_no_json_is_said():
    with pytest.raises(RenderingError):
        await rendered("{{ a }}", {"a": "\ud800"})


async def test_filters_still_work():
    text = await rendered("{{ (1..3) | join: '-' }} {{ 'now' | date: '%Y' | size }} {{ a | escape }}", {"a": "<"})
    assert text == "1-2-3 4 &lt;"


def own_processes(parent: int | None = None) -> list[int]:
    """The processes that render for this one."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent_id = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent_id == (parent or os.getpid()) and b"rendering_process" in command:
            found.append(int(status.parent.name))
    return found


def resident_mb() -> float:
    """The memory of the processes that render."""
    return sum(
        int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
        for one in own_processes()
    )
