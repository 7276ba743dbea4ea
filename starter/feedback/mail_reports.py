"""Reports that come back by mail: delivery status notifications (RFC 3464) and complaints (RFC 5965)."""

from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import Message
from typing import Literal

GONE = ("5.1.", "5.2.1")
"""The address will never do (RFC 3463): it is none, or its mailbox is disabled. All else may pass."""


@dataclass(frozen=True)
class MailReport:
    """What became of one mail of ours."""

    message_id: str
    """The id in its Message-ID, before the @."""
    type: Literal["delivered", "bounced", "complained"]
    hard: bool = False
    reason: str = ""


def read_reports(raw: bytes) -> list[MailReport]:
    """Return what the mail reports: nothing where it is no report, or not final, or does not say of which mail."""
    mail = message_from_bytes(raw, policy=policy.default)
    parts = list(mail.walk())
    message_id = next(filter(None, map(_original_id, parts)), None)
    if message_id is None:
        return []
    return [report for part in parts for report in _of_part(part, message_id)]


def _of_part(part: Message, message_id: str) -> Iterator[MailReport]:
    kind = part.get_content_type()
    blocks = [block for block in part.get_payload() if isinstance(block, Message)] if part.is_multipart() else []
    if kind == "message/delivery-status":
        # The first block is about the whole message, each further one about a recipient.
        for block in blocks:
            action, status = _field(block, "Action").lower(), _field(block, "Status").partition(" ")[0]
            if action == "failed":
                reason = _field(block, "Diagnostic-Code") or status
                yield MailReport(message_id, "bounced", status.startswith(GONE), reason[:500])
            elif action == "delivered":
                yield MailReport(message_id, "delivered")
    elif kind == "message/feedback-report":
        text = part.get_payload()
        words = str(text[0]) if isinstance(text, list) and text else str(text)
        if "feedback-type: not-spam" not in words.lower():
            yield MailReport(message_id, "complained", reason="feedback report")


def _original_id(part: Message) -> str | None:
    """The id of the mail that a report encloses, whole or by its headers."""
    kind = part.get_content_type()
    enclosed: object = None
    if kind == "message/rfc822" and part.is_multipart():
        enclosed = part.get_payload(0)
    elif kind == "text/rfc822-headers":
        content = part.get_payload(decode=True)
        enclosed = message_from_bytes(content, policy=policy.default) if isinstance(content, bytes) else None
    original = _field(enclosed, "Message-ID") if isinstance(enclosed, Message) else ""
    return known_as(original) or None


def known_as(message_id: str) -> str:
    """Return our id of a Message-ID: what stands before the @."""
    return message_id.strip("<> ").partition("@")[0]


def _field(block: Message, name: str) -> str:
    return " ".join(str(block.get(name) or "").split())
