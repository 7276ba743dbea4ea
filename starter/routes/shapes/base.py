"""What all answers share."""

from pydantic import BaseModel, ConfigDict
from sqlmodel._compat import SQLModelConfig

from campaigns.models.values import Json


def may_grow(schema: Json) -> None:
    """An answer is checked here to hold nothing else; a client made from the document is to take what comes later."""
    schema.pop("additionalProperties", None)


class Shape(BaseModel):
    """The base of all answers."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=may_grow)


ROW = SQLModelConfig(extra="forbid", json_schema_extra=may_grow)
"""Of answers that show a row: base and table share its fields."""


class Paged(Shape):
    """A part of a list."""

    next: str | None
    """The cursor of the next part; null behind the last."""
