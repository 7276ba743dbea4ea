"""The customer's clock, against zoneinfo itself: all zones, the years 2025 to 2035."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from campaigns.models.journey.definition import QuietHours
from campaigns.models.journey.steps import UntilAttribute, UntilTime
from campaigns.models.journey.wallclock import (
    WEEKDAYS,
    at_clock,
    next_time,
    quiet_times_until,
    quiet_until,
    until_attribute,
    until_time,
    zone_of,
)
from campaigns.models.values import time_zones

FIRST, LAST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
zones = st.sampled_from(sorted(time_zones())).map(ZoneInfo)
moments = st.integers(0, int((LAST - FIRST).total_seconds())).map(lambda seconds: FIRST + timedelta(seconds=seconds))
clocks = st.times().map(lambda one: f"{one:%H:%M}")
weekday_sets = st.none() | st.sets(st.sampled_from(WEEKDAYS), min_size=1).map(sorted)


def shown(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%H:%M}"


def exists(day: date, clock: str, zone: ZoneInfo) -> bool:
    """Whether clocks there show the time on that day: what goes to UTC and back stays the same."""
    naive = datetime.combine(day, time.fromisoformat(clock))
    return naive.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == naive


@settings(max_examples=1500, deadline=None)
@given(moments, clocks, weekday_sets, zones)
def test_the_next_time_is_the_first_on_that_clock(after, clock, weekdays, zone):
    check_next_time(after, clock, weekdays, zone)


def check_next_time(after, clock, weekdays, zone):
    found = next_time(after, UntilTime(time=clock, weekdays=weekdays), zone)
    assert found > after
    local = found.astimezone(zone)
    if shown(found, zone) == clock:
        assert local.fold == 0  # what comes twice happens at the first
        assert weekdays is None or WEEKDAYS[local.weekday()] in weekdays
    else:
        # Skipped by a change of clock: moved forward by the gap, so the minutes before the gap count on.
        before, behind = found - timedelta(hours=3), found
        gap = behind.astimezone(zone).utcoffset() - before.astimezone(zone).utcoffset()
        assert gap > timedelta(0)
        assert f"{local.replace(tzinfo=None) - gap:%H:%M}" == clock
    # Nothing earlier fits: no minute between shows this time on such a day, but for second occurrences.
    day, last = after.astimezone(zone).date(), local.date()
    while day <= last:
        if (weekdays is None or WEEKDAYS[day.weekday()] in weekdays) and exists(day, clock, zone):
            candidate = datetime.combine(day, time.fromisoformat(clock), zone).astimezone(UTC)
            assert candidate <= after or candidate >= found
        day += timedelta(days=1)


@settings(max_examples=1000, deadline=None)
@given(moments, clocks, clocks, zones)
def test_quiet_hours_end_on_that_clock_and_nothing_is_quiet_at_their_end(now, begin, end, zone):
    if begin == end:
        return
    until = quiet_until(now, begin, end, zone)
    clock = shown(now, zone)
    inside = begin <= clock < end if begin < end else clock >= begin or clock < end
    if not changes_clock(now, zone):
        assert (until is not None) == inside
    if until is not None:
        assert now < until <= now + timedelta(hours=25)
        assert quiet_until(until, begin, end, zone) is None or changes_clock(until, zone)
        assert shown(until, zone) == end or changes_clock(until, zone)


def changes_clock(moment: datetime, zone: ZoneInfo) -> bool:
    """Whether clocks there change within a day and a half of the moment."""
    offsets = {(moment + timedelta(hours=h)).astimezone(zone).utcoffset() for h in range(-36, 37, 1)}
    return len(offsets) > 1


@settings(max_examples=500, deadline=None)
@given(st.dates(date(2025, 1, 5), date(2035, 12, 25)), clocks, st.integers(-40, 40), zones)
def test_a_date_is_moved_by_days_of_the_calendar(day, clock, offset, zone):
    until = UntilAttribute(attribute="on", offset=f"{'-' if offset < 0 else ''}P{abs(offset)}D", time=clock)
    long_ago = datetime(2024, 1, 1, tzinfo=UTC)
    plan = until_attribute(
        long_ago.replace(year=day.year - 1), until, {"on": day.isoformat(), "timezone": zone.key}, None
    )
    assert plan.moment == at_clock(day + timedelta(days=offset), clock, zone)


def changes(zone: ZoneInfo) -> list[datetime]:
    """The hours in which clocks there change, in all the years."""
    found, moment = [], FIRST
    while moment < LAST:
        following = moment + timedelta(days=1)
        if moment.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            hour = moment
            while hour.astimezone(zone).utcoffset() == (hour + timedelta(hours=1)).astimezone(zone).utcoffset():
                hour += timedelta(hours=1)
            found.append(hour)
        moment = following
    return found


def test_around_each_change_of_clock_of_all_zones():
    seen = 0
    for name in sorted(time_zones()):
        zone = ZoneInfo(name)
        for change in changes(zone):
            seen += 1
            after = change - timedelta(hours=20)
            for minutes in (-75, -30, 15, 45, 75, 135):
                clock = shown(change + timedelta(minutes=minutes), zone)
                check_next_time(after, clock, None, zone)
            # What the change skips.
            local = change.astimezone(zone).replace(tzinfo=None)
            for minutes in (15, 45, 75, 90):
                check_next_time(after, f"{local + timedelta(minutes=minutes):%H:%M}", None, zone)
    assert seen > 4_000


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


ATHENS = {"timezone": "Europe/Athens"}


@pytest.mark.parametrize(
    ("now", "until", "expected"),
    [
        # 03:00 to 04:00 does not exist on 28 March 2027 in Athens: 03:30 is 04:30.
        ("2027-03-27T20:00Z", {"time": "03:30"}, "2027-03-28T04:30+03:00"),
        # 03:00 to 04:00 comes twice on 31 October 2027: the first.
        ("2027-10-30T20:00Z", {"time": "03:30"}, "2027-10-31T03:30+03:00"),
        # Between the two occurrences the day's time has passed.
        ("2027-10-31T00:45Z", {"time": "03:30"}, "2027-11-01T03:30+02:00"),
        # 09:00 stays 09:00 over the change.
        ("2027-10-30T20:00Z", {"time": "09:00"}, "2027-10-31T09:00+02:00"),
        # At the very moment it is the next one.
        ("2027-06-01T09:00+03:00", {"time": "09:00"}, "2027-06-02T09:00+03:00"),
        # Weekdays are the customer's: it is Friday there while it is Thursday in UTC.
        ("2027-06-03T22:00Z", {"time": "01:30", "weekdays": ["fri"]}, "2027-06-04T01:30+03:00"),
        ("2027-06-04T00:00Z", {"time": "01:30", "weekdays": ["fri"]}, "2027-06-11T01:30+03:00"),
    ],
)
def test_a_time_of_day(now, until, expected):
    assert until_time(utc(now), UntilTime(**until), ATHENS, None).moment == utc(expected)


@pytest.mark.parametrize(
    ("value", "until", "expected"),
    [
        ("2027-06-10", {"offset": "-P3D", "time": "09:00"}, "2027-06-07T09:00+03:00"),
        ("2027-06-10", {}, "2027-06-10T00:00+03:00"),
        ("2027-06-10T22:30:00Z", {"time": "09:00"}, "2027-06-11T09:00+03:00"),  # their 11th
        ("2027-06-10T22:30:00Z", {}, "2027-06-10T22:30Z"),
        ("2027-06-10T12:00", {"offset": "P1D"}, "2027-06-11T12:00+03:00"),
        ("2027-06-10T12:00", {"offset": "-PT2H"}, "2027-06-10T10:00+03:00"),
        ("2027-04-02T12:00+03:00", {"offset": "-P7D"}, "2027-03-26T12:00+02:00"),  # over the change of clock
        ("2027-10-31T01:30Z", {}, "2027-10-31T01:30Z"),  # the second 03:30 is a moment too
        (1_812_666_600, {}, "2027-06-10T22:30Z"),  # Unix time
        (1_812_666_600_000, {"time": "09:00"}, "2027-06-11T09:00+03:00"),
        (True, {}, "invalid_date"),
        (None, {}, "no_date"),
        ("", {}, "no_date"),
        ("soon", {}, "invalid_date"),
        (17, {}, "invalid_date"),
        ("9999-12-31", {"offset": "P30D"}, "invalid_date"),
        ("2999-12-31", {}, "invalid_date"),
        ("2027-01-09", {"offset": "-P10D"}, "past_date"),
        ("2027-01-01T00:00:00Z", {}, "past_date"),
    ],
)
def test_a_date_of_the_customers(value, until, expected):
    attributes = {**ATHENS, **({} if value is None else {"on": value})}
    plan = until_attribute(utc("2027-01-01T00:00Z"), UntilAttribute(attribute="on", **until), attributes, None)
    assert plan.skipped == expected if "_" in expected else plan.moment == utc(expected)


def test_a_nested_date():
    until = UntilAttribute(attribute="contract.ends", time="09:00")
    plan = until_attribute(utc("2027-01-01T00:00Z"), until, {"contract": {"ends": "2027-02-01"}}, "Asia/Tokyo")
    assert plan.moment == utc("2027-02-01T09:00+09:00")


@pytest.mark.parametrize(
    ("attributes", "campaign", "name", "warned"),
    [
        ({"timezone": "Asia/Tokyo"}, "Europe/Athens", "Asia/Tokyo", False),
        ({}, "Europe/Athens", "Europe/Athens", False),
        ({"timezone": ""}, None, "UTC", False),
        ({"timezone": "Mars/Base"}, "Europe/Athens", "Europe/Athens", True),
        ({"timezone": 3}, None, "UTC", True),
        ({"timezone": "../../etc/passwd"}, None, "UTC", True),
    ],
)
def test_the_zone(attributes, campaign, name, warned):
    zone = zone_of(attributes, campaign)
    assert zone.info.key == name
    assert bool(zone.warning) is warned
    assert "Mars" not in (zone.warning or "")  # it goes into histories


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2027-06-01T21:59+03:00", None),
        ("2027-06-01T22:00+03:00", "2027-06-02T08:00+03:00"),
        ("2027-06-02T07:59+03:00", "2027-06-02T08:00+03:00"),
        ("2027-06-02T08:00+03:00", None),
        ("2027-10-30T23:00+03:00", "2027-10-31T08:00+02:00"),
    ],
)
def test_quiet_hours_over_midnight(now, expected):
    until = quiet_until(utc(now), "22:00", "08:00", ZoneInfo("Europe/Athens"))
    assert until == (utc(expected) if expected else None)


def quiet(at: str, times: dict, channel: str = "email") -> str | None:
    zone = ZoneInfo("Europe/Athens")
    hours = QuietHours.model_validate(times).of(channel)
    until = quiet_times_until(datetime.fromisoformat(at).replace(tzinfo=zone).astimezone(UTC), hours, zone)
    return None if until is None else until.astimezone(zone).isoformat()[:16]


def test_allowed_weekdays_and_quiet_hours_of_a_channel():
    """2026-03-27 is a Friday; in the night to Sunday the clocks of Athens go forward."""
    night = {"from": "21:00", "to": "09:00"}
    working = ["mon", "tue", "wed", "thu", "fri"]
    assert quiet("2026-03-27T12:00", {**night, "weekdays": working}) is None
    assert quiet("2026-03-27T22:00", {**night, "weekdays": working}) == "2026-03-30T09:00"
    assert quiet("2026-03-28T12:00", {**night, "weekdays": working}) == "2026-03-30T09:00"
    assert quiet("2026-03-28T12:00", {"weekdays": working}) == "2026-03-30T00:00"
    assert quiet("2026-03-30T08:59", {"weekdays": ["sun"]}) == "2026-04-05T00:00"
    by_channel = {
        **night,
        "channels": {"sms": {"from": "20:00", "to": "10:00", "weekdays": ["mon"]}, "push": {"weekdays": ["sat"]}},
    }
    assert quiet("2026-03-28T20:30", by_channel) is None
    assert quiet("2026-03-28T20:30", by_channel, "sms") == "2026-03-30T10:00"
    assert quiet("2026-03-28T23:30", by_channel, "push") is None


@pytest.mark.parametrize(
    "times",
    [
        {},
        {"from": "21:00"},
        {"to": "09:00"},
        {"weekdays": []},
        {"from": "09:00", "to": "09:00"},
        {"channels": {"fax": {}}},
    ],
)
def test_quiet_times_that_say_nothing(times: dict):
    with pytest.raises(ValidationError):
        QuietHours.model_validate(times)
