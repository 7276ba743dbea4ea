"""`campaigns starter` or `worker` that dies at its seams: `python -m benchmarks.dying starter`.

It kills itself with SIGKILL at one of its seams, at a pass that is drawn by chance; whoever supervises it starts it
again. `DYING_PASSES` is the most passes (60), or many more where one has died before; `DYING_LOG` a file that
gets a line a death; `DYING_DEATHS` how many lines of the file are enough: then it lives on.
"""

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaigns.activities.delivery.channel import Channels
from campaigns.activities.delivery.ledger import Ledger
from campaigns.cli.app import app
from campaigns.models.store.queries import entries, events, messages, outbox
from campaigns.starter.outbox import Outbox
from campaigns.workflows.client import EntryClient

SEAMS: dict[str, dict[str, tuple[Any, str, bool]]] = {
    "starter": {
        "before the commit": (events, "set_answer", False),
        "behind the commit": (Outbox, "hand_over", False),
        "before the start": (EntryClient, "start", False),
        "between start and mark": (EntryClient, "start", True),
        "before the signal": (EntryClient, "signal", False),
        "between signal and mark": (EntryClient, "signal", True),
        "in the mark": (outbox, "delete_done", True),
    },
    "worker": {
        "before the claim": (messages, "claim", False),
        "in the claim": (messages, "claim", True),
        "between claim and send": (Channels, "send", False),
        "between send and record": (Channels, "send", True),
        "in the record": (messages, "settle", True),
        "behind the record": (Ledger, "record", True),
        "before the completion": (entries, "complete", False),
    },
}
"""What each role does at its seam, and whether it dies behind that rather than before."""


def die_at(role: str, seam: str, passes: int) -> None:
    """Has this process die at the seam, at the pass of that number."""
    owner, name, behind = SEAMS[role][seam]
    original: Callable[..., Any] = getattr(owner, name)
    left = [passes]

    def come_to_it() -> None:
        left[0] -= 1
        if left[0] == 0:
            if log := os.environ.get("DYING_LOG"):
                with Path(log).open("a") as lines:
                    lines.write(f"{role}: {seam}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    async def dies(*given: Any, **named: Any) -> Any:
        if not behind:
            come_to_it()
        result = await original(*given, **named)
        if behind:
            come_to_it()
        return result

    def dies_at_once(*given: Any, **named: Any) -> Any:
        come_to_it()
        return original(*given, **named)

    setattr(owner, name, dies_at_once if name == "hand_over" else dies)


def main(role: str) -> None:
    log = Path(os.environ.get("DYING_LOG", os.devnull))
    deaths = log.read_text().splitlines() if log.is_file() else []
    if len(deaths) < int(os.environ.get("DYING_DEATHS", "1000000")):
        chance = random.SystemRandom()
        passes = int(os.environ.get("DYING_PASSES", "60"))
        for seam in SEAMS[role]:
            # Those come first at which nobody has died yet.
            known = f"{role}: {seam}" in deaths
            # Marks are made for many at once, so there are fewer of them.
            first = min(passes, 3) if seam == "in the mark" else passes
            die_at(role, seam, chance.randint(5 * passes, 15 * passes) if known else chance.randint(1, first))
    app([role])


if __name__ == "__main__":
    main(sys.argv[1])
