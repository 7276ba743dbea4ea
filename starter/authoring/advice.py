"""What a careful colleague would say of a definition; it runs all the same."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from campaigns.activities.content.compose import parts_of
from campaigns.activities.content.rendering import check
from campaigns.models.channels import CHANNELS
from campaigns.models.journey.conditions import All, AnyOf, AttributeIs, Condition, Not, PropertyIs
from campaigns.models.journey.definition import Definition, EventTrigger
from campaigns.models.journey.steps import (
    Branch,
    Email,
    Exit,
    MessageBase,
    Split,
    Step,
    TextMessage,
    Update,
    Wait,
    blocks,
    walk,
)
from campaigns.models.problems import place_text

Place = tuple[str | int, ...]

KNOWN_ROOTS = {"customer", "event", "event_name", "event_time", "entry", "steps", "unsubscribe_url"}
MESSAGE_EVENTS = {f"{channel.title} {what}": channel.name for channel in CHANNELS.values() for what in channel.events}
SMS_LENGTH, SMS_UNICODE_LENGTH = 160, 70
_LEGAL_HOURS = (
    "the law of the United States, as one, allows 08:00 to 21:00 where the receiver is (47 CFR 64.1200): "
    '{"channels": {"sms": {"from": "21:00", "to": "08:00"}}}'
)


def advise(definition: Definition) -> list[str]:
    """What a careful colleague would say of the definition, each with its place. It runs all the same."""
    found = list(_settings_warnings(definition))
    if definition.workflow is None:
        for place, block in _blocks(definition.steps or [], ("steps",)):
            found += [(place_text(where), text) for where, text in _block_warnings(place, block)]
    saved, above = set(definition.saved_answers), set[str]()
    steps = [step for step in definition.all_steps if isinstance(step, MessageBase)]
    texts = {place_text((step.id, name)): part for step in steps for name, part in parts_of(step).items()}
    variables = check(texts).variables
    for place, step in walk(definition.steps or []):
        named = place_text(place) if definition.workflow is None else step.id
        said = [*_step_warnings(step), *_text_warnings(step, saved, variables), *_message_event_warnings(step, above)]
        found += [(named, text) for text in said]
        if isinstance(step, MessageBase):
            above.add(step.channel)
    return [f"{place}: {text}" for place, text in found]


def _settings_warnings(definition: Definition) -> Iterator[tuple[str, str]]:
    trigger, goal = definition.trigger, definition.goal
    if isinstance(trigger, EventTrigger):
        often = definition.frequency.type == "every_time" and definition.frequency_cap is None
        if often and definition.entry_key is None:
            yield "frequency", "every event enters the customer again, and no frequency_cap says how often at most"
        if goal and goal.event == trigger.event:
            yield "goal.event", "is the event that triggers too, so who triggers again converts"
    steps = definition.all_steps
    texts = [step for step in steps if isinstance(step, TextMessage) and step.category == "marketing"]
    if texts and definition.quiet_hours is None:
        yield "quiet_hours", f"there are none, so marketing texts may go out at night; {_LEGAL_HOURS}"
    if not any(isinstance(step, MessageBase | Update) for step in steps):
        yield "steps", "nothing is sent, and nothing is changed"


def _blocks(steps: list[Step], place: Place) -> Iterator[tuple[Place, list[Step]]]:
    yield place, steps
    for index, step in enumerate(steps):
        for _, below, block in blocks(step):
            yield from _blocks(block, (*place, index, *below))


def _block_warnings(place: Place, block: list[Step]) -> Iterator[tuple[Place, str]]:
    for index, (step, following) in enumerate(pairwise(block)):
        if _always_ends(step):
            yield (*place, index + 1), f"is never reached: {step.id} ends every entry"
            return
        if not isinstance(step, MessageBase) or not isinstance(following, MessageBase):
            continue
        if step.channel == following.channel != "webhook":
            yield (*place, index + 1), f"follows {step.id} at once, with no delay between two messages"


def _always_ends(step: Step) -> bool:
    ways = [block for _, _, block in blocks(step)]
    return isinstance(step, Exit) or (bool(ways) and all(any(_always_ends(one) for one in block) for block in ways))


def _step_warnings(step: Step) -> Iterator[str]:
    match step:
        case Email():
            yield from _mail_warnings(step)
        case TextMessage(type="sms", body=str(body)):
            limit = SMS_LENGTH if body.isascii() else SMS_UNICODE_LENGTH
            if len(body) > limit:
                yield f"the text has {len(body)} characters, more than the {limit} of one SMS, so it costs several"
        case Branch():
            yield from _branch_warnings(step)
        case Wait():
            yield from _wait_warnings(step)
        case Split():
            for variant in step.variants:
                if variant.weight == 0:
                    yield f"the variant {variant.name!r} has no weight, so nobody gets there"


def _mail_warnings(step: Email) -> Iterator[str]:
    if step.template is not None or step.category != "marketing":
        return
    if step.text is None:
        yield "a marketing mail without a text part is often taken for spam"
    if "unsubscribe_url" not in (step.html or "") + (step.text or ""):
        yield "a marketing mail needs a link to unsubscribe in its text: {{ unsubscribe_url }}"


def _branch_warnings(step: Branch) -> Iterator[str]:
    for index, case in enumerate(step.branches):
        earlier = next((one for one in step.branches[:index] if one.when == case.when), None)
        if earlier:
            yield f"the branch {case.name!r} can't be reached: {earlier.name!r} asks the same before it"
        elif _never(case.when):
            yield f"the branch {case.name!r} can't be reached: its condition never holds"


def _wait_warnings(step: Wait) -> Iterator[str]:
    for index, awaited in enumerate(step.for_):
        for earlier in step.for_[:index]:
            if earlier.event == awaited.event and earlier.where in (None, awaited.where):
                yield f"{awaited.name!r} can't happen: {earlier.name!r} takes each such event before it"
                break


def _message_event_warnings(step: Step, above: set[str]) -> Iterator[str]:
    """Events that only our own messages make."""
    for awaited in step.for_ if isinstance(step, Wait) else ():
        channel = MESSAGE_EVENTS.get(awaited.event)
        if channel and channel not in above:
            yield f"nobody sends {awaited.event!r}: there is no {channel} step above"


def _never(condition: Condition) -> bool:
    """Whether it contradicts itself: one value that equals two, a number that is below and above."""
    if isinstance(condition, AnyOf):
        return all(_never(part) for part in condition.any)
    if not isinstance(condition, All):
        return isinstance(condition, AttributeIs | PropertyIs) and condition.op == "in" and condition.value == []
    if any(_never(part) for part in condition.all):
        return True
    equal: dict[tuple[str, str], object] = {}
    for part in condition.all:
        if isinstance(part, AttributeIs | PropertyIs) and part.op == "equals":
            path = ("attribute", part.attribute) if isinstance(part, AttributeIs) else ("property", part.property)
            if equal.setdefault(path, part.value) != part.value:
                return True
    return any(Not.model_validate({"not": part}) in condition.all for part in condition.all)


def _text_warnings(step: Step, saved: set[str], variables: Mapping[str, set[tuple[str, str]]]) -> Iterator[str]:
    """Variables that there are none of: for nobody is there a value, so nobody gets the message."""
    for name in parts_of(step) if isinstance(step, MessageBase) else ():
        for root, path in sorted(variables.get(place_text((step.id, name)), ())):
            if root not in KNOWN_ROOTS:
                yield f"{name}: there is no variable {root!r}"
            elif root == "steps" and path and path not in saved:
                yield f"{name}: no webhook saves its answer as {path!r}"
