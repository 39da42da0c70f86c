"""Looking: jobs are read, counted and waited for; nothing is changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from datetime import datetime

from ..backlog import Backlog
from ..errors import InvalidConfiguration, WaitTimeout
from ..job import Job, State
from ..names import MAX_ID, check_int, check_name, check_seconds, shown
from ..store.queries import Selection
from .base import Base


class Looking(Base):
    """Reads jobs."""

    def get(self, id: str) -> Job:
        """Return a snapshot of one job, or raise `JobNotFound`."""
        id = check_name(id, "id", longest=MAX_ID)
        self.store.ready()
        return self.store.queries.get(id)

    def find(
        self,
        *,
        type: str | None = None,
        state: State | str | None = None,
        ids: Iterable[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        after: Job | None = None,
        oldest_first: bool = False,
    ) -> list[Job]:
        """Return jobs by the time they were created, newest first, a page at a time.

        The next page begins ``after`` the last job of this one. There is no
        index on the creation time (it would cost every claim): without `ids`
        the collection is read.

        Args:
            type, state, ids: Only these.
            since, until: Created at or after, and before, these aware datetimes.
            limit: Page size, 1 to 10,000.
            after: The last job of the page before.
            oldest_first: The other order.
        """
        check_int(limit, "limit", 1, 10_000)
        if not (after is None or isinstance(after, Job)):
            raise InvalidConfiguration(
                f"after must be the last Job of the page before, not {after.__class__.__name__}"
            )
        selection = Selection(type=type, state=state, ids=ids, since=since, until=until)
        self.store.ready()
        return self.store.queries.find(selection, limit=limit, after=after, oldest_first=oldest_first)

    def count(
        self,
        *,
        type: str | None = None,
        state: State | str | None = None,
        ids: Iterable[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        """Return how many jobs there are; see `find`."""
        selection = Selection(type=type, state=state, ids=ids, since=since, until=until)
        self.store.ready()
        return self.store.queries.count(selection)

    def backlog(self) -> Backlog:
        """Count the jobs that are not done with, by type, and the pools that live, of all processes and hosts.

        Takes some 0.6 s per million of pending and failed jobs; finished ones cost nothing. Nothing is
        created, not even an index: a collection that is not there has no jobs.

        Raises:
            StoreRefused: The collection lacks jobpool's indexes.
        """
        return self.store.census.backlog()

    def wait(self, id: str, timeout: float | None = None) -> Job:
        """Wait until a job is final and return it.

        Args:
            timeout: Seconds; None waits as long as it takes.

        Raises:
            WaitTimeout: It is not final yet; it goes on regardless.
            JobNotFound: It does not exist, or was removed meanwhile.
        """
        if timeout is not None:
            check_seconds(timeout, "timeout", 0, 10 * 365 * 86400)
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, never = 0.01, threading.Event()
        while not (job := self.get(id)).state.final:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise WaitTimeout(f"job {shown(id)} is {job.state} after {timeout:g} s; it goes on regardless")
            never.wait(pause if left is None else min(pause, left))
            pause = min(pause * 1.5, 1.0)
        return job
