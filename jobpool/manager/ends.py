"""Waiting for jobs to become final by looks with pauses in between, for those without threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from math import inf

from ..errors import InvalidJob, JobNotFound, StoreError, WaitTimeout
from ..job import Job
from ..names import MAX_ID, check_name, listed
from ..pool.looks import Looks, by_end, not_final
from ..store.finals import Look
from .asking import Reader, check_wait


class Ends:
    """One call that waits: what it waits for, and when it looks again.

    A task that is cancelled in `next` may call it again: nothing was left out.

    Threads: tasks, one at a time.

    Args:
        ids: Different from each other.
        timeout: Seconds from now; None waits as long as it takes.
    """

    def __init__(self, manager: Reader, ids: Iterable[str], timeout: float | None) -> None:
        check_wait(timeout)
        self._manager = manager
        self._timeout = timeout
        self._deadline = inf if timeout is None else time.monotonic() + timeout
        #: By id, the state each was last seen in: what is still waited for.
        self._left = dict.fromkeys(ids, "")
        self._count = len(self._left)
        self._missing: list[str] = []
        self._looks = Looks()

    async def next(self) -> list[Job]:
        """Return the jobs that turned out to be final at the next look that finds some; none if all have ended.

        Raises:
            WaitTimeout: Some are not final yet.
            JobNotFound: Some are not there, or not any more.
            StoreUnavailable: MongoDB did not answer in time. Waiting again is safe.
            PoolStateError: The manager was closed.
        """
        await self._manager.store.contact.ready()
        while self._left:
            self._tell_missing()
            await self._pause()
            last = time.monotonic() >= self._deadline  # before the look: what ended in time is seen
            found = await self._look()
            if found.final:
                return by_end(found.final)
            self._tell_missing()
            if last:
                raise WaitTimeout(not_final(self._left, self._count, self._timeout))
        return []

    async def _pause(self) -> None:
        pause = min(self._looks.next(), self._deadline) - time.monotonic()
        if pause > 0:
            await self._manager.store.driver.pause(pause)

    async def _look(self) -> Look:
        began = time.monotonic()
        try:
            found = await self._manager.store.finals.look(list(self._left))
        except StoreError:
            _ = self._manager.store  # if it was closed meanwhile, that is the reason
            raise
        self._left.update(found.states)
        self._missing = found.missing
        for job in found.final:
            del self._left[job.id]
        self._looks.looked(began)
        return found

    def _tell_missing(self) -> None:
        if self._missing:
            raise JobNotFound(f"no job {listed(self._missing)} in {self._manager.store.name}")


class Completed(AsyncIterator[Job]):
    """Jobs, each once, as they become final. A task that is cancelled in it may go on with it."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._ready: deque[Job] = deque()

    async def __anext__(self) -> Job:
        if not self._ready:
            self._ready.extend(await self._ends.next())
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()


async def ended(manager: Reader, ids: list[str], timeout: float | None) -> list[Job]:
    """Wait until all of these jobs are final and return them, in the order given."""
    ends, found = Ends(manager, ids, timeout), dict[str, Job]()
    while jobs := await ends.next():
        found.update((job.id, job) for job in jobs)
    return [found[id] for id in ids]


def ids_of(ids_or_jobs: Iterable[str | Job]) -> list[str]:
    """Return the ids, checked."""
    if isinstance(ids_or_jobs, str | bytes | Mapping) or not isinstance(ids_or_jobs, Iterable):
        raise InvalidJob(f"ids_or_jobs must be several ids or jobs, not {type(ids_or_jobs).__name__}")
    return [check_name(item.id if isinstance(item, Job) else item, "id", longest=MAX_ID) for item in ids_or_jobs]
