"""Times as people mean them: the customer's clock and calendar, over every change of clock.

A wall-clock time that a change of clock skips moves forward by the gap, one that comes twice happens once, at the first
(PEP 495 with `fold=0`). Zones and their rules are IANA's, by `zoneinfo`.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.models.journey.conditions import value_at
from campaigns.models.journey.definition import QuietTimes
from campaigns.models.journey.steps import UntilAttribute, UntilTime, Weekday
from campaigns.models.moments import unix_moment
from campaigns.models.values import MAX_DURATION, Json, parse_duration, time_zones

WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = timedelta(days=1)

NO_DATE, INVALID_DATE, PAST_DATE = "no_date", "invalid_date", "past_date"
"""Why a delay until a date of the customer's is skipped."""


@dataclass(frozen=True)
class Zone:
    """Where the customer's clock hangs, and what was wrong with what they say of it."""

    info: ZoneInfo
    warning: str | None = None


@dataclass(frozen=True)
class Until:
    """When a delay ends, or why there is none; `warning` is for the timeline."""

    moment: datetime | None
    skipped: str | None = None
    warning: str | None = None


def zone_of(attributes: Json, campaign_zone: str | None) -> Zone:
    """The customer's zone, else the campaign's, else UTC."""
    fallback = campaign_zone or "UTC"
    wanted = attributes.get("timezone")
    if wanted is None or wanted == "":
        return Zone(ZoneInfo(fallback))
    if not isinstance(wanted, str) or wanted not in time_zones():
        return Zone(ZoneInfo(fallback), f"the customer's timezone is not known; {fallback} was taken")
    return Zone(ZoneInfo(wanted))


def at_clock(day: date, clock: str, zone: ZoneInfo) -> datetime:
    """The moment, in UTC, at which clocks there show the time (`HH:MM`) on that day."""
    hour, minute = clock.split(":")
    return datetime.combine(day, time(int(hour), int(minute)), zone).astimezone(UTC)


def next_time(after: datetime, until: UntilTime, zone: ZoneInfo) -> datetime:
    """The first moment after this one at which clocks there show the time, on one of the weekdays."""
    # From the day before: a gap may push the last day's time over midnight.
    day = after.astimezone(zone).date() - DAY
    while True:
        if until.weekdays is None or WEEKDAYS[day.weekday()] in until.weekdays:
            moment = at_clock(day, until.time, zone)
            if moment > after:
                return moment
        day += DAY


def quiet_until(now: datetime, begin: str, end: str, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours end in which this moment lies; None outside of them. They may run over midnight."""
    today = now.astimezone(zone).date()
    for day in (today - DAY, today, today + DAY):
        last_day = day if end > begin else day + DAY
        if at_clock(day, begin, zone) <= now < (over := at_clock(last_day, end, zone)):
            return over
    return None


def quiet_times_until(now: datetime, times: QuietTimes, zone: ZoneInfo) -> datetime | None:
    """When a message may go at last: behind the quiet hours, on an allowed day. None where it may go now."""
    moment = now
    # Each round reaches another day, or the end of a day's quiet hours: two weeks hold every combination.
    for _ in range(30):
        day = moment.astimezone(zone).date()
        if times.weekdays is not None and WEEKDAYS[day.weekday()] not in times.weekdays:
            moment = at_clock(day + DAY, "00:00", zone)
        elif times.from_ is not None and times.to is not None:
            over = quiet_until(moment, times.from_, times.to, zone)
            if over is None:
                break
            moment = over
        else:
            break
    return moment if moment > now else None


def until_time(now: datetime, until: UntilTime, attributes: Json, campaign_zone: str | None) -> Until:
    """When a delay until a time of day ends."""
    zone = zone_of(attributes, campaign_zone)
    return Until(next_time(now, until, zone.info), warning=zone.warning)


def until_attribute(now: datetime, until: UntilAttribute, attributes: Json, campaign_zone: str | None) -> Until:
    """When a delay until a date of the customer's ends; one that is missing, no date, or past is skipped."""
    zone = zone_of(attributes, campaign_zone)
    value = value_at(attributes, until.attribute)
    if value is None or value == "":
        return Until(None, NO_DATE, zone.warning)
    try:
        moment = date_moment(value, until, zone.info)
        in_reach = moment - now <= MAX_DURATION
    except (ValueError, OverflowError):
        return Until(None, INVALID_DATE, zone.warning)
    if not in_reach:
        return Until(None, INVALID_DATE, zone.warning)
    if moment <= now:
        return Until(None, PAST_DATE, zone.warning)
    return Until(moment, warning=zone.warning)


def date_moment(value: Any, until: UntilAttribute, zone: ZoneInfo) -> datetime:
    """The moment of a date attribute, moved by the offset's days on the calendar and the rest of it on the clock.

    A date alone begins at midnight. A time without an offset is the customer's wall-clock time, one with an offset, or
    in Unix time, is a moment, whose day is the customer's. `time` replaces the time of day. Raises ValueError or
    OverflowError.
    """
    if (unix := unix_moment(value)) is not None:
        local = unix.astimezone(zone)
    elif isinstance(value, str):
        local = _local(value.strip(), zone)
    else:
        raise ValueError("is not an ISO 8601 date or time in a string, and no Unix time")
    offset = parse_duration(until.offset)
    days = int(offset / DAY)
    if local.tzinfo is not None and until.time is None and not days:
        return local.astimezone(UTC) + offset  # A moment on its own day is that moment, on whatever clock.
    day = local.date() + days * DAY
    clock = local.time()
    if until.time is not None:
        hour, minute = until.time.split(":")
        clock = time(int(hour), int(minute))
    return datetime.combine(day, clock, zone).astimezone(UTC) + (offset - days * DAY)


def _local(value: str, zone: ZoneInfo) -> datetime:
    """What an attribute says, on the customer's clock; with their zone where it is a moment."""
    try:
        return datetime.combine(date.fromisoformat(value), time())
    except ValueError:
        moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo is None else moment.astimezone(zone)
