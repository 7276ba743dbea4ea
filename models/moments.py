"""Moments that stand in data as numbers. It imports nothing, for the process that renders does."""

from datetime import UTC, datetime

_UNIX_SECONDS, _UNIX_MILLISECONDS = (1e8, 1e11), (1e11, 1e14)


def unix_moment(value: object) -> datetime | None:
    """Return the moment of a number that can be nothing else than Unix time, in seconds or milliseconds; else None.

    Both mean the years 1973 to 5138, so that neither can be taken for the other. Customer.io's dates are such numbers.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if _UNIX_SECONDS[0] <= value < _UNIX_SECONDS[1]:
        return datetime.fromtimestamp(value, UTC)
    if _UNIX_MILLISECONDS[0] <= value < _UNIX_MILLISECONDS[1]:
        return datetime.fromtimestamp(value / 1000, UTC)
    return None
