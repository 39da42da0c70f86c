"""Due times against a model of another make: it walks the clock of a zone, minute by minute."""

from __future__ import annotations

import sys
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobpool.errors import InvalidConfiguration
from jobpool.timetable import Cron, Every

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

#: Days on which clocks are put, by zone; some in odd ways.
CHANGES = {
    "UTC": ["2024-02-28", "2024-12-31"],
    "Europe/Berlin": ["2026-03-29", "2026-10-25"],
    "America/New_York": ["2026-03-08", "2026-11-01"],
    "Europe/Dublin": ["2026-03-29", "2026-10-25"],  # its winter time is the one that is put
    "Australia/Lord_Howe": ["2026-04-05", "2026-10-04"],  # by half an hour
    "Antarctica/Troll": ["2026-03-29", "2026-10-25"],  # by two hours
    "America/Sao_Paulo": ["2018-11-04", "2018-02-18"],  # at midnight: a day without its first hour
    "Asia/Beirut": ["2026-03-29", "2026-10-25"],  # at midnight
    "America/Havana": ["2026-03-08", "2026-11-01"],  # from midnight, and back to it
    "Africa/Casablanca": ["2026-02-15", "2026-03-22"],  # for the month of Ramadan
    "Asia/Pyongyang": ["2018-05-04"],  # by half an hour, for good, at 23:30
    "America/Caracas": ["2016-05-01"],  # by half an hour, for good
    "Pacific/Apia": ["2011-12-30"],  # a day that never was
    "Asia/Kathmandu": ["2026-01-31"],  # never, and at a quarter to
}
DAYS = [(zone, day) for zone, days in CHANGES.items() for day in days]


def window(day: str) -> tuple[datetime, datetime]:
    """Return the days before and behind a day in UTC, and that."""
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return middle - DAY, middle + 2 * DAY


@cache
def minutes(zone: str, day: str) -> list[tuple[datetime, datetime]]:
    """Return each minute of the window with what a clock in the zone shows."""
    begin, end = window(day)
    count = int((end - begin) / MINUTE)
    instants = [begin + n * MINUTE for n in range(count)]
    return [(instant, instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)) for instant in instants]


def model(expression: str, zone: str, day: str) -> list[datetime]:
    """Return when an expression is due in the window.

    One with a star for minute or hour whenever the clock shows what it asks
    for. Any other as soon as the clock shows it or something later, for the first time.
    """
    fields = expression.split()
    if any(field.startswith("*") for field in fields[:2]):
        return [instant for instant, wall in minutes(zone, day) if matches(fields, wall)]
    due, seen = [], minutes(zone, day)[0][1] - MINUTE
    for instant, wall in minutes(zone, day):
        passed: list[datetime] = []
        while seen < wall:
            seen += MINUTE
            passed.append(seen)
        if any(matches(fields, one) for one in passed):
            due.append(instant)
    return due


def matches(fields: list[str], wall: datetime) -> bool:
    minute, hour, day, month, weekday = fields
    in_month, in_week = asks(day, wall.day, 31), asks(weekday, wall.isoweekday() % 7, 6)
    both = day.startswith("*") or weekday.startswith("*")
    return (
        asks(minute, wall.minute, 59)
        and asks(hour, wall.hour, 23)
        and asks(month, wall.month, 12)
        and ((in_month and in_week) if both else (in_month or in_week))
    )


def asks(field: str, value: int, most: int) -> bool:
    if "," in field:
        return any(asks(part, value, most) for part in field.split(","))
    span, _, step = field.partition("/")
    least = 1 if most in (31, 12) else 0
    first, _, last = (least, "", most) if span == "*" else span.partition("-")
    until = int(last or (most if step else first))
    return int(first) <= value <= until and (value - int(first)) % int(step or 1) == 0


def due_times(expression: str, zone: str, day: str) -> list[datetime]:
    """Return what ours says of the window."""
    begin, end = window(day)
    cron, due = Cron(expression, zone), []
    following = cron.after(begin - MINUTE)
    while following is not None and following < end:
        due.append(following)
        following = cron.after(following)
    return due


def numbers(least: int, most: int) -> st.SearchStrategy[str]:
    one = st.integers(least, most).map(str)
    pair = st.tuples(st.integers(least, most), st.integers(least, most)).map(lambda two: f"{min(two)}-{max(two)}")
    return st.lists(one | pair, min_size=1, max_size=3).map(",".join)


def field(least: int, most: int) -> st.SearchStrategy[str]:
    stars = st.integers(1, 30).map(lambda step: f"*/{step}" if step > 1 else "*")
    stepped = st.tuples(st.integers(least, most), st.integers(2, 9)).map("{0[0]}/{0[1]}".format)
    return numbers(least, most) | stars | stepped


EXPRESSIONS = st.one_of(
    st.builds("{} {} * * *".format, field(0, 59), field(0, 3) | field(0, 23)),
    st.builds("{} {} {} * {}".format, field(0, 59), field(0, 3), field(1, 31), numbers(0, 6)),
)


@settings(max_examples=80)
@given(expression=EXPRESSIONS, place=st.sampled_from(DAYS))
@example(expression="30 2 * * *", place=("Europe/Berlin", "2026-03-29"))
@example(expression="30 2 * * *", place=("Europe/Berlin", "2026-10-25"))
@example(expression="*/10 3 * * *", place=("Australia/Lord_Howe", "2026-10-04"))
@example(expression="*/30 2 * * *", place=("Australia/Lord_Howe", "2026-04-05"))
@example(expression="*/30 0 * * *", place=("America/Sao_Paulo", "2018-11-04"))
@example(expression="0,30 0,1 * * *", place=("America/Havana", "2026-11-01"))
@example(expression="15 12 * * *", place=("Pacific/Apia", "2011-12-30"))
def test_due_times_are_those_of_a_clock_that_is_looked_at_every_minute(
    expression: str, place: tuple[str, str]
) -> None:
    assert due_times(expression, *place) == model(expression, *place)


@settings(max_examples=60)
@given(expression=EXPRESSIONS, place=st.sampled_from(DAYS), data=st.data())
def test_it_does_not_matter_from_where_one_looks(
    expression: str, place: tuple[str, str], data: st.DataObject
) -> None:
    """What comes after an instant, and what was the newest, is the same from anywhere."""
    begin, end = window(place[1])
    due, cron = model(expression, *place), Cron(expression, place[0])
    span = int((end - begin).total_seconds() * 10)
    first, now = sorted(begin + timedelta(seconds=data.draw(st.integers(0, span - 1)) / 10) for _ in "ab")
    behind = due[bisect_right(due, now) :]
    if behind:
        assert cron.after(now) == behind[0]
    newest = [one for one in due if first <= one <= now]
    assert cron.newest(first, now) == (newest[-1] if newest else None)


def test_one_firing_on_the_night_that_has_an_hour_twice() -> None:
    due = due_times("30 2 * * *", "Europe/Berlin", "2026-10-25")
    assert [one.isoformat() for one in due] == [
        "2026-10-24T00:30:00+00:00",
        "2026-10-25T00:30:00+00:00",
        "2026-10-26T01:30:00+00:00",
    ]


def test_what_the_clocks_skip_is_due_at_the_end_of_the_gap() -> None:
    due = due_times("0,30 2 * * *", "Europe/Berlin", "2026-03-29")
    night = [one.isoformat() for one in due if one.day == 29]
    assert night == ["2026-03-29T01:00:00+00:00"], "once, at 03:00"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Havana"])
def test_every_ten_minutes_goes_on_at_changes(zone: str) -> None:
    for day in CHANGES[zone]:
        due = due_times("*/10 * * * *", zone, day)
        assert {two - one for one, two in pairwise(due)} == {10 * MINUTE}


def test_leap_days() -> None:
    cron = Cron("0 12 29 2 *", "Asia/Tokyo")
    first = cron.after(datetime(2026, 1, 1, tzinfo=UTC))
    assert first == datetime(2028, 2, 29, 3, tzinfo=UTC)
    assert cron.after(first) == datetime(2032, 2, 29, 3, tzinfo=UTC)
    century = cron.after(datetime(2097, 1, 1, tzinfo=UTC))
    assert century == datetime(2104, 2, 29, 3, tzinfo=UTC), "2100 has none"


def test_the_last_days_of_months_and_named_days() -> None:
    due = due_times("0 6 L * *", "UTC", "2024-02-28")
    assert due == [datetime(2024, 2, 29, 6, tzinfo=UTC)]
    assert Cron("0 0 * * MON#1", "UTC").after(datetime(2026, 3, 1, tzinfo=UTC)) == datetime(2026, 3, 2, tzinfo=UTC)


def test_six_fields_have_seconds_and_the_same_nights() -> None:
    cron = Cron("15 30 2 * * *", "Europe/Berlin")
    autumn = cron.after(datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert autumn == datetime(2026, 10, 25, 0, 30, 15, tzinfo=UTC)
    assert cron.after(autumn) == datetime(2026, 10, 26, 1, 30, 15, tzinfo=UTC)
    assert cron.after(datetime(2026, 3, 28, 12, tzinfo=UTC)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    each = Cron("*/20 * * * * *", "UTC")
    assert each.after(datetime(2026, 1, 1, 0, 0, 59, 999_000, tzinfo=UTC)) == datetime(
        2026, 1, 1, 0, 1, tzinfo=UTC
    )


def test_the_newest_of_years_of_seconds_is_found_without_walking_them() -> None:
    cron = Cron("* * * * * *", "Europe/Berlin")
    now = datetime(2026, 11, 27, 12, 0, 0, 500_000, tzinfo=UTC)
    assert cron.newest(now - 3650 * DAY, now) == now.replace(microsecond=0)
    yearly = Cron("0 0 1 1 *", "UTC")
    assert yearly.newest(now - 3650 * DAY, now) == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "61 * * * *",
        "a b c d e",
        "0 0 * * *#9",
        "*/0 * * * *",
        "1-0 * * * *",
        "0 0 31 2 *",
    ],
    ids=range(9),
)
def test_expressions_that_cannot_be_read_are_refused(expression: str) -> None:
    with pytest.raises(InvalidConfiguration, match="cron expression"):
        Cron(expression, "UTC")


@given(st.text(max_size=30) | st.lists(st.text("0123456789*/-,L#W MON", max_size=6), max_size=7).map(" ".join))
def test_whatever_is_written_there_is_an_expression_or_refused(expression: str) -> None:
    try:
        due = Cron(expression, "UTC").after(datetime(2026, 1, 1, tzinfo=UTC))
    except InvalidConfiguration:
        return
    assert due is None or due > datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe", "\0", "a" * 5000, None, 7], ids=range(9)
)
def test_zones_that_are_none_are_refused(zone: str) -> None:
    with pytest.raises(InvalidConfiguration, match="zone"):
        Cron("* * * * *", zone)


def test_without_cronsim_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(InvalidConfiguration, match=r"pip install 'jobpool\[cron\]'"):
        Cron("* * * * *", "UTC")
    assert Every(60, datetime(2026, 1, 1, tzinfo=UTC)).after(datetime(2026, 1, 1, tzinfo=UTC)) is not None


INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


@given(seconds=st.floats(1, 366 * 86400), anchor=INSTANTS, instant=INSTANTS)
def test_an_interval_is_due_at_multiples_of_it(seconds: float, anchor: datetime, instant: datetime) -> None:
    interval = timedelta(milliseconds=round(seconds * 1000))
    due = Every(seconds, anchor).after(instant)
    assert due is not None
    assert due >= anchor
    assert due > instant
    assert (due - anchor) % interval == timedelta()
    assert due == anchor or due - interval <= instant, "none is left out"


@given(seconds=st.floats(1, 86400), anchor=INSTANTS, first=INSTANTS, now=INSTANTS)
def test_the_newest_multiple_of_an_interval(
    seconds: float, anchor: datetime, first: datetime, now: datetime
) -> None:
    times = Every(seconds, anchor)
    newest = times.newest(first, now)
    if newest is None:
        following = times.after(first - timedelta(microseconds=1))
        assert following is not None
        assert following > now or first > now
    else:
        assert first <= newest <= now
        following = times.after(newest)
        assert following is not None
        assert following > now


def test_the_windows_hold_the_changes() -> None:
    """Or the model would be compared on quiet days."""
    quiet = set()
    for zone, day in DAYS:
        walls = [wall for _, wall in minutes(zone, day)]
        if all(two - one == MINUTE for one, two in pairwise(walls)):
            quiet.add(zone)
    assert quiet == {"UTC", "Asia/Kathmandu"}
