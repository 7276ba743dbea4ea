"""Twilio's error codes (https://www.twilio.com/docs/api/errors), with what each says of a message: the one table.

The same code may come as the answer to a request, and later by a status callback.
"""

from enum import Enum, auto


class Meaning(Enum):
    """What an error says, and of whom."""

    OURS = auto()
    """Credentials, the sender's number, permissions, registration: no message of ours is taken."""
    BAD_NUMBER = auto()
    """This number can't get text messages."""
    OPTED_OUT = auto()
    """The number's owner has told Twilio that they want none."""
    REFUSED = auto()
    """This one message is not taken; nothing is said of others."""


OPTED_OUT = 21610
_MEANINGS = {
    Meaning.OURS: (20003, 20404, 21212, 21408, 21603, 21606, 21659, 30007, 30034, 63007),
    Meaning.BAD_NUMBER: (21211, 21614, 21635, 30005, 30006),
    Meaning.OPTED_OUT: (OPTED_OUT,),
}
_BY_CODE = {code: meaning for meaning, codes in _MEANINGS.items() for code in codes}


def meaning_of(code: int | str | None) -> Meaning:
    """Return what the code says; one that is not known says nothing beyond this message."""
    try:
        return _BY_CODE.get(int(code or 0), Meaning.REFUSED)
    except ValueError:
        return Meaning.REFUSED
