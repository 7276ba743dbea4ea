"""What is checked of a definition before it is kept."""

from campaigns.activities.content.compose import parts_of
from campaigns.activities.content.rendering import check
from campaigns.models.journey.definition import Definition, parse_definition
from campaigns.models.journey.steps import MessageBase, Update, walk
from campaigns.models.problems import FieldError, Invalid, place_text
from campaigns.models.profiles import check_attributes
from campaigns.workflows.registry import Journeys

READ_ONLY = {
    "status", "paused_because", "version", "created_at", "updated_at", "warnings", "advice", "existing_members_left",
}  # fmt: skip
"""What answers say besides the definition: an answer may be edited and sent back."""


def checked_definition(raw: object, journeys: Journeys) -> Definition:
    """A definition that stands by itself, its texts included. Raises Invalid.

    One of a journey in code has the settings that the code states, but for those that are given.
    """
    if isinstance(raw, dict):
        raw = {name: value for name, value in raw.items() if name not in READ_ONLY}
        if raw.get("workflow") is not None:
            raw = {**journeys.settings(raw["workflow"]), **raw}
    definition = parse_definition(raw)
    if definition.workflow is not None:
        definition = definition.with_steps_of_code(journeys.steps(definition.workflow))
    for place, step in walk(definition.steps or []):
        if isinstance(step, Update):
            check_attributes(step.attributes, f"{place_text((*place, 'attributes'))}.")
    texts = {
        place_text((*place, name)): part
        for place, step in walk(definition.steps or [])
        if isinstance(step, MessageBase)
        for name, part in parts_of(step).items()
    }
    if errors := check(texts).errors:
        raise Invalid([FieldError(place, reason) for place, reason in errors.items()])
    return definition
