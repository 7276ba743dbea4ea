"""Definitions of campaigns, parsed and kept."""

from collections import OrderedDict
from typing import Protocol

from sqlalchemy import select

from campaigns.models.journey.definition import Definition
from campaigns.models.journey.steps import Step
from campaigns.models.store.database import Connection
from campaigns.models.store.tables import CampaignVersion
from campaigns.models.values import Json


class Code(Protocol):
    """The journeys in code that this process knows."""

    def steps(self, name: str) -> list[Step]:
        """The steps that the journey declares."""
        ...

    def accepts(self, name: str, properties: Json) -> bool:
        """Whether a trigger with these properties is what the journey expects."""
        ...

    def completed(self, name: str, properties: Json) -> Json:
        """The trigger's properties with the defaults of those that were left out."""
        ...


class Definitions:
    """Parsed definitions by key and version. What has been live is frozen, so it is kept; a draft is not.

    The steps of a journey in code are those that the code of this process declares: running entries follow it.
    """

    def __init__(self, code: Code, size: int = 1000) -> None:
        self._code = code
        self._kept: OrderedDict[tuple[str, int], Definition] = OrderedDict()
        self._size = size

    async def get(self, connection: Connection, key: str, version: int, *, frozen: bool = True) -> Definition:
        """The definition; raises LookupError where there is no such version."""
        known = self._kept.get((key, version))
        if known is not None and frozen:
            self._kept.move_to_end((key, version))
            return known
        statement = select(CampaignVersion.definition).where(
            CampaignVersion.campaign_key == key, CampaignVersion.version == version
        )
        raw = (await connection.execute(statement)).scalar_one_or_none()
        if raw is None:
            raise LookupError(f"campaign {key} has no version {version}")
        definition = Definition.model_validate(raw)
        if definition.workflow is not None:
            definition = definition.with_steps_of_code(self._code.steps(definition.workflow))
        if frozen:
            self._kept[key, version] = definition
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return definition

    def accepts(self, definition: Definition, properties: Json) -> bool:
        """Whether the campaign's journey, if it is in code, expects a trigger with these properties."""
        return definition.workflow is None or self._code.accepts(definition.workflow, properties)

    def completed(self, definition: Definition, properties: Json) -> Json:
        """The trigger's properties, with the defaults that a journey in code has for those that were left out."""
        return properties if definition.workflow is None else self._code.completed(definition.workflow, properties)
