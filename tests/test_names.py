"""One word for one thing: no two classes of the project bear one name, and no word of a channel stands outside its row."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from campaigns.models.channels import CHANNELS

ROOT = Path(__file__).parents[1]
ROOMS = sorted(link.name for link in (ROOT / "src/campaigns").iterdir() if link.is_symlink())
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def test_no_two_classes_bear_one_name():
    places = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert len(places) > 300
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_a_channel_is_a_row():
    """What is said of WhatsApp follows from its row; authors alone write its name, for `whatsapp()` is theirs."""
    assert "whatsapp" in CHANNELS
    naming = [str(path.relative_to(ROOT)) for path in FILES if re.search(r"[\"']whatsapp[\"']", path.read_text())]
    assert naming == ["journeys/__init__.py", "models/channels.py", "workflows/code/steps.py"]
