"""What became of messages, as a mail service or a mailbox for bounces reports it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from campaigns.models.problems import FieldError, Invalid
from campaigns.models.values import Json, Strict
from campaigns.starter.composition import Parts
from campaigns.starter.feedback.mail_reports import known_as, read_reports
from campaigns.starter.http.bodies import Body, parse, read_body
from campaigns.starter.http.openapi import takes
from campaigns.starter.http.problems import Problem
from campaigns.starter.routes.shapes.content import ReportsRecorded

router = APIRouter(prefix="/v1/messages", tags=["messages"])

MAX_REPORT = 1024 * 1024


class MessageReport(Strict):
    """What a mail service, or a mailbox for bounces, tells of a message."""

    type: Literal["delivered", "bounced", "complained", "opened", "clicked"]
    hard: bool = True
    """Of a bounce: the address will never do."""
    reason: Annotated[str, Field(max_length=500)] = ""


@router.post(
    "/reports",
    response_model=ReportsRecorded,
    openapi_extra={"requestBody": {"content": {"message/rfc822": {"schema": {"type": "string"}}}}},
)
async def report_by_mail(request: Request, parts: Parts) -> Json:
    """A bounce (RFC 3464) or complaint (RFC 5965) as it came by mail: the raw mail is the body."""
    found = read_reports(await read_body(request, MAX_REPORT))
    if not found:
        raise Invalid([FieldError("body", "is no report of what became of a mail, or nothing final")])
    recorded = [
        one for one in found if await parts.message_events.report(one.message_id, one.type, one.reason, hard=one.hard)
    ]
    if not recorded:
        raise Problem(404, "Not found", f"there is no message {found[0].message_id!r}")
    return {"recorded": [{"message_id": one.message_id, "type": one.type} for one in recorded]}


@router.post("/{message_id}/reports", status_code=204, openapi_extra=takes(MessageReport))
async def report(message_id: str, body: Body, parts: Parts) -> Response:
    """What came of a message, by its id or its Message-ID. Hard bounces and complaints suppress the address."""
    told = parse(MessageReport, body)
    if not await parts.message_events.report(known_as(message_id), told.type, told.reason, hard=told.hard):
        raise Problem(404, "Not found", f"there is no message {message_id!r}")
    return Response(status_code=204)
