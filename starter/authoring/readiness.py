"""What a mailbox provider would object to, looked at before a campaign starts.

By the senders' guidelines of Gmail (https://support.google.com/a/answer/81126) and Yahoo
(https://senders.yahooinc.com/best-practices/): SPF, DKIM and DMARC of the sender's domain, one-click unsubscription
over HTTPS, a visible way to unsubscribe, and who the sender is.
"""

from dataclasses import asdict, dataclass
from email.utils import parseaddr
from typing import Literal, Protocol

from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.resolver import NXDOMAIN, NoAnswer

from campaigns.activities.content.rendering import Part, RenderingError, look
from campaigns.models.journey.definition import Definition
from campaigns.models.journey.steps import Email
from campaigns.models.settings import Settings
from campaigns.models.values import Json

LOOKUP_S = 3.0
_LINKS = ("https://", "http://", "mailto:", "tel:", "sms:", "#", "{{}}")
_IMAGES = ("https://", "cid:", "{{}}")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, for all mails or for a step."""

    check: str
    status: Literal["ok", "objection", "unknown"]
    detail: str
    step: str | None = None


class Texts(Protocol):
    """Whoever looks up TXT records."""

    async def __call__(self, name: str) -> list[str] | None:
        """The records under the name; None where nobody could say."""
        ...


async def txt_records(name: str) -> list[str] | None:
    """The TXT records in DNS; None where no server answers."""
    try:
        resolver = Resolver()
        resolver.lifetime = LOOKUP_S
        answer = await resolver.resolve(name, "TXT")
    except (NXDOMAIN, NoAnswer):
        return []
    except (DNSException, OSError):
        return None
    return [b"".join(record.strings).decode(errors="replace") for record in answer]


async def readiness(
    settings: Settings, definition: Definition, templates: dict[str, Json], lookup: Texts = txt_records
) -> list[Json]:
    """What was looked at for the campaign's marketing mail, objections first; nothing where it sends none."""
    steps = [step for step in definition.all_steps if isinstance(step, Email) and step.category == "marketing"]
    if not steps:
        return []
    found = [_https(settings)]
    senders = {parseaddr(step.from_ or settings.mail_from or "")[1] for step in steps}
    for domain in sorted({address.rpartition("@")[2].lower() for address in senders if address}):
        found += await _domain(settings, domain, lookup)
    if "" in senders:
        found.append(Check("sender", "objection", "neither step nor CAMPAIGNS_MAIL_FROM says whom the mail is from"))
    for step in steps:
        content = _content(step, templates)
        found.append(_visible_link(step, content))
        found += await _links_and_images(step, content)
    detail = "many countries want the sender's in each mail: please look that it is there"
    found.append(Check("postal address", "unknown", detail))
    order = {"objection": 0, "unknown": 1, "ok": 2}
    shown = sorted(found, key=lambda one: order[one.status])
    return [{name: value for name, value in asdict(one).items() if value is not None} for one in shown]


def _https(settings: Settings) -> Check:
    if settings.base_url.startswith("https://"):
        return Check("one-click unsubscription", "ok", "List-Unsubscribe and List-Unsubscribe-Post, over HTTPS")
    detail = "CAMPAIGNS_PUBLIC_URL is not https: mailbox providers pass over the List-Unsubscribe header (RFC 8058)"
    return Check("one-click unsubscription", "objection", detail)


def _content(step: Email, templates: dict[str, Json]) -> dict[str, str]:
    """The parts of the mail, and of its variants by locale."""
    if step.template is None:
        variants: dict[str, Json] = {"": {"html": step.html, "text": step.text}}
    else:
        template = templates.get(step.template, {})
        variants = {"": template, **{f"{locale} ": part for locale, part in template.get("locales", {}).items()}}
    return {
        f"{locale}{name}": str(part[name])
        for locale, part in variants.items()
        for name in ("html", "text")
        if part.get(name)
    }


async def _links_and_images(step: Email, content: dict[str, str]) -> list[Check]:
    """Links that lead nowhere, and images that mailbox providers don't show or that say nothing where they are not."""
    pages = {name: Part(text, html=True) for name, text in content.items() if name.endswith("html")}
    if not pages:
        return []
    try:
        found = await look(pages)
    except RenderingError as error:
        return [Check("links and images", "objection", error.reason, step.id)]
    objections = [
        Check(
            "links", "objection", f"{name}: a link leads to {target!r}, which is nowhere outside of this text", step.id
        )
        for name, targets in found.links.items()
        for target in targets
        if not target.startswith(_LINKS)
    ]
    for name, images in found.images.items():
        for source, alt in images:
            if not source.startswith(_IMAGES):
                said = f"{name}: the image {source[:80]!r} is not shown: it needs an https address"
                objections.append(Check("images", "objection", said, step.id))
            if alt is None:
                said = f"{name}: the image {source[:80]!r} has no alt text for who does not see it"
                objections.append(Check("images", "objection", said, step.id))
    return objections or [Check("links and images", "ok", "links lead out, images are shown and described", step.id)]


def _visible_link(step: Email, content: dict[str, str]) -> Check:
    missing = [text for text in content.values() if "unsubscribe_url" not in text]
    if missing:
        detail = "a part of the mail has no {{ unsubscribe_url }}: who finds no link presses 'spam'"
        return Check("visible unsubscribe link", "objection", detail, step.id)
    return Check("visible unsubscribe link", "ok", "each part of the mail has it", step.id)


async def _domain(settings: Settings, domain: str, lookup: Texts) -> list[Check]:
    """SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489), as far as DNS shows them."""
    selector = settings.dkim_selector
    checks = [
        _record("SPF", domain, await lookup(domain), "v=spf1"),
        _record("DMARC", domain, await lookup(f"_dmarc.{domain}"), "v=DMARC1"),
    ]
    if selector is None or settings.dkim_key is None:
        detail = f"{domain}: CAMPAIGNS_DKIM_KEY is not set, so mail is unsigned unless your mail server signs it"
        checks.append(Check("DKIM", "unknown", detail))
    else:
        checks.append(_record("DKIM", domain, await lookup(f"{selector}._domainkey.{domain}"), "p="))
    return checks


def _record(check: str, domain: str, records: list[str] | None, mark: str) -> Check:
    if records is None:
        return Check(check, "unknown", f"{domain}: DNS could not be asked")
    matching = [record for record in records if mark in record]
    if not matching:
        return Check(check, "objection", f"{domain}: there is no {check} record")
    if check == "SPF" and len(matching) > 1:
        return Check(check, "objection", f"{domain}: there are {len(matching)} SPF records, which counts as an error")
    return Check(check, "ok", f"{domain}: {matching[0][:100]}")
