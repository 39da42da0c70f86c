"""Schedules, for threads: stored, looked at, paused, fired by hand, removed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ..job import Job
from ..pool.firing import Firings
from ..schedules import LAST, Schedule
from ..store.driver import run
from ..waitable import remember
from .looking import Looking
from .planning import AsyncSchedules, put


class Schedules:
    """What makes jobs now and then: looked at, paused, removed; see `JobManager.schedule`.

    Every call raises `StoreUnavailable` if MongoDB does not answer. What it
    would change may or may not be changed then; repeating it is safe.

    Threads: any.
    """

    def __init__(self, manager: Scheduling) -> None:
        self._manager = manager
        self._schedules = AsyncSchedules(manager)

    def list(self) -> list[Schedule]:
        """Return snapshots of all schedules, by name.

        One that somebody broke in the store is left out; the log has its name.
        """
        return run(self._schedules.list())

    def get(self, name: str) -> Schedule:
        """Return a snapshot of one schedule, or raise `ScheduleNotFound`.

        Its `Schedule.next` tells the next due times, its `last` the job made
        last, with the state of that.
        """
        return run(self._schedules.get(name))

    def preview(
        self, name: str, when: str | float | timedelta, type: str, data: Any = None, **options: Any
    ) -> Schedule:
        """Return the schedule as `JobManager.schedule` with the same arguments would store it; nothing is written.

        Its `Schedule.next` tells when it would be due.

        Args:
            name, when, type, data, options: Those of `JobManager.schedule`.

        Raises: as `JobManager.schedule`, and `TypeError` for an option that it does not have.
        """
        return run(self._schedules.preview(name, when, type, data, **options))

    def pause(self, name: str) -> Schedule:
        """Let a schedule fire nothing until it is resumed, and return it as it is then.

        When this returns, nothing is fired any more. Jobs it has made run on.
        (On a standalone server, a firing that has begun may still make its job.)

        Raises:
            ScheduleNotFound: There is none of that name.
        """
        return run(self._schedules.pause(name))

    def resume(self, name: str) -> Schedule:
        """Let a paused schedule fire again and return it. What was due while it was paused is not caught up on.

        Raises:
            ScheduleNotFound: There is none of that name.
        """
        return run(self._schedules.resume(name))

    def remove(self, name: str) -> bool:
        """Delete a schedule and return whether it was there. The jobs it has made stay, and run."""
        return run(self._schedules.remove(name))

    def run_now(self, name: str, *, token: str | None = None) -> Job:
        """Create a job as the schedule would, due now, and return it.

        Nothing of the schedule changes, and nothing keeps it from running: not
        that it is paused, nor a job of it that still runs. Its own firings do
        not heed this job either.

        Args:
            token: Makes the job's id, ``name@now-token``, so that calling again
                with the same one, after `StoreUnavailable` say, creates nothing
                more. Random if None.

        Raises:
            ScheduleNotFound: There is none of that name.
            InvalidJob: Its data do not pass what an executor here says of them.
        """
        return remember(run(self._schedules.run_now(name, token=token)), self._manager)

    def fire_due(self) -> int:
        """Fire all that is due, here and now, as pools do by themselves, for programs and tests without one.

        Returns:
            How many due times were dealt with.
        """
        firings, dealt = Firings(self._manager), 0
        while (look := firings.fire_due()) is not None and look.dealt:
            dealt += look.dealt
        return dealt


class Scheduling(Looking):
    """Stores schedules."""

    def schedule(
        self,
        name: str,
        when: str | float | timedelta,
        type: str,
        data: Any = None,
        *,
        tz: str | None = None,
        start_at: datetime | None = None,
        catch_up: str = LAST,
        overlap: str | None = None,
        jitter: float = 0.0,
        priority: int = 0,
        max_attempts: int | None = None,
        timeout: float | None = None,
        key: str | None = None,
    ) -> Schedule:
        """Let the pools make a job of `type` again and again, and return the schedule as it is stored.

        It is stored, and any pool fires it, of whatever process. A firing is a
        job with the id ``name@due``, the due time in UTC, as in
        ``nightly@2026-03-01T02:30:00Z``: there is one for each due time.

        Call it at the start of each process: the same definition again changes
        nothing, another one replaces that of the same name, and counts from now.

        Args:
            name: Its key, up to 128 characters.
            when: A cron expression (five fields, or six with seconds in front;
                needs the extra ``cron``), or an interval: seconds from 1 to a year of
                them, or a `timedelta`.
            type, data, priority, max_attempts, timeout, key: Of its jobs; see `create`.
            tz: The time zone of a cron expression, such as ``"Europe/Berlin"``; UTC if
                None. A clock time that is skipped in spring is due at the end
                of the gap, one that comes twice in autumn the first time; with
                a star for minute or hour it goes by the clocks as they are.
            start_at: Nothing is due before. An interval counts from it; from the first
                call if None.
            catch_up: What nobody fired in time, because no pool ran: ``"last"`` fires
                the newest due time of it; ``"all"`` each, from a past `start_at` on;
                ``"none"`` only one that is less than 60 s late.
            overlap: If the job of the firing before is not final: ``"skip"`` makes no job,
                ``"queue"`` makes one that runs after it, however it ends, ``"allow"`` one
                that runs beside it. If None it is ``"skip"``, and with ``catch_up="all"``
                ``"queue"``.
            jitter: Seconds: jobs become due up to so much later than their due time, by
                a delay that depends on name and due time alone.

        Raises:
            InvalidConfiguration: Something cannot be used, or the extra is not installed. Nothing was written.
            InvalidJob: Name, type or data cannot be accepted. Nothing was written.
            StoreUnavailable: It may or may not be stored. Calling again is safe.
        """
        putting = put(
            self,
            name,
            when,
            type,
            data,
            tz=tz,
            start_at=start_at,
            catch_up=catch_up,
            overlap=overlap,
            jitter=jitter,
            priority=priority,
            max_attempts=max_attempts,
            timeout=timeout,
            key=key,
        )
        return run(putting)

    @property
    def schedules(self) -> Schedules:
        """The schedules that are stored."""
        return Schedules(self)
