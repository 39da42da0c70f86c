"""Firing what is due: one look at the schedules, and a job for each due time that is over."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from math import inf

from ..data import DOCUMENT_LIMIT
from ..dependencies import RUN
from ..errors import StoreRefused, StoreUnavailable
from ..job import State
from ..logs import bounded_logger_of
from ..middleware import creating
from ..names import bounded, shown
from ..request import JobRequest
from ..schedules import ON_TIME, Firing, firing_of
from ..store.firing import CONFLICT, DUPLICATE, INSERTED, MISSED, SKIPPED, Fired
from .host import Host
from .service import jitter

logger = bounded_logger_of(__name__)

#: Schedules of one look.
PAGE = 100
#: Missed due times of one schedule that are fired before it is the turn of the others.
ROUND = 100
#: Schedules whose trouble is remembered as told.
MOST_TOLD = 1000
#: Seconds until one that could not be fired here is tried again. Other pools may be able to.
HELD_FOR = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the schedules found.

    Attributes:
        dealt: How many due times were fired, skipped or left out, by this pool.
        left: Whether any was due that was not: another pool had it in hand, or it cannot be fired here.
        wait: Seconds until the next one that was not due; infinite if none was seen.
    """

    dealt: int
    left: bool
    wait: float


class Firings:
    """Fires schedules, and bears with those that cannot be fired. Threads: one.

    A schedule that cannot be computed or stored is told of once and set aside
    for a while, so that it holds up no other.

    Attributes:
        unreadable: Whether the last look was refused: this user may not read schedules.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._store = host.store
        self._held: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self.unreadable = False

    def fire_due(self) -> Look | None:
        """Fire what is due, a page of it, and return what was found; None if there is no schedule.

        Raises:
            StoreUnavailable: Some may have been fired. The next call goes on from there.
        """
        replicated = self._store.ready().replicated
        found = self._upcoming()
        if not found:
            return None
        now = self._store.clock.now()
        dealt = [self._fire(name, replicated) for name, due in found if due <= now]
        ahead = [due for _, due in found if due > now]
        wait = (ahead[0] - self._store.clock.now()).total_seconds() if ahead else inf
        return Look(sum(dealt), 0 in dealt, max(0.0, wait))

    def _upcoming(self) -> list[tuple[str, datetime]]:
        now = time.monotonic()
        self._held = {name: until for name, until in self._held.items() if until > now}
        try:
            found = self._store.due.upcoming(PAGE, self._held)
        except StoreRefused as error:
            if error.kind != "rights":
                raise
            if not self.unreadable:
                self.unreadable = True
                logger.info(
                    "this user may not read the schedules of %s, so none is fired here: %s", *self._of(error)
                )
            return []
        self.unreadable = False
        return found

    def _fire(self, name: str, replicated: bool) -> int:
        """Fire the due times of one schedule, a bounded number; return how many were dealt with."""
        dealt = 0
        try:
            while dealt < ROUND and self._fire_next(name, replicated):
                dealt += 1
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  (what somebody broke in it may raise anything)
            self._set_aside(name, error)
        else:
            self._told.pop(name, None)
        return dealt

    def _fire_next(self, name: str, replicated: bool) -> bool:
        """Fire one due time; return whether it was dealt with, by this pool."""
        schedule = self._store.due.read(name)
        now = self._now()
        firing = None if schedule is None else firing_of(schedule, now)
        if firing is None:
            return False
        request = None if firing.due is None else _request(firing)
        with nullcontext() if request is None else creating(self._host.middleware, [request]):
            fired = self._store.due.fire(
                firing,
                lambda after: self._host.document_of(_request(firing, after), now),
                now,
                transaction=replicated,
            )
        self._tell(firing, fired, now)
        return fired.result != CONFLICT

    def _tell(self, firing: Firing, fired: Fired, now: datetime) -> None:
        """Say what came of a firing: to the log, the metrics and the pools here."""
        schedule, job = firing.schedule, fired.job
        logger.debug("schedule %s, due %s: %s %s", shown(schedule.name), firing.due, fired.result, firing.id)
        if fired.result != CONFLICT:
            self._host.observer.schedule_fired(schedule.type, _result(firing, fired, now))
        if job is None or fired.result not in (INSERTED, DUPLICATE):
            return
        self._host.observer.jobs_created(schedule.type, fired.result, 1)
        if fired.result == INSERTED and job.state is State.PENDING and job.run_at <= now:
            self._host.wakeups.created({schedule.type})

    def _set_aside(self, name: str, error: Exception) -> None:
        self._held[name] = time.monotonic() + HELD_FOR * jitter()
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        said = bounded(f"{type(error).__name__}: {' '.join(str(error).split())}", 300)
        if self._told.get(name) != said:
            self._told[name] = said
            logger.warning(
                "schedule %s cannot be fired here, it is tried again in a minute, and others are fired "
                "regardless: %s",
                *(shown(name), said),
            )

    def _of(self, error: StoreRefused) -> tuple[str, str]:
        return shown(self._store.name), error.reason or type(error).__name__

    def _now(self) -> datetime:
        """Return the server's time to the millisecond, as BSON keeps it."""
        now = self._store.clock.now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _result(firing: Firing, fired: Fired, now: datetime) -> str:
    """Return how a due time was dealt with, as the metrics call it."""
    if fired.result in (SKIPPED, MISSED) or firing.due is None:
        return fired.result
    return "late" if now - firing.due >= ON_TIME else "fired"


def _request(firing: Firing, after: str | None = None) -> JobRequest:
    """Return the request for the job of a firing, which may have to wait for another.

    Raises:
        InvalidJob: Somebody broke the schedule.
    """
    schedule = firing.schedule
    return JobRequest(
        type=schedule.type,
        data=schedule.data,
        id=firing.id,
        priority=schedule.priority,
        run_at=firing.run_at,
        max_attempts=schedule.max_attempts,
        timeout=schedule.timeout,
        key=schedule.key,
        after=None if after is None else (after,),
        on_failure=RUN,
        limit=DOCUMENT_LIMIT,  # it has passed the limit of whoever stored the schedule
    )
