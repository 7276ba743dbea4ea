"""Text messages by Twilio's Messages resource (https://www.twilio.com/docs/messaging/api/message-resource)."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from twilio.base.exceptions import TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, OwnFault, Refused, Result, Unknown
from campaigns.activities.senders.twilio.errors import Meaning, meaning_of

TIMEOUT_S = 15
CLOCKS = timedelta(minutes=1)
"""So far may Twilio's clock and ours lie apart."""


class _HttpClient(AsyncTwilioHttpClient):
    """Twilio's client with a time-out, without retries, and towards another host where that is set."""

    def __init__(self, base_url: str | None) -> None:
        super().__init__(max_retries=None)
        self._base = urlsplit(base_url) if base_url else None

    async def request(  # type: ignore[override] # the library overrides its own synchronous method so
        self, method: str, uri: str, *args: Any, **kwargs: Any
    ) -> Response:
        """One request, once."""
        if self._base:
            parts = urlsplit(uri)
            uri = urlunsplit((self._base.scheme, self._base.netloc, parts.path, parts.query, ""))
        kwargs["timeout"] = None
        async with asyncio.timeout(TIMEOUT_S):
            return await super().request(method, uri, *args, **kwargs)


class TwilioSender:
    """Sends text messages from one number, or WhatsApp messages by its prefix; made inside a running loop.

    https://www.twilio.com/docs/whatsapp/api: WhatsApp addresses are phone numbers behind `whatsapp:`.
    """

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        sender: str,
        base_url: str | None,
        *,
        prefix: str = "",
        callbacks: str | None = None,
    ) -> None:
        """`callbacks` is the URL that Twilio tells of each message, behind which comes the message's id."""
        self._http = _HttpClient(base_url)
        self._client = Client(account_sid, auth_token, http_client=self._http)
        self._prefix = prefix
        self._from = prefix + sender.removeprefix(prefix)
        self._callbacks = callbacks

    async def send(self, outgoing: Outgoing) -> Result:
        """Tries once. Twilio knows no idempotency key: an answer that does not come leaves the outcome unknown."""
        try:
            told = {"status_callback": f"{self._callbacks}/{outgoing.message_id}"} if self._callbacks else {}
            message = await self._client.messages.create_async(
                to=self._prefix + outgoing.to, from_=self._from, body=outgoing.text or "", **told
            )
        except TwilioRestException as error:
            return _failure(error.status, error.code, f"{error.code}: {error.msg}"[:500])
        except aiohttp.ClientConnectorError as error:
            return NotSent(f"no connection: {error}", outage=True)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return Unknown(f"no answer: {error!r}")
        return Accepted(message.sid)

    async def find(self, to: str, text: str, since: datetime) -> list[str]:
        """Looks through Twilio's list of messages to the number. Raises OSError where it can't be had."""
        try:
            # Not by its date of sending: a message that is still queued has none.
            listed = await self._client.messages.list_async(to=self._prefix + to, from_=self._from, limit=100)
        except (TwilioRestException, TimeoutError, aiohttp.ClientError) as error:
            raise OSError(f"Twilio's list can't be had: {error!r}") from error
        return [
            one.sid
            for one in listed
            if one.sid and one.body == text and (one.date_created is None or one.date_created >= since - CLOCKS)
        ]

    async def close(self) -> None:
        """Closes the session."""
        await self._http.close()


def _failure(status: int, code: int | None, reason: str) -> Result:
    if status == 429:
        return NotSent(reason)
    if status >= 500:
        return Unknown(reason)
    meaning = meaning_of(code)
    if status in (401, 403) or meaning is Meaning.OURS:
        return OwnFault(reason)
    return Refused(reason, bad_address=meaning in (Meaning.BAD_NUMBER, Meaning.OPTED_OUT))
