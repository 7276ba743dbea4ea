"""Push by Firebase Cloud Messaging, HTTP v1 (https://firebase.google.com/docs/cloud-messaging/send/v1-api)."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import google.auth.exceptions
import orjson
from google.auth.transport.requests import Request
from google.oauth2.service_account import Credentials

from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, OwnFault, Refused, Result, Unknown

TIMEOUT_S = 15
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
BASE_URL = "https://fcm.googleapis.com"


def read_credentials(setting: str) -> dict[str, Any]:
    """A service account's key from the setting: the JSON itself, or the path of its file. Raises ValueError."""
    text = setting if setting.lstrip().startswith("{") else Path(setting).read_text()
    info: dict[str, Any] = orjson.loads(text)
    Credentials.from_service_account_info(info)
    if not info.get("project_id"):
        raise ValueError("the service account's key names no project_id")
    return info


class FcmSender:
    """Sends push notifications to the tokens of one project; made inside a running loop."""

    def __init__(self, credentials: dict[str, Any], base_url: str | None) -> None:
        self._credentials = Credentials.from_service_account_info(credentials, scopes=[SCOPE])
        self._url = f"{(base_url or BASE_URL).rstrip('/')}/v1/projects/{credentials['project_id']}/messages:send"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        self._refreshing = asyncio.Lock()

    async def send(self, outgoing: Outgoing) -> Result:
        """Tries once. FCM knows no idempotency key, but a device shows a double in place of the first."""
        try:
            token = await self._token()
        except google.auth.exceptions.GoogleAuthError as error:
            return NotSent(f"no access token: {error}"[:500], outage=True)
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with self._session.post(self._url, json={"message": _message(outgoing)}, headers=headers) as answer:
                body = await answer.json(content_type=None)
                return _result(answer.status, body if isinstance(body, dict) else {})
        except aiohttp.ClientConnectorError as error:
            return NotSent(f"no connection: {error}", outage=True)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return Unknown(f"no answer: {error!r}"[:500])

    async def close(self) -> None:
        """Closes the session."""
        await self._session.close()

    async def _token(self) -> str:
        async with self._refreshing:
            if not self._credentials.valid:
                await asyncio.to_thread(self._credentials.refresh, Request())
        return str(self._credentials.token)


def _message(outgoing: Outgoing) -> dict[str, Any]:
    message: dict[str, Any] = {
        "token": outgoing.to,
        "notification": {"title": outgoing.title, "body": outgoing.text or ""},
        "data": {"message_id": outgoing.message_id},
        # One message has one identity: what should come twice replaces itself on the device.
        "android": {"notification": {"tag": outgoing.message_id}},
        "apns": {"headers": {"apns-collapse-id": outgoing.message_id}},
        "webpush": {"notification": {"tag": outgoing.message_id}},
    }
    if outgoing.link:
        message["data"]["link"] = outgoing.link
        if outgoing.link.startswith("https://"):
            message["webpush"]["fcm_options"] = {"link": outgoing.link}
    return message


def _result(status: int, body: dict[str, Any]) -> Result:
    """By FCM's error codes (https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode)."""
    if status == 200:
        return Accepted(str(body.get("name", ""))[:255])
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    details = error.get("details") or []
    code = next((one["errorCode"] for one in details if isinstance(one, dict) and "errorCode" in one), None)
    reason = f"{code or error.get('status') or status}: {error.get('message', '')}"[:500]
    if status in (429, 503):
        return NotSent(reason)  # QUOTA_EXCEEDED and UNAVAILABLE: not taken, to be tried again.
    if status >= 500:
        return Unknown(reason)
    if status in (401, 403):
        return OwnFault(reason)  # THIRD_PARTY_AUTH_ERROR and SENDER_ID_MISMATCH: the project's set-up.
    return Refused(reason, bad_address=code == "UNREGISTERED")
