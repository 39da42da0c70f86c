"""Schedules: what makes a job now and then, and what is to be done when one is due.

A firing is a job whose id is made of the schedule's name and the due time, so
it exists once, whoever fires. All instants are server time, in UTC.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from .data import as_stored, canonical
from .errors import InvalidConfiguration, InvalidJob
from .job import State
from .names import check_instant, check_int, check_seconds, shown
from .timetable import TICK, Cron, Every, Timetable, zone_of

#: Which of the due times that nobody fired in time are fired later.
NONE, LAST, ALL = "none", "last", "all"
CATCH_UP = (NONE, LAST, ALL)
#: What a firing does while the job of the one before is not final.
SKIP, QUEUE, ALLOW = "skip", "queue", "allow"
OVERLAP = (SKIP, QUEUE, ALLOW)
#: A firing that comes so late is not late yet: pools that restart, or a failover, take some seconds.
ON_TIME = timedelta(seconds=60)
#: Seconds. An interval has to leave time to fire, and a year of them is a date, which cron can say.
SHORTEST_INTERVAL, LONGEST_INTERVAL = 1.0, 366 * 86400.0
LONGEST_JITTER = 86400.0
YEARS = range(1970, 2201)
MOST_SHOWN = 1000
#: A due time in the id of its job.
_DUE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{3})?Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a schedule is to do, as its user said it; see `JobManager.schedule`.

    Attributes:
        cron, every: When: an expression, or seconds. One of them is None.
        tz: The time zone of `cron`.
        start_at: Nothing is due before; None if nobody said.
        type, data, priority, max_attempts, timeout, key: Of its jobs.
        catch_up: ``"none"``, ``"last"`` or ``"all"``.
        overlap: ``"skip"``, ``"queue"`` or ``"allow"``.
        jitter: Seconds.
    """

    cron: str | None
    every: float | None
    tz: str
    start_at: datetime | None
    type: str
    data: Any = field(repr=False)
    priority: int
    max_attempts: int | None
    timeout: float | None
    key: str | None
    catch_up: str
    overlap: str
    jitter: float

    def same_times(self, other: Definition) -> bool:
        """Say whether both are due at the same times."""
        return all(getattr(self, name) == getattr(other, name) for name in TIMING)

    def same(self, other: Definition) -> bool:
        """Say whether nothing differs: 1 and 1.0 do, as they are different data in the store."""
        alike = all(getattr(self, name) == getattr(other, name) for name in FIELDS if name != "data")
        return alike and _text(self.data) == _text(other.data)

    def timetable(self, anchor: datetime) -> Timetable:
        """Return the due times; those of an interval count from `anchor`.

        Raises:
            InvalidConfiguration: They cannot be computed on this machine.
        """
        return Every(self.every, anchor) if self.every is not None else Cron(self.cron or "", self.tz)


TIMING = ("cron", "every", "tz", "start_at")
FIELDS = tuple(one.name for one in fields(Definition))


@dataclass(frozen=True, slots=True)
class LastFiring:
    """The job that a schedule made last.

    Attributes:
        id: Of the job.
        due: The due time that it stands for.
        at: When it was made.
        state: The job's, when this was read; None if it is deleted.
    """

    id: str
    due: datetime
    at: datetime
    state: State | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(Definition):
    """A snapshot of a schedule, as it was when it was read. Its representation leaves out the data.

    Attributes:
        name: Its key.
        paused: Whether it fires nothing until it is resumed.
        next_at: The next due time; in the past if nobody has fired it yet; None
            if it is paused, or if nothing will be due any more.
        anchor: What an interval counts from.
        last: The job made last; None if there was none.
        skipped: How many firings made no job because of `overlap`.
        created_at, changed_at: When its definition was stored first, and last.
        revision: Random, another one after each change.
    """

    name: str
    paused: bool
    next_at: datetime | None
    anchor: datetime
    last: LastFiring | None
    skipped: int
    created_at: datetime
    changed_at: datetime
    revision: str

    def next(self, count: int = 1) -> list[datetime]:
        """Return the next due times, at most so many, `next_at` first; none while it is paused.

        Jobs become due up to `jitter` seconds later.

        Args:
            count: 1 to 1000.

        Raises:
            InvalidConfiguration: They cannot be computed on this machine.
        """
        check_int(count, "count", 1, MOST_SHOWN)
        due: list[datetime] = []
        following = self.next_at
        times = self.timetable(self.anchor)
        while following is not None and len(due) < count:
            due.append(following)
            following = times.after(following)
        return due


@dataclass(frozen=True, slots=True)
class Firing:
    """What is to be done about a schedule that is due.

    Attributes:
        due: The due time to be fired; None if all that are over are left out.
        next_at: The due time behind; None if there is none any more.
    """

    schedule: Schedule
    due: datetime | None
    next_at: datetime | None

    @property
    def id(self) -> str:
        """The id of the job."""
        return "" if self.due is None else firing_id(self.schedule.name, self.due)

    @property
    def run_at(self) -> datetime | None:
        """When the job is due: after a delay that all pools compute alike."""
        if self.due is None:
            return None
        number = int.from_bytes(hashlib.sha256(self.id.encode()).digest()[:8])
        return self.due + timedelta(milliseconds=int(self.schedule.jitter * 1000 * number / 2**64))


def firing_of(schedule: Schedule, now: datetime) -> Firing | None:
    """Return what is to be done about a schedule now; None if it is not due.

    Raises:
        InvalidConfiguration: Its due times cannot be computed on this machine.
    """
    first = schedule.next_at
    if first is None or first > now:
        return None
    times = schedule.timetable(schedule.anchor)
    # What is stored is due, also if the data of time zones have changed since.
    due = first if schedule.catch_up == ALL else times.newest(first, now) or first
    fired = due if schedule.catch_up != NONE or now - due < ON_TIME else None
    return Firing(schedule, fired, times.after(due))


def firing_id(name: str, due: datetime) -> str:
    """Return the id of the job of a due time."""
    instant = due.astimezone(UTC).replace(tzinfo=None)
    return f"{name}@{instant.isoformat(timespec='milliseconds' if instant.microsecond else 'seconds')}Z"


def schedule_in(id: str) -> str | None:
    """Return the name in an id that `firing_id` may have made; None if it cannot have."""
    name, _, due = id.rpartition("@")
    return name if name and _DUE.fullmatch(due) else None


def definition_of(
    when: object,
    *,
    tz: object,
    start_at: object,
    catch_up: object,
    overlap: object,
    jitter: object,
    type: str,
    data: Any,
    priority: int,
    max_attempts: int | None,
    timeout: float | None,
    key: str | None,
) -> Definition:
    """Return what a user said, checked; the arguments from `type` on are those of a checked request.

    Raises:
        InvalidConfiguration: Something cannot be used; the message has what.
    """
    cron, every = _timing(when)
    if every is not None and tz is not None:
        raise InvalidConfiguration(
            "tz is for cron expressions: the due times of an interval are equally far apart"
        )
    catch_up = _one_of(catch_up, "catch_up", CATCH_UP)
    definition = Definition(
        cron=cron,
        every=every,
        tz=_zone(tz),
        start_at=None if start_at is None else _instant(start_at),
        type=type,
        data=as_stored(data),
        priority=priority,
        max_attempts=max_attempts,
        timeout=None if timeout is None else float(timeout),
        key=key,
        catch_up=catch_up,
        overlap=_overlap(overlap, catch_up),
        jitter=check_seconds(jitter, "jitter", 0, LONGEST_JITTER),
    )
    if definition.timetable(_EPOCH).after(definition.start_at or _EPOCH) is None:
        raise InvalidConfiguration(f"nothing is ever due by {shown(cron)}")
    return definition


def first_due(definition: Definition, anchor: datetime, now: datetime) -> datetime | None:
    """Return when a new schedule is due first. What was due before it was there counts for ``"all"`` alone."""
    if definition.start_at is not None and definition.catch_up == ALL:
        return definition.timetable(anchor).after(definition.start_at - TICK)
    return next_due(definition, anchor, now)


def next_due(definition: Definition, anchor: datetime, now: datetime) -> datetime | None:
    """Return the first due time behind `now`, and not before the schedule's `start_at`."""
    start = definition.start_at
    return definition.timetable(anchor).after(now if start is None else max(now, start - TICK))


def changed_due(old: Schedule, new: Definition, anchor: datetime, now: datetime) -> datetime | None:
    """Return when a schedule is due next whose times have changed: what was due and not fired is so still."""
    if old.paused:
        return None
    overdue = old.next_at is not None and old.next_at <= now
    return next_due(new, anchor, old.next_at - TICK if overdue and old.next_at else now)


def anchor_of(definition: Definition, old: Schedule | None, now: datetime) -> datetime:
    """Return what an interval counts from: its start, or else when the schedule was stored first."""
    if definition.start_at is not None:
        return definition.start_at
    if old is not None and old.start_at is None:
        return old.anchor
    return now.replace(microsecond=0)  # ids look better so


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def _timing(when: object) -> tuple[str | None, float | None]:
    if isinstance(when, str):
        return " ".join(str.__str__(when).split()), None
    seconds = when.total_seconds() if isinstance(when, timedelta) else when
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidConfiguration(
            f"when must be a cron expression, seconds or a timedelta, not {type(when).__name__}"
        )
    every = check_seconds(seconds, "the interval of a schedule", SHORTEST_INTERVAL, LONGEST_INTERVAL)
    return None, round(every, 3)


def _zone(tz: object) -> str:
    name = "UTC" if tz is None else getattr(tz, "key", tz)  # of a ZoneInfo
    zone_of(name)
    return str(name)


def _instant(start_at: object) -> datetime:
    try:
        instant = check_instant(start_at, "start_at")
    except InvalidJob as error:
        raise InvalidConfiguration(str(error)) from None
    if instant.year not in YEARS:
        raise InvalidConfiguration(f"start_at must be in the years {YEARS[0]} to {YEARS[-1]}, not {instant}")
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _overlap(overlap: object, catch_up: str) -> str:
    if overlap is None:
        return QUEUE if catch_up == ALL else SKIP
    if overlap == SKIP and catch_up == ALL:
        raise InvalidConfiguration(
            "catch_up='all' makes many jobs at once, and overlap='skip' would skip all of them but one: "
            "say overlap='queue' or 'allow'"
        )
    return _one_of(overlap, "overlap", OVERLAP)


def _one_of(value: object, what: str, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidConfiguration(f"{what} must be one of {', '.join(known)}, not {shown(value)}")
    return value


def _text(data: Any) -> Any:
    try:
        return canonical(data)
    except InvalidJob:  # somebody else stored it
        return data
