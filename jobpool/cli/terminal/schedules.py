"""Schedules as rows, and one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from .screen import Column, fields
from .words import ago, count, duration, moment, past

if TYPE_CHECKING:
    from ...schedules import Schedule

#: Due times that are shown at most.
MANY = 1000

_CATCH_UP = {
    "last": "of what was due while no pool ran, the newest is fired",
    "all": "all that was due while no pool ran is fired",
    "none": "what was due while no pool ran is left out",
}
_OVERLAP = {
    "skip": "no job while the one before has not ended",
    "queue": "a job waits until the one before has ended",
    "allow": "jobs may run beside the one before",
}

COLUMNS = (
    Column("schedule", least=10),
    Column("when", least=10),
    Column("type", least=8),
    Column("next", right=True),
    Column("state", optional=True),
    Column("last", right=True, optional=True),
    Column("job", optional=True),
    Column("skipped", right=True, optional=True),
    Column("zone", optional=True),
)


def when(one: Schedule) -> str:
    """Return the expression, or the interval."""
    return one.cron or "" if one.every is None else f"every {duration(one.every)}"


def row(one: Schedule, now: datetime) -> tuple[str, ...]:
    """Return the values of `COLUMNS`; the state is that of the last job, or that the schedule is paused."""
    return (
        one.name,
        when(one),
        one.type,
        _next(one, now),
        "paused" if one.paused else state(one),
        past(one.last.at, now) if one.last else "-",
        one.last.id if one.last else "-",
        count(one.skipped),
        one.tz if one.every is None else "-",
    )


def _next(one: Schedule, now: datetime) -> str:
    if one.next_at is None:
        return "-"
    return ago(one.next_at, now) if one.next_at > now else f"{ago(one.next_at, now)} late"


def state(one: Schedule) -> str:
    """Return the state of the job made last: ``-`` if there was none, ``deleted`` if it is not kept."""
    if one.last is None:
        return "-"
    return one.last.state.value if one.last.state is not None else "deleted"


def show(one: Schedule, due: Sequence[datetime], now: datetime) -> None:
    """Write all about a schedule; its due times in UTC, and by the clock of its zone."""
    from ...data import relaxed

    data = json.dumps(relaxed(one.data), ensure_ascii=False)
    fields(
        [
            ("schedule", one.name),
            ("when", f"{when(one)} ({one.tz})" if one.every is None else when(one)),
            ("starts", moment(one.start_at) if one.start_at else None),
            ("type", one.type),
            ("data", data if len(data) <= 200 else f"{data[:197]}..."),
            ("priority", one.priority or None),
            ("key", one.key),
            ("attempts", None if one.max_attempts is None else f"{one.max_attempts} at the most"),
            ("timeout", None if one.timeout is None else duration(one.timeout)),
            ("missed", _CATCH_UP.get(one.catch_up, one.catch_up)),
            ("overlap", _OVERLAP.get(one.overlap, one.overlap)),
            ("jitter", duration(one.jitter) if one.jitter else None),
            ("state", "paused" if one.paused else _fires(one)),
            *(("due", _due(instant, one, now)) for instant in due),
            ("last job", f"{one.last.id}, {state(one)}, made {past(one.last.at, now)}" if one.last else "none"),
            ("skipped", f"{count(one.skipped)} firings, as the job before had not ended" if one.skipped else None),
            ("created", moment(one.created_at)),
            ("changed", moment(one.changed_at) if one.changed_at != one.created_at else None),
        ]
    )


def _fires(one: Schedule) -> str:
    return "fires" if one.next_at is not None else "will not be due any more"


def _due(instant: datetime, one: Schedule, now: datetime) -> str:
    when = ago(instant, now) if instant > now else f"{ago(instant, now)} late"
    zone = "" if one.every is not None or one.tz == "UTC" else f", {_clock(instant, one.tz)}"
    return f"{moment(instant)} ({when}{zone})"


def _clock(instant: datetime, tz: str) -> str:
    try:
        return f"{instant.astimezone(ZoneInfo(tz)):%H:%M:%S %Z}"
    except (LookupError, OSError, ValueError):  # this machine does not know the zone
        return tz
