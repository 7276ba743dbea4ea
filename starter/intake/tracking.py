"""Calls of the Segment HTTP tracking API (https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/)."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import uuid4

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

from campaigns.models.journey.steps import mailbox
from campaigns.models.problems import FieldError, Invalid, field_errors
from campaigns.models.profiles import check_attributes
from campaigns.models.values import Id, Instant, Json, Name

MAX_CALL_BYTES = 32 * 1024
MAX_BATCH_BYTES = 500 * 1024
MAX_BATCH_CALLS = 2_500

CallType = Literal["track", "identify", "page", "screen", "group", "alias"]


class TrackingCall(BaseModel):
    """One call. Libraries send more fields than these: they are let pass, as Segment does."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", strict=True, frozen=True)

    type: CallType
    user_id: Id | None = Field(default=None, alias="userId")
    anonymous_id: Id | None = Field(default=None, alias="anonymousId")
    message_id: Id = Field(alias="messageId")
    event: Name | None = None
    name: Name | None = None
    properties: Json = Field(default_factory=dict)
    traits: Json = Field(default_factory=dict)
    timestamp: Annotated[Instant | None, Field(validation_alias=AliasChoices("timestamp", "originalTimestamp"))] = None
    sent_at: Instant | None = Field(default=None, alias="sentAt")

    @field_validator("properties", "traits", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("user_id", "anonymous_id", "message_id", mode="before")
    @classmethod
    def _numbers_are_ids(cls, value: Any) -> Any:
        """Many a library hands on the database's integer, and none looks at the answers of a batch."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def event_name(self) -> str | None:
        """The event that this call is, if any: a page or screen that was seen is one too."""
        return {"track": self.event, "page": "Page Viewed", "screen": "Screen Viewed"}.get(self.type)

    def row(self, received: datetime) -> Json:
        """As it is kept."""
        named = {"name": self.name} if self.name and self.type in ("page", "screen") else {}
        return {
            "message_id": self.message_id,
            "type": self.type,
            "customer_id": self.user_id,
            "anonymous_id": self.anonymous_id,
            "name": self.event_name,
            "properties": {**named, **self.properties} if self.event_name else self.traits,
            "timestamp": self.happened_at(received),
            "received_at": received,
        }

    def happened_at(self, received: datetime) -> datetime:
        """Return when it happened, by our clock: that of the device may be wrong by days.

        As Segment does: `receivedAt - (sentAt - originalTimestamp)`
        (https://segment.com/docs/connections/spec/common/#timestamps).
        """
        if self.timestamp is None or self.sent_at is None:
            return self.timestamp or received
        try:
            return received - (self.sent_at - self.timestamp)
        except OverflowError:
            return self.timestamp


def parse_call(raw: object, type_: str | None = None) -> TrackingCall:
    """Return the call of JSON data, of the type of its route; a missing message id is made. Raise Invalid."""
    if not isinstance(raw, dict):
        raise Invalid([FieldError("body", "must be an object")])
    content = {key: value for key, value in raw.items() if value is not None}
    if type_:
        content["type"] = type_
    content.setdefault("messageId", uuid4().hex)
    try:
        call = TrackingCall.model_validate(content)
    except ValidationError as error:
        raise Invalid(field_errors(error, content)) from None
    if call.user_id is None and call.anonymous_id is None:
        raise Invalid([FieldError("userId", "is required, or anonymousId")])
    if call.type == "track" and call.event is None:
        raise Invalid([FieldError("event", "is required")])
    check_attributes(call.traits, "traits.")
    return call


def check_email(attributes: Json) -> None:
    """Raise Invalid where the mail address could never be one."""
    if email := attributes.get("email"):
        try:
            mailbox(email)
        except ValueError as error:
            raise Invalid([FieldError("email", str(error))]) from None
