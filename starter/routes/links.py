"""What links in messages lead to, without a key: tracked links, the image of an opened mail, unsubscription."""

import base64
import re
from html import escape
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from campaigns.models.store.queries import links
from campaigns.starter.composition import Parts
from campaigns.starter.feedback.consents import Choice
from campaigns.starter.http.bodies import read_body

router = APIRouter(include_in_schema=False)

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>{title}</title>
<body style="font: 1.1rem/1.5 system-ui; max-width: 32rem; margin: 20vh auto; padding: 0 1rem">{content}</body>
</html>"""


_IMAGE = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
MAX_FORM = 64 * 1024
_NO_STORE = {"Cache-Control": "no-store, private"}
# Apple's privacy proxy calls itself just so, and nobody else does; scanners say what they are.
_MACHINE = re.compile(
    r"^$|^Mozilla/5\.0$|bot\b|crawler|spider|scanner|preview|proofpoint|mimecast|barracuda|headless"
    r"|^(python|curl|wget|java|okhttp|go-http-client|libwww|apache-httpclient|node|axios|ruby|php|guzzle)",
    re.IGNORECASE,
)


_NOT_VALID = "<p>This link is not valid.</p>"
_NOBODY = "<p>Nothing is known of who this message went to any more, so nothing was saved.</p>"


def _page(title: str, content: str, status: int = 200) -> HTMLResponse:
    """A page of ours; what it shows may be another thing the next time."""
    return HTMLResponse(_PAGE.format(title=title, content=content), status, headers=_NO_STORE)


def _is_machine(request: Request) -> bool:
    return bool(_MACHINE.search(request.headers.get("user-agent", "")))


_READ = ["GET", "HEAD"]
"""RFC 9110, 9.3.2: who asks by HEAD hears what a GET would answer. It is neither an opening nor a click."""


@router.api_route("/o/{token}", methods=_READ)
async def opened(token: str, request: Request, parts: Parts) -> Response:
    """The image of a mail: it was opened. A forged token gets the image too, and counts nothing."""
    message_id = parts.signing.value_of("open", token)
    if message_id is not None and request.method != "HEAD":
        machine = {"machine": True} if _is_machine(request) else {}
        await parts.message_events.happened(message_id, "opened", machine)
    return Response(_IMAGE, media_type="image/gif", headers=_NO_STORE)


@router.api_route("/c/{token}", methods=_READ)
async def clicked(token: str, request: Request, parts: Parts) -> Response:
    """Leads to where the link was stored to lead, and counts; a machine that follows every link does not."""
    message_id, _, link_id = (parts.signing.value_of("click", token) or "").partition(".")
    async with parts.database.read() as connection:
        url = await links.url_of(connection, link_id) if link_id else None
    if url is None:
        return _page("Link", _NOT_VALID, 404)
    if request.method != "HEAD" and not _is_machine(request):
        await parts.message_events.happened(message_id, "clicked", {"link": url}, once_per=link_id)
    return RedirectResponse(url, 302, headers=_NO_STORE)


@router.api_route("/u/{token}", methods=_READ)
async def unsubscribe_page(token: str, parts: Parts) -> HTMLResponse:
    """Asks; a GET changes nothing, for scanners follow links."""
    message_id = parts.signing.value_of("unsubscribe", token)
    if message_id is None:
        return _page("Unsubscribe", _NOT_VALID, 404)
    form = '<p>Do you want no more of these messages?</p><form method="post"><button>Unsubscribe</button></form>'
    if choices := await parts.consents.choices(message_id):
        form += _TOPICS.format(token=quote(token), topics="".join(map(_checkbox, choices)))
    return _page("Unsubscribe", form)


_TOPICS = """<h2 style="font-size: 1.1rem; margin-top: 3rem">Or choose what you get</h2>
<form method="post" action="/u/{token}/topics">{topics}<p><button>Save</button></p></form>"""


def _checkbox(choice: Choice) -> str:
    checked = " checked" if choice.subscribed else ""
    return (
        f'<p><label><input type="checkbox" name="topic" value="{escape(choice.topic)}"{checked}> '
        f"{escape(choice.name)}</label></p>"
    )


@router.post("/u/{token}/topics")
async def choose_topics(token: str, request: Request, parts: Parts) -> HTMLResponse:
    """The topics that the customer wants of this channel; of all others they are unsubscribed."""
    message_id = parts.signing.value_of("unsubscribe", token)
    if message_id is None:
        return _page("Unsubscribe", _NOT_VALID, 404)
    form = parse_qs((await read_body(request, MAX_FORM)).decode(errors="replace"))
    if not await parts.consents.choose(message_id, set(form.get("topic", []))):
        return _page("Not saved", _NOBODY, 404)
    return _page("Saved", "<p>Your choice is saved.</p>")


@router.post("/u/{token}")
async def unsubscribe(token: str, parts: Parts) -> HTMLResponse:
    """Unsubscribes from all marketing of the message's channel (RFC 8058); again is harmless."""
    message_id = parts.signing.value_of("unsubscribe", token)
    if message_id is None:
        return _page("Unsubscribe", _NOT_VALID, 404)
    if not await parts.consents.unsubscribe(message_id, "link"):
        return _page("Unsubscribe", _NOBODY, 404)
    said = "<p>You are unsubscribed. You will get no more of these messages.</p>"
    return _page("Unsubscribe", said)


@router.api_route("/s/{token}", methods=_READ)
async def confirm_page(token: str, parts: Parts) -> HTMLResponse:
    """Asks; a GET changes nothing, for scanners follow links."""
    topic = await parts.consents.asked_for(token)
    if topic is None:
        return _page("Subscribe", _NOT_VALID, 404)
    button = f'<form method="post"><button>Yes, send me {escape(topic)}</button></form>'
    return _page("Subscribe", f"<p>Do you want to get {escape(topic)}?</p>{button}")


@router.post("/s/{token}")
async def confirm(token: str, parts: Parts) -> HTMLResponse:
    """Confirms a subscription with double opt-in; again is harmless."""
    topic = await parts.consents.confirm(token)
    if topic is None:
        return _page("Subscribe", _NOT_VALID, 404)
    return _page("Subscribed", f"<p>You are subscribed to {escape(topic)}.</p>")
