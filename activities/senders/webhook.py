"""Requests to other services, which reach nothing inside our own network."""

import ipaddress
import socket
from typing import Any

import aiohttp
import orjson
import standardwebhooks
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, Refused, Result
from campaigns.models.values import utc_now

TIMEOUT_S = 15
MAX_ANSWER = 64 * 1024
NOT_GLOBAL = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]
"""NAT64, 6to4 and Teredo: global by their looks, and a way to any IPv4 address."""


class _Inside(OSError):
    """The URL leads to an address that is not the world's."""


class _GlobalOnly(AbstractResolver):
    """Resolves to addresses of the world alone; the connection goes to the very address that was looked at."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of the host; raises where one of them is not global."""
        found = await self._resolver.resolve(host, port, family)
        if not all(is_global(one["host"]) for one in found):
            raise _Inside("the URL leads to an address that is not global")
        return found

    async def close(self) -> None:
        """Nothing to close."""
        await self._resolver.close()


def is_global(address: str) -> bool:
    """Whether the IP address is the world's, and leads to no other one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if any(ip in network for network in NOT_GLOBAL if network.version == ip.version):
        return False
    return ip.is_global and not ip.is_multicast


class WebhookSender:
    """Sends the requests of webhook steps; made inside a running loop.

    A receiver knows a request that comes twice by its `webhook-id`, which is the message's and never changes: so,
    unlike a message to a person, one whose outcome is unknown is tried again.
    """

    def __init__(self, *, allow_internal: bool = False, secret: str | None = None) -> None:
        """`secret` signs by Standard Webhooks (https://www.standardwebhooks.com): `whsec_` and base64."""
        self._allow_internal = allow_internal
        self._signature = None if secret is None else standardwebhooks.Webhook(secret)
        connector = aiohttp.TCPConnector(resolver=None if allow_internal else _GlobalOnly(), use_dns_cache=False)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def send(self, outgoing: Outgoing) -> Result:
        """Tries once; follows no redirect, reads a small answer."""
        try:
            url = URL(outgoing.to)
            if not self._allow_internal and _is_internal_literal(url.host or ""):
                return Refused("the URL leads to an address that is not global")
            headers = {**outgoing.headers, **self._identity(outgoing)}
            async with self._session.request(
                outgoing.method,
                url,
                data=None if outgoing.text is None else outgoing.text.encode(),
                headers=headers,
                allow_redirects=False,
            ) as answer:
                return await _result(answer)
        except ValueError as error:
            return Refused(f"not a request: {error}"[:500])
        except aiohttp.ClientConnectorError as error:
            inside = isinstance(error.os_error, _Inside)
            return Refused(str(error.os_error)) if inside else NotSent(f"no connection: {error}"[:500])
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return NotSent(f"no answer: {error!r}"[:500])

    def _identity(self, outgoing: Outgoing) -> dict[str, str]:
        """By which a receiver knows a request that comes twice, and that it is ours."""
        identity = {"webhook-id": outgoing.message_id}
        if self._signature is not None:
            now = utc_now()
            identity["webhook-timestamp"] = str(int(now.timestamp()))
            identity["webhook-signature"] = self._signature.sign(outgoing.message_id, now, outgoing.text or "")
        return identity

    async def close(self) -> None:
        """Closes the session."""
        await self._session.close()


def _is_internal_literal(host: str) -> bool:
    """An address in the URL itself is not resolved, so it is looked at here."""
    try:
        return not is_global(host)
    except ValueError:
        return False


async def _result(answer: aiohttp.ClientResponse) -> Result:
    if 200 <= answer.status < 300:
        return Accepted(response=await _json(answer))
    reason = f"{answer.status} {answer.reason or ''}".strip()[:500]
    if answer.status in (408, 425, 429) or answer.status >= 500:
        return NotSent(reason)
    return Refused(reason)


async def _json(answer: aiohttp.ClientResponse) -> Any:
    """The JSON of a small answer; None of any other."""
    content = b""
    async for part in answer.content.iter_chunked(MAX_ANSWER):
        content += part
        if len(content) > MAX_ANSWER:
            return None
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
