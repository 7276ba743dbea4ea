"""What is derived from the secret key: hashes that outlive an erasure, and links that nobody can forge."""

import base64
import hashlib
import hmac
from typing import Any, Literal

import orjson
from cryptography.fernet import Fernet
from itsdangerous import BadSignature, URLSafeSerializer

LinkKind = Literal["unsubscribe", "open", "click", "confirm"]


class Signing:
    """Keyed hashes and signed tokens of one secret key."""

    def __init__(self, secret_key: str) -> None:
        self._key = secret_key.encode()
        self._secret_key = secret_key
        self._sealing = Fernet(base64.urlsafe_b64encode(hmac.new(self._key, b"sealing", hashlib.sha256).digest()))

    def seal(self, value: Any) -> str:
        """The value encrypted and signed, so that it may stand where customer data may not."""
        return self._sealing.encrypt(orjson.dumps(value)).decode()

    def unseal(self, token: str) -> Any:
        """The value again. Raises cryptography.fernet.InvalidToken for what this key did not seal."""
        return orjson.loads(self._sealing.decrypt(token.encode()))

    def hash(self, kind: str, value: str) -> str:
        """A keyed SHA-256 in hex of an id or address; `kind` keeps equal values of different kinds apart."""
        return hmac.new(self._key, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()

    def address_hash(self, channel: str, address: str) -> str:
        """The hash by which an address is suppressed on a channel: mail addresses without regard to case."""
        return self.hash(channel, address.strip().lower() if channel == "email" else address)

    def token(self, kind: LinkKind, value: str) -> str:
        """The token of a link that only this key can make; one kind's is no other's."""
        token = self._serializer(kind).dumps(value)
        return token.decode() if isinstance(token, bytes) else token

    def value_of(self, kind: LinkKind, token: str) -> str | None:
        """What the token was made for; None where it is forged, or another kind's."""
        try:
            value = self._serializer(kind).loads(token)
        except BadSignature:
            return None
        return value if isinstance(value, str) else None

    def _serializer(self, kind: LinkKind) -> URLSafeSerializer:
        return URLSafeSerializer(self._secret_key, salt=kind, signer_kwargs={"digest_method": hashlib.sha256})
