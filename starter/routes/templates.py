"""Templates: reusable message content."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field, model_validator

from campaigns.activities.content.compose import content_parts, in_locale
from campaigns.activities.content.rendering import RenderingError, check, render
from campaigns.models.addresses import Unsendable, checked_address
from campaigns.models.channels import CHANNELS, PersonalChannel, TemplateChannel, template_channel
from campaigns.models.journey.steps import Line, Text
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.store.queries import customers, templates
from campaigns.models.values import Id, Json, Strict, iso, utc_now
from campaigns.starter.composition import Parts, Services
from campaigns.starter.http.bodies import Body, parse
from campaigns.starter.http.openapi import takes
from campaigns.starter.http.problems import Problem, not_found
from campaigns.starter.routes.shapes.content import ProofSent, TemplateRendered, TemplateShown

router = APIRouter(prefix="/v1/templates", tags=["templates"])

TemplateKey = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
LOCALE = r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$"


class LocaleContent(Strict):
    """The content in one locale; what is left out is as in the template itself."""

    subject: Line | None = None
    html: Text | None = None
    text: Text | None = None
    title: Line | None = None
    body: Text | None = None
    link: Line | None = None


class TemplateContent(LocaleContent):
    """The content of a message of one channel, which is known by its fields where it is not given."""

    channel: TemplateChannel | None = None
    locales: dict[Annotated[str, Field(pattern=LOCALE)], LocaleContent] = Field(default_factory=dict, max_length=200)
    """Variants by locale (RFC 5646), such as `de` or `pt-BR`."""

    @property
    def kind(self) -> TemplateChannel:
        """The channel, given or known by the fields."""
        if self.channel is not None:
            return self.channel
        if self.title is not None or self.link is not None:
            return "push"
        return "sms" if self.body is not None else "email"

    @model_validator(mode="after")
    def _fits_the_channel(self) -> "TemplateContent":
        for content in (self, *self.locales.values()):
            for name in ("subject", "html", "text", "title", "body", "link"):
                if getattr(content, name) is not None and name not in CHANNELS[self.kind].content:
                    raise ValueError(f"{name}: does not belong to a template for {self.kind}")
        if self.kind == "email":
            if self.subject is None:
                raise ValueError("subject: is required")
            if self.html is None and self.text is None:
                raise ValueError("html: is required, or text")
        elif self.body is None:
            raise ValueError("body: is required")
        return self


class TemplatePreview(Strict):
    """Whom to render a template for: a customer by id, or attributes."""

    customer_id: Id | None = None
    customer: dict[str, Any] = Field(default_factory=dict)
    event: dict[str, Any] = Field(default_factory=dict)


class ProofRequest(TemplatePreview):
    """Where to send a template to, as which customer would get it."""

    to: Annotated[str, Field(min_length=1, max_length=4096)]
    channel: PersonalChannel | None = None


@router.put(
    "/{key}", response_model=TemplateShown, response_model_exclude_unset=True, openapi_extra=takes(TemplateContent)
)
async def put_template(key: TemplateKey, body: Body, parts: Parts) -> Json:
    """Makes or changes a template."""
    if isinstance(body, dict):
        if body.get("key", key) != key:
            raise Invalid([FieldError("key", "must be the key of the path, or be left out")])
        body = {name: value for name, value in body.items() if name != "key"}
    template = parse(TemplateContent, body)
    content: Json = {**template.model_dump(exclude_none=True), "channel": template.kind}
    if not template.locales:
        del content["locales"]
    variants = {"": content, **{f"locales.{locale}.": part for locale, part in content.get("locales", {}).items()}}
    texts = {
        place + name: text
        for place, part in variants.items()
        for name, text in content_parts(part, CHANNELS[content["channel"]].content).items()
    }
    if errors := (await asyncio.to_thread(check, texts)).errors:
        raise Invalid([FieldError(place, reason) for place, reason in errors.items()])
    async with parts.database.write() as connection:
        await templates.put(connection, key, content, utc_now())
    return {"key": key, **content}


@router.get("/{key}", response_model=TemplateShown, response_model_exclude_unset=True)
async def get_template(key: TemplateKey, parts: Parts) -> Json:
    """A template."""
    async with parts.database.read() as connection:
        content = await templates.get(connection, key)
    if content is None:
        raise not_found("template", key)
    return {"key": key, **content}


@router.post(
    "/{key}/preview",
    response_model=TemplateRendered,
    response_model_exclude_unset=True,
    openapi_extra=takes(TemplatePreview),
)
async def preview(key: TemplateKey, body: Body, parts: Parts) -> Json:
    """The template as a customer would get it, in their locale; were a value `missing`, they would get none."""
    wanted = parse(TemplatePreview, body)
    content, variables = await _for_customer(parts, key, wanted)
    texts = content_parts(content, CHANNELS[content["channel"]].content)
    try:
        rendered = await render(texts, variables, makes_text="html" in texts)
    except RenderingError as error:
        raise Invalid([FieldError(error.part, error.reason)]) from None
    return {"key": key, "channel": content["channel"], **rendered.parts, "missing": rendered.missing}


@router.post(
    "/{key}/test-send",
    response_model=ProofSent,
    response_model_exclude_unset=True,
    openapi_extra=takes(ProofRequest),
)
async def send_proof(key: TemplateKey, body: Body, parts: Parts) -> Json:
    """Sends the template to an address: `{"outcome": "sent"}`, or what spoke against it with its `reason`."""
    wanted = parse(ProofRequest, body)
    content, variables = await _for_customer(parts, key, wanted)
    channel = wanted.channel or content["channel"]
    if content["channel"] != template_channel(channel):
        raise Invalid([FieldError("channel", f"the template is one for {content['channel']}")])
    to = checked_address(channel, wanted.to)
    if isinstance(to, Unsendable):
        raise Invalid([FieldError("to", f"is no address for {channel}")])
    sealed = parts.signing.seal({"channel": channel, "to": wanted.to, "content": content, "variables": variables})
    try:
        result = await parts.client.send_proof(sealed)
    except TimeoutError:
        raise Problem(503, "Service unavailable", "no worker has sent it in time") from None
    more = {name: value for name, value in (("reason", result.reason), ("detail", result.detail)) if value}
    outcome = "failed" if result.status == "retry" else result.status
    return {"key": key, "to": wanted.to, "channel": channel, "outcome": outcome, **more}


async def _for_customer(parts: Services, key: str, wanted: TemplatePreview) -> tuple[Json, Json]:
    """The template's content in the customer's locale, and the variables of its texts."""
    async with parts.database.read() as connection:
        content = await templates.get(connection, key)
        attributes: Json | None = wanted.customer
        if wanted.customer_id is not None:
            attributes = await customers.get(connection, wanted.customer_id)
    if content is None:
        raise not_found("template", key)
    if attributes is None:
        raise not_found("customer", wanted.customer_id or "")
    customer = {**attributes, "id": wanted.customer_id}
    variables = {
        "customer": customer, "event": wanted.event, "event_name": "Preview", "event_time": iso(utc_now()),
        "entry": {"id": "preview"}, "unsubscribe_url": "#",
    }  # fmt: skip
    return in_locale(content, attributes.get("locale")), variables
