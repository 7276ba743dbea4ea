"""Journeys in code: what is wrong is found by the type checker, when the class is made, or when it is loaded."""

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel

from campaigns.journeys import (
    Journey,
    attribute,
    branch,
    campaign,
    days,
    delay,
    did,
    email,
    hours,
    in_segment,
    message_is,
    of_trigger,
    on_event,
    prop,
    sms,
)
from campaigns.workflows.code.conditions import iso_duration
from campaigns.workflows.registry import load_journeys

WRONG = Path(__file__).parents[1] / "support" / "wrong_types" / "journey.py"


def test_the_type_checker_finds_what_is_wrong(tmp_path: Path):
    configuration = tmp_path / "mypy.ini"
    configuration.write_text(
        f"[mypy]\nstrict = true\nplugins = pydantic.mypy\nenable_error_code = unused-awaitable\ncache_dir = {tmp_path}\n"
    )
    answer = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(configuration), str(WRONG)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = {int(one) for one in re.findall(r"^\S*journey\.py:(\d+): error", answer.stdout, re.M)}
    expected = {number for number, line in enumerate(WRONG.read_text().splitlines(), 1) if "# WRONG" in line}
    assert found == expected, answer.stdout


class Bought(BaseModel):
    total: float


def test_a_step_is_declared_once():
    with pytest.raises(TypeError, match=r"Twice\.hello: is declared twice"):

        class Twice(Journey[Bought]):
            hello = email("Hello", text="Hello")
            hello = sms("Hello")  # type: ignore[assignment]  # noqa: PIE794

    with pytest.raises(TypeError, match="the id 'hello' is used twice"):

        class Same(Journey[Bought]):
            hello = email("Hello", text="Hello")
            other = sms("Hello", id="hello")

    with pytest.raises(TypeError, match="each step is declared once"):

        class Shared(Journey[Bought]):
            hello = other = sms("Hello")


def test_what_a_step_lacks_is_said_with_its_place():
    with pytest.raises(TypeError, match=r"Empty\.hello: subject: is required"):

        class Empty(Journey[Bought]):
            hello = email()

    with pytest.raises(TypeError, match=r"Wrong: priority"):

        @campaign(trigger=on_event("Bought", Bought), priority=-1)
        class Wrong(Journey[Bought]):
            hello = sms("Hello")

    with pytest.raises(TypeError, match="has no steps"):

        @campaign(trigger=on_event("Bought", Bought))
        class Nothing(Journey[Bought]):
            pass


def test_the_settings_are_those_of_the_json():
    @campaign(
        trigger=on_event("Bought", Bought, where=prop("total").at_least(5) & ~in_segment("staff")),
        frequency_cap=days(7),
        quiet_hours=("22:00", "08:00"),
    )
    class ThanksForVips(Journey[Bought]):
        """Thanks."""

        pause = delay(hours(1.5))
        thanks = sms("Thanks")
        plan = branch(
            old=attribute("since").before("2020-01-01"),
            again=did("Bought", prop("id").not_equals(of_trigger("id")), at_least=2, within=days(30))
            | message_is("thanks", "sent"),
            some=attribute("plan").one_of("a", "b"),
        )

    stated = ThanksForVips.definition.to_json()
    assert stated["key"] == "thanks-for-vips"
    assert stated["workflow"] == "ThanksForVips"
    assert stated["frequency_cap"] == "P7D"
    assert stated["description"] == "Thanks."
    assert stated["trigger"]["where"]["all"][1] == {"not": {"segment": "staff"}}
    assert list(ThanksForVips.steps) == ["pause", "thanks", "plan"]
    model = ThanksForVips.steps["pause"].model
    assert model.model_dump(by_alias=True)["for"] == "PT5400S"


@pytest.mark.parametrize(
    ("duration", "text"),
    [(timedelta(0), "P0D"), (timedelta(days=2), "P2D"), (-timedelta(days=3), "-P3D"),
     (timedelta(hours=25), "P1DT3600S"), (timedelta(seconds=1.5), "PT1.5S")],
)  # fmt: skip
def test_durations(duration, text):
    assert iso_duration(duration) == text


def test_files_of_journeys_that_are_wrong(tmp_path: Path):
    with pytest.raises(SystemExit, match="is no directory"):
        load_journeys(tmp_path / "nowhere")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(SystemExit, match=r"broken\.py: ModuleNotFoundError"):
        load_journeys(tmp_path)
    source = "from campaigns.journeys import *\nfrom pydantic import BaseModel\nclass P(BaseModel): pass\n"
    source += '@campaign(trigger=on_event("E", P))\nclass AbandonedCart(Journey[P]):\n    hi = sms("Hi")\n'
    (tmp_path / "broken.py").unlink()
    (tmp_path / "double.py").write_text(source)
    with pytest.raises(
        SystemExit, match=r"AbandonedCart: campaigns\.journeys\.examples\.abandoned_cart has that name too"
    ):
        load_journeys(tmp_path)
    (tmp_path / "double.py").unlink()
    (tmp_path / "mine.py").write_text(source.replace("AbandonedCart", "Mine"))
    assert "Mine" in [one.__name__ for one in load_journeys(tmp_path).classes]
