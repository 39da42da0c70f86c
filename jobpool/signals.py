"""What an executor raises to say how its attempt shall end, and what is raised in it when it shall end.

`Retry`, `Snooze` and `Cancel` are for executors to raise. `JobCancelled` and
`TimedOut` are raised by ``current_job().check()``; let them pass.
"""

from __future__ import annotations

from datetime import datetime

from .backoff import MAX_DELAY
from .errors import InvalidConfiguration, JobpoolError
from .names import check_instant, check_seconds


class Retry(JobpoolError):
    """Fail this attempt and try again, if attempts are left.

    Args:
        reason: Kept in `Job.errors`.
        after: Seconds until the next attempt; by the executor's backoff if None.
    """

    def __init__(self, reason: str = "", *, after: float | None = None) -> None:
        if after is not None:
            check_seconds(after, "after", 0, MAX_DELAY)
        super().__init__(reason)
        self.after = after


class Snooze(JobpoolError):
    """Not now: run this job later; no attempt is spent, and nothing counts as failed.

    How often a job may do so is bounded by its `Executor.max_snoozes`.

    Args:
        seconds: From now.
        until: An aware datetime instead.
    """

    def __init__(self, seconds: float | None = None, *, until: datetime | None = None) -> None:
        if (seconds is None) == (until is None):
            raise InvalidConfiguration("Snooze takes seconds or until=, one of them")
        super().__init__(f"until {until}" if seconds is None else f"for {seconds} s")
        self.seconds = None if seconds is None else check_seconds(seconds, "Snooze", 0, MAX_DELAY)
        self.until = None if until is None else check_instant(until, "until")

    def seconds_from(self, now: datetime) -> float:
        """Return the seconds from `now` (server time) on; 0 if it is over already."""
        if self.until is None:
            return self.seconds or 0.0
        return min(max(0.0, (self.until - now).total_seconds()), MAX_DELAY)


class Cancel(JobpoolError):
    """End this job as cancelled: there is no point in trying again, and nothing has failed.

    Args:
        reason: Kept as `Job.cancel_reason`.
    """


class JobCancelled(JobpoolError):
    """Somebody cancelled the job that this executor is running. Let it pass: the job ends as cancelled."""


class TimedOut(JobpoolError, TimeoutError):
    """The attempt has run for longer than its timeout. Let it pass: it is tried again if attempts are left."""
