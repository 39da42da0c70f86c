"""When a schedule is due: a cron expression in a time zone, or an interval.

A fixed clock time in a zone happens once a day, whatever the zone's clocks do:
one that is skipped in spring is due at the end of the gap, one that comes twice
in autumn the first time. Whatever has a star among its clock fields ("every
ten minutes") goes by the clocks as they are: nothing in a gap, and twice when
an hour comes twice. Both as in Debian's cron.

cronsim reads the expressions and walks the calendar; what clocks a zone has is
seen to here. An interval knows no zone: its due times are equally far apart.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from .errors import InvalidConfiguration
from .names import bounded, shown

if TYPE_CHECKING:
    from cronsim import CronSim

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
TICK = timedelta(milliseconds=1)  # what the store keeps of an instant
#: The newest due time is looked for in the last minute, hour and so on: an expression is only read forwards.
_SPANS = (timedelta(minutes=1), timedelta(hours=1), DAY, 31 * DAY, 366 * DAY)
LONGEST_EXPRESSION = 200
#: How the extra is installed, for messages.
EXTRA = "pip install 'jobpool[cron]'"


class Timetable(Protocol):
    """Due times, in order."""

    def after(self, instant: datetime) -> datetime | None:
        """Return the first due time behind `instant`, in UTC; None if there is none any more."""

    def newest(self, first: datetime, now: datetime) -> datetime | None:
        """Return the last due time from `first` to `now`, both included; None if there is none."""


class Every:
    """Multiples of an interval, from an anchor on. Threads: any; immutable.

    Args:
        seconds: The interval; to the millisecond.
        anchor: The first due time.
    """

    def __init__(self, seconds: float, anchor: datetime) -> None:
        self._interval = timedelta(milliseconds=round(seconds * 1000))
        self._anchor = anchor

    def after(self, instant: datetime) -> datetime | None:
        """Return the first multiple behind `instant`."""
        count = max(0, (instant - self._anchor) // self._interval + 1)
        return self._anchor + count * self._interval

    def newest(self, first: datetime, now: datetime) -> datetime | None:
        """Return the last multiple from `first` to `now`."""
        count = (now - self._anchor) // self._interval
        due = self._anchor + count * self._interval
        return due if count >= 0 and due >= first else None


class Cron:
    """A cron expression in a time zone. Threads: any; immutable.

    Args:
        expression: Five fields, or six with seconds in front, as cronsim reads them.
        zone: The IANA name of the zone.

    Raises:
        InvalidConfiguration: One of them cannot be used, or cronsim is not installed.
    """

    def __init__(self, expression: str, zone: str) -> None:
        self._expression = expression
        self._zone = zone_of(zone)
        fields = _fields(expression)
        _sim(expression, datetime(2000, 1, 1))
        self._fixed = not any(field.startswith("*") for field in fields[:-3])

    def after(self, instant: datetime) -> datetime | None:
        """Return the first due time behind `instant`; None if fifty years have none."""
        return self._fixed_after(instant) if self._fixed else self._ticking_after(instant)

    def newest(self, first: datetime, now: datetime) -> datetime | None:
        """Return the last due time from `first` to `now`."""
        for span in (*_SPANS, now - first):
            start = max(first, now - span) - TICK
            newest, due = None, self.after(start)
            while due is not None and due <= now:
                newest, due = due, self.after(due)
            if newest is not None or start < first:
                return newest
        return None

    def _fixed_after(self, instant: datetime) -> datetime | None:
        """Walk the clock times of a calendar without gaps, and see what instants they are."""
        for wall in _sim(self._expression, _wall(instant, self._zone)):
            due = self._instant_of(wall)
            if due > instant:  # not so if it comes a second time
                return due
        return None

    def _instant_of(self, wall: datetime) -> datetime:
        """Return when a clock shows `wall` for the first time, or would have if it had not been put on."""
        due = wall.replace(tzinfo=self._zone).astimezone(UTC)
        if _wall(due, self._zone) == wall:
            return due
        # In a gap, `fold` picks the offset from before it, then that from behind it: the change lies between.
        earlier = wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        return self._change(earlier, due) or due

    def _ticking_after(self, instant: datetime) -> datetime | None:
        """Walk the clocks from one change of theirs to the next: in between, their times are instants."""
        offset, wall = self._offset(instant), _wall(instant, self._zone)
        while True:
            match = next(_sim(self._expression, wall), None)
            if match is None:
                return None
            due = (match - offset).replace(tzinfo=UTC)
            change = self._change(instant, due)
            if change is None:
                return due
            instant, offset = change, self._offset(change)
            wall = _wall(change, self._zone) - SECOND  # the change itself may be due

    def _change(self, begin: datetime, end: datetime) -> datetime | None:
        """Return the first instant behind `begin`, up to `end`, when the clocks were put; None if none was."""
        offset = self._offset(begin)
        while begin < end:
            step = min(begin + DAY, end)
            if self._offset(step) != offset:
                return self._changed(begin, step)
            begin = step
        return None

    def _changed(self, before: datetime, behind: datetime) -> datetime:
        """Return the second of the change between these two."""
        offset, before = self._offset(before), before.replace(microsecond=0)
        low, high = 0, -(-(behind - before) // SECOND)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(before + middle * SECOND) == offset else (low, middle)
        return before + high * SECOND

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self._zone).utcoffset() or timedelta()


def _wall(instant: datetime, zone: tzinfo) -> datetime:
    """Return what a clock in `zone` shows."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _fields(expression: object) -> list[str]:
    if not isinstance(expression, str):
        raise InvalidConfiguration(f"a cron expression must be a str, not {type(expression).__name__}")
    fields = expression.split()
    if len(expression) > LONGEST_EXPRESSION or len(fields) not in (5, 6):
        raise InvalidConfiguration(
            f"a cron expression has five fields, or six with seconds in front, not {shown(expression)}"
        )
    return fields


def _sim(expression: str, wall: datetime) -> CronSim:
    """Return the clock times behind `wall` that an expression means, of a clock that is never put.

    Raises:
        InvalidConfiguration: It cannot be read, or cronsim is not installed.
    """
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        raise InvalidConfiguration(f"cron expressions need cronsim: {EXTRA}") from None
    try:
        return CronSim(expression, wall)
    except (CronSimError, ValueError, OverflowError) as error:
        said = bounded(str(error), 80)
        raise InvalidConfiguration(f"cannot use the cron expression {shown(expression)}: {said}") from None


def zone_of(name: object) -> tzinfo:
    """Return the time zone of that IANA name, such as Europe/Berlin.

    Raises:
        InvalidConfiguration: There is none, or this machine does not know it.
    """
    if not isinstance(name, str):
        raise InvalidConfiguration(f"tz must be the name of a time zone, not {type(name).__name__}")
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # no name, a directory, or nothing
        raise InvalidConfiguration(
            f"this machine knows no time zone {shown(name)}; if it should, install its data: {EXTRA}"
        ) from None
