"""What is derived from the secret key: hashes that outlive an erasure, and links that nobody can forge."""

import hashlib
import hmac

from itsdangerous import BadSignature, URLSafeSerializer


class Signing:
    """Keyed hashes and signed tokens of one secret key."""

    def __init__(self, secret_key: str) -> None:
        self._key = secret_key.encode()
        self._links = URLSafeSerializer(secret_key, salt="unsubscribe", signer_kwargs={"digest_method": hashlib.sha256})

    def hash(self, kind: str, value: str) -> str:
        """A keyed SHA-256 in hex of an id or address; `kind` keeps equal values of different kinds apart."""
        return hmac.new(self._key, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()

    def unsubscribe_token(self, message_id: str) -> str:
        """The token of a message's unsubscribe link."""
        token = self._links.dumps(message_id)
        return token.decode() if isinstance(token, bytes) else token

    def message_of(self, token: str) -> str | None:
        """The message that the token was made for; None where it is forged."""
        try:
            value = self._links.loads(token)
        except BadSignature:
            return None
        return value if isinstance(value, str) else None


def address_key(channel: str, address: str) -> str:
    """The form of an address under which it is suppressed: mail addresses without regard to case."""
    return address.strip().lower() if channel == "email" else address
