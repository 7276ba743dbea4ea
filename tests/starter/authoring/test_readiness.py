"""What a mailbox provider would object to; the records come from a DNS server of the test's own."""

import asyncio
import socket

import dns.asyncresolver
import dns.message
import dns.rrset
import pytest

from campaigns.models.journey.definition import parse_definition
from campaigns.models.settings import Settings
from campaigns.starter.authoring import readiness as module
from campaigns.starter.authoring.readiness import readiness
from tests.support.product import Product

MAIL = {
    "type": "email",
    "subject": "Hi",
    "text": "Bye: {{ unsubscribe_url }}",
    "html": "<a href='{{ unsubscribe_url }}'>no more</a>",
}
RECORDS = {
    "example.com.": ["v=spf1 include:_spf.example.com -all", "other=1"],
    "_dmarc.example.com.": ["v=DMARC1; p=reject"],
    "s1._domainkey.example.com.": ["v=DKIM1; k=rsa; p=MIIB"],
    "twice.example.": ["v=spf1 -all", "v=spf1 +all"],
}


class Dns(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        answer = dns.message.make_response(query)
        if name in RECORDS:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *(f'"{one}"' for one in RECORDS[name])))
        self.transport.sendto(answer.to_wire(), address)


@pytest.fixture
async def dns_server(monkeypatch):
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Dns, ("127.0.0.1", 0))

    def resolver() -> dns.asyncresolver.Resolver:
        made = dns.asyncresolver.Resolver(configure=False)
        made.nameservers, made.port = ["127.0.0.1"], transport.get_extra_info("sockname")[1]
        return made

    monkeypatch.setattr(module, "Resolver", resolver)
    yield
    transport.close()


def settings(**more: object) -> Settings:
    given = {
        "public_url": "https://c.example.com",
        "mail_from": "Shop <shop@example.com>",
        "dkim_selector": "s1",
        "dkim_key": "key",
    }
    return Settings(**{**given, **more})


async def checked(steps: list[dict], **more: object) -> dict[str, str]:
    definition = parse_definition({"key": "c", "name": "C", "trigger": {"type": "event", "event": "E"}, "steps": steps})
    return {one["check"]: one["status"] for one in await readiness(settings(**more), definition, {})}


@pytest.mark.usefixtures("dns_server")
async def test_all_is_well():
    found = await checked([MAIL])
    assert found.pop("postal address") == "unknown"
    assert found == dict.fromkeys(
        ["SPF", "DKIM", "DMARC", "one-click unsubscription", "visible unsubscribe link", "links and images"], "ok"
    )
    assert await checked([{"type": "sms", "body": "Hi"}, {**MAIL, "category": "transactional"}]) == {}


@pytest.mark.usefixtures("dns_server")
async def test_what_is_objected_to():
    found = await checked(
        [{**MAIL, "text": "Bye", "from": "a@twice.example"}], public_url="http://c.example.com", dkim_key=None
    )
    objections = {name for name, status in found.items() if status == "objection"}
    assert objections == {"SPF", "DMARC", "one-click unsubscription", "visible unsubscribe link"}
    assert found["DKIM"] == "unknown"
    assert (await checked([MAIL], mail_from=None))["sender"] == "objection"


@pytest.mark.usefixtures("dns_server")
@pytest.mark.parametrize(
    ("html", "objected"),
    [
        (
            '<a href="{{ event["url"] }}">go</a><img src="https://x.example/{{ event.a }}.png" alt="{{ event["a"] }}">',
            [],
        ),
        ("<a href='mailto:shop@example.com'>write</a><img src='cid:logo' alt=''>", []),
        ("<a>go</a>", ["links"]),
        ("{% if customer.a %}<a href='/cart'>go</a>{% endif %}", ["links"]),
        ("<a href='javascript:go()'>go</a>", ["links"]),
        ("<img src='http://x.example/a.png' alt='a'>", ["images"]),
        ("<img src='https://x.example/a.png'>", ["images"]),
        ("<img src='a.png'>", ["images", "images"]),
        (
            "<mjml><mj-body><mj-section><mj-column><mj-button href='shop'>x</mj-button></mj-column></mj-section></mj-body></mjml>",
            ["links"],
        ),
        ("<mjml></mjml>", ["links and images"]),
    ],
)
async def test_links_and_images(html: str, objected: list[str]):
    definition = parse_definition(
        {
            "key": "c",
            "name": "C",
            "trigger": {"type": "event", "event": "E"},
            "steps": [{"type": "email", "template": "t"}],
        }
    )
    template = {
        "subject": "Hi",
        "text": "{{ unsubscribe_url }}",
        "locales": {"de": {"html": html + "{{ unsubscribe_url }}"}},
    }
    if html == "<mjml></mjml>":
        template["locales"]["de"]["html"] = html
    found = await readiness(settings(), definition, {"t": template})
    assert [
        one["check"] for one in found if one["status"] == "objection" and one["check"] != "visible unsubscribe link"
    ] == objected


async def test_without_dns_nobody_knows(monkeypatch):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        made = dns.asyncresolver.Resolver(configure=False)
        made.nameservers, made.port = ["127.0.0.1"], silent.getsockname()[1]
        monkeypatch.setattr(module, "Resolver", lambda: made)
        monkeypatch.setattr(module, "LOOKUP_S", 0.2)
        found = await checked([MAIL])
    assert (found["SPF"], found["DKIM"], found["DMARC"]) == ("unknown", "unknown", "unknown")


async def test_the_route(product: Product):
    starter = await product.starter()
    await starter.campaign("c", start=False, steps=[{**MAIL, "text": "Bye", "html": None}])
    found = await starter.call("GET", "/v1/campaigns/c/readiness")
    assert found["checks"][0]["status"] == "objection"
    await starter.call("GET", "/v1/campaigns/none/readiness", status=404)
