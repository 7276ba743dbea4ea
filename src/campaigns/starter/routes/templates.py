"""Templates: reusable message content."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field, model_validator

from campaigns.activities.rendering import RenderingError, check_text, render
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.queries import campaigns, customers
from campaigns.models.steps import Line, Text
from campaigns.models.values import Id, Json, Strict, utc_now
from campaigns.starter.http import Body, not_found, parse, takes
from campaigns.starter.services import Parts

router = APIRouter(prefix="/v1/templates", tags=["templates"])

TemplateKey = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
PARTS = {"email": ("subject", "html", "text"), "sms": ("body",), "push": ("title", "body", "link")}
"""The content of a message by its channel; that of `sms` serves WhatsApp too."""


class TemplateContent(Strict):
    """The content of a message of one channel, which is known by its fields where it is not given."""

    channel: Literal["email", "sms", "push"] | None = None
    subject: Line | None = None
    html: Text | None = None
    text: Text | None = None
    title: Line | None = None
    body: Text | None = None
    link: Line | None = None

    @property
    def kind(self) -> Literal["email", "sms", "push"]:
        """The channel, given or known by the fields."""
        if self.channel is not None:
            return self.channel
        if self.title is not None or self.link is not None:
            return "push"
        return "sms" if self.body is not None else "email"

    @model_validator(mode="after")
    def _fits_the_channel(self) -> "TemplateContent":
        for name in ("subject", "html", "text", "title", "body", "link"):
            if getattr(self, name) is not None and name not in PARTS[self.kind]:
                raise ValueError(f"{name}: does not belong to a template for {self.kind}")
        if self.kind == "email":
            if self.subject is None:
                raise ValueError("subject: is required")
            if self.html is None and self.text is None:
                raise ValueError("html: is required, or text")
        elif self.body is None:
            raise ValueError("body: is required")
        return self


class PreviewRequest(Strict):
    """Whom to render a template for: a customer by id, or attributes."""

    customer_id: Id | None = None
    customer: dict[str, Any] = Field(default_factory=dict)
    event: dict[str, Any] = Field(default_factory=dict)


@router.put("/{key}", openapi_extra=takes(TemplateContent))
async def put_template(key: TemplateKey, body: Body, parts: Parts) -> Json:
    """Makes or changes a template."""
    if isinstance(body, dict):
        if body.get("key", key) != key:
            raise Invalid([FieldError("key", "must be the key of the path, or be left out")])
        body = {name: value for name, value in body.items() if name != "key"}
    template = parse(TemplateContent, body)
    content: Json = {**template.model_dump(exclude_none=True), "channel": template.kind}
    errors = []
    for name in PARTS[content["channel"]]:
        try:
            check_text(content.get(name) or "")
        except RenderingError as error:
            errors.append(FieldError(name, f"is not Liquid: {error}"))
    if errors:
        raise Invalid(errors)
    async with parts.database.write() as connection:
        await campaigns.put_template(connection, key, content, utc_now())
    return {"key": key, **content}


@router.get("/{key}")
async def get_template(key: TemplateKey, parts: Parts) -> Json:
    """A template."""
    async with parts.database.read() as connection:
        content = await campaigns.template(connection, key)
    if content is None:
        raise not_found("template", key)
    return {"key": key, **content}


@router.post("/{key}/preview", openapi_extra=takes(PreviewRequest))
async def preview(key: TemplateKey, body: Body, parts: Parts) -> Json:
    """The template as a customer would get it."""
    wanted = parse(PreviewRequest, body)
    async with parts.database.read() as connection:
        content = await campaigns.template(connection, key)
        attributes: Json | None = wanted.customer
        if wanted.customer_id is not None:
            attributes = await customers.get(connection, wanted.customer_id)
    if content is None:
        raise not_found("template", key)
    if attributes is None:
        raise not_found("customer", wanted.customer_id or "")
    variables = {"customer": {**attributes, "id": wanted.customer_id}, "event": wanted.event, "unsubscribe_url": "#"}
    rendered = {}
    for name in PARTS[content["channel"]]:
        if name in content:
            try:
                rendered[name] = render(content[name], variables, html=name == "html")
            except RenderingError as error:
                raise Invalid([FieldError(name, str(error))]) from None
    return {"key": key, "channel": content["channel"], **rendered}
