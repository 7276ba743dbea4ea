"""What is checked of a definition before it is kept, and what a careful colleague would say of it."""

from campaigns.activities.rendering import RenderingError, check_text
from campaigns.models.campaign import Campaign, parse_campaign
from campaigns.models.problems import FieldError, Invalid, place_text
from campaigns.models.steps import MessageBase, walk
from campaigns.workflows.registry import Journeys

READ_ONLY = {"status", "version", "created_at", "updated_at", "warnings"}
"""What answers say besides the definition: an answer may be edited and sent back."""


def checked_definition(raw: object, journeys: Journeys) -> Campaign:
    """A definition that stands by itself, its texts included. Raises Invalid.

    One of a journey in code has the settings that the code states, but for those that are given.
    """
    if isinstance(raw, dict):
        raw = {name: value for name, value in raw.items() if name not in READ_ONLY}
        if raw.get("workflow") is not None:
            raw = {**journeys.settings(raw["workflow"]), **raw}
    definition = parse_campaign(raw)
    if definition.workflow is not None:
        definition = definition.with_steps_of_code(journeys.steps(definition.workflow))
    errors = []
    for place, step in walk(definition.steps or []):
        if not isinstance(step, MessageBase):
            continue
        for name in step.content:
            text = getattr(step, name)
            try:
                check_text(text if isinstance(text, str) else "")
            except RenderingError as error:
                errors.append(FieldError(place_text((*place, name)), f"is not Liquid: {error}"))
    if errors:
        raise Invalid(errors)
    return definition
