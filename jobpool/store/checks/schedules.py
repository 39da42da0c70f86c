"""The schedules: can they be computed, are they fired, and does anybody run what they make?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ...checkup import Finding
from ...errors import InvalidConfiguration
from ...names import shown
from ...phrases import moment
from ...schedules import Schedule
from ..documents import Document
from ..schedules import SUFFIX, to_schedule
from .check import Check, Look, few, many, ok, problem, warning
from .words import living, run_somewhere

_SCHEDULES = "find on .schedules (jobpoolFlow, jobpoolPlanner)"
#: Pools fire within seconds, and find a very first schedule within some six.
LATE = timedelta(seconds=120)
#: Schedules that are looked at.
MOST = 10_000


async def readable(look: Look) -> Sequence[Finding]:
    """Can each be read and computed?"""
    place = shown(look.jobs.name + SUFFIX)
    found = [finding for document in await _stored(look) if (finding := _broken(document, place, look.now))]
    return few(found, "schedule") or [
        ok(f"{many(len(await _stored(look)), 'schedule')}: all can be read and computed")
    ]


def _broken(document: Document, place: str, now: datetime) -> Finding | None:
    name = document["_id"]
    gone = "remove it (jobpool schedules remove)" if isinstance(name, str) else f"delete it from {place}"
    anew = f"{gone}, and store it again"
    schedule = _read(document)
    if schedule is None:
        return problem(f"schedule {shown(name)} cannot be read: somebody broke it", anew, schedule=str(name))
    try:
        schedule.timetable(schedule.anchor).after(now)
    except InvalidConfiguration as error:
        lacking = "jobpool[cron]" in str(error)  # of cronsim, or the data of zones
        tell, remedy = (
            (warning, "install it here as well") if lacking else (problem, "store it again, with another")
        )
        return tell(f"schedule {shown(name)} cannot be computed here: {error}", remedy, schedule=str(name))
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        text = f"schedule {shown(name)} cannot be computed: {type(error).__name__}"
        return problem(text, anew, schedule=str(name))
    return None


async def overdue(look: Look) -> Sequence[Finding]:
    """Is one due for long, and nobody fired it?"""
    late = [
        schedule
        for schedule in await _schedules(look)
        if isinstance(schedule.next_at, datetime) and schedule.next_at < look.now - LATE and not schedule.paused
    ]
    alive = await living(look)
    why = "no pool is alive" if not alive else f"{many(len(alive), 'pool')} alive, and none fires it"
    remedy = (
        "start a pool of any type"
        if not alive
        else "give the pools the role jobpoolFlow, see that they have jobpool[cron], and look at their logs"
    )
    found = [
        problem(
            f"schedule {shown(schedule.name)} is due since {moment(schedule.next_at)}: {why}",
            remedy,
            schedule=schedule.name,
            next_at=schedule.next_at,
        )
        for schedule in late
    ]
    return few(found, "schedule") or [ok("no schedule is due for long")]


async def types(look: Look) -> Sequence[Finding]:
    """Does a living pool run what they make?"""
    run = await run_somewhere(look)
    if not await living(look):
        return [ok("no pool is alive: see pools.alive")]
    lost = [
        schedule
        for schedule in await _schedules(look)
        if not schedule.paused and schedule.type not in run and schedule.type not in look.executors
    ]
    found = [
        warning(
            f"schedule {shown(schedule.name)} makes jobs of type {shown(schedule.type)}: no living pool runs it",
            "start a pool that has an executor for it, or pause the schedule",
            schedule=schedule.name,
            type=schedule.type,
        )
        for schedule in lost
    ]
    return few(found, "schedule") or [ok("a living pool runs the type of each schedule that is not paused")]


async def _stored(look: Look) -> list[Document]:
    """Return all but the data of their jobs, of which each may have megabytes."""
    schedules = look.connection.beside(SUFFIX)
    return await look.once(SUFFIX, lambda: look.read(schedules.find({}, {"data": 0}).limit(MOST)))


async def _schedules(look: Look) -> list[Schedule]:
    return [schedule for document in await _stored(look) if (schedule := _read(document)) is not None]


def _read(document: Document) -> Schedule | None:
    """Return a schedule; None if somebody broke it."""
    try:
        schedule = to_schedule(document)
    except (TypeError, KeyError, AttributeError):
        return None
    return (
        schedule if isinstance(schedule.name, str) and isinstance(schedule.type, str) and schedule.type else None
    )


CHECKS = (
    Check("schedules.readable", readable, _SCHEDULES),
    Check("schedules.overdue", overdue, _SCHEDULES),
    Check("schedules.types", types, _SCHEDULES),
)
