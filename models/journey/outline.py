"""A journey as a workflow needs it: the structure alone.

This is what stands in the input of every entry's workflow, and so in histories that are replayed for months.
It holds no content, no condition and nothing of a customer: those stay in the database, under the campaign's version.
"""

from dataclasses import dataclass, field
from typing import Literal

from campaigns.models.journey.definition import Definition
from campaigns.models.journey.steps import Delay, Exit, MessageBase, Split, Step, Wait, blocks
from campaigns.models.values import parse_duration


@dataclass(frozen=True)
class OutlineStep:
    """One step; `seconds` is a delay's length or a wait's time-out, `ways` the blocks below by name."""

    id: str
    type: str
    seconds: float | None = None
    """None for a delay until a time, which is found out when it begins."""
    ways: dict[str, list["OutlineStep"]] = field(default_factory=dict)
    since: Literal["entry", "step"] = "entry"
    exit_on_failure: bool = False
    reason: str | None = None
    weights: dict[str, int] = field(default_factory=dict)
    """Of a split's ways."""
    transactional: bool = False
    """Of a message: it goes before marketing where there is a queue."""


def outline(campaign: Definition) -> list[OutlineStep]:
    """The structure of a campaign's declared steps."""
    return [outline_step(step) for step in campaign.steps or []]


def outline_step(step: Step) -> OutlineStep:
    """The structure of one step, and of the blocks below it."""
    seconds = None
    match step:
        case Delay(for_=str(duration)):
            seconds = parse_duration(duration).total_seconds()
        case Wait():
            seconds = parse_duration(step.timeout).total_seconds()
    return OutlineStep(
        id=step.id,
        type=step.type,
        seconds=seconds,
        ways={name: [outline_step(below) for below in block] for name, _, block in blocks(step)},
        since=step.since if isinstance(step, Wait) else "entry",
        exit_on_failure=isinstance(step, MessageBase) and step.on_failure == "exit",
        reason=step.reason if isinstance(step, Exit) else None,
        transactional=isinstance(step, MessageBase) and step.category == "transactional",
        weights={variant.name: variant.weight for variant in step.variants} if isinstance(step, Split) else {},
    )
