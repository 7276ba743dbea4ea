"""The data converter: pydantic's, whose schemas are built once a process.

The SDK makes a payload converter for each workflow, and pydantic's would build the schema of every type anew for each:
a fifth of the worker's time, and 30 KB for each entry that waits.
"""

from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)

_JSON = PydanticJSONPlainPayloadConverter()


class SharedPayloadConverter(CompositePayloadConverter):
    """Converts JSON by the one converter of this process."""

    def __init__(self) -> None:
        converters = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(*(_JSON if isinstance(each, JSONPlainPayloadConverter) else each for each in converters))


data_converter = DataConverter(payload_converter_class=SharedPayloadConverter)
