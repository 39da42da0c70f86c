"""Looking: jobs are read, explained and waited for; nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Unpack

from ..error_groups import ErrorGroup
from ..job import Brief, Job
from ..manager.asking import Selected
from ..manager.ends import Completed, Ends, ended, ids_of
from ..manager.inspecting import Inspector
from ..names import MAX_ID, check_name
from ..relations import Relations
from ..store.pages import SIZE
from ..why import Why
from .base import Base


class Looking(Base):
    """Reads jobs."""

    async def get(self, id: str) -> Job:
        """Return a snapshot of one job, or raise `JobNotFound`."""
        return await self._asking.get(id)

    async def find(
        self,
        *,
        limit: int = 100,
        after: Job | None = None,
        oldest_first: bool = False,
        **selected: Unpack[Selected],
    ) -> list[Job]:
        """Return jobs by the time they were created, newest first, a page at a time; see `JobManager.find`."""
        return await self._asking.find(limit=limit, after=after, oldest_first=oldest_first, **selected)

    async def count(self, **selected: Unpack[Selected]) -> int:
        """Return how many jobs there are; see `find`."""
        return await self._asking.count(**selected)

    async def why(self, id: str) -> Why:
        """Return why a job does not run, or what it does instead; see `JobManager.why`."""
        return await self._asking.why(id)

    async def wait(self, id: str, timeout: float | None = None) -> Job:
        """Wait until a job is final and return it; see `JobManager.wait`.

        It looks again and again, at first after 10 ms, later once a second.
        """
        (job,) = await ended(self, [check_name(id, "id", longest=MAX_ID)], timeout)
        return job

    async def wait_many(self, ids_or_jobs: Iterable[str | Job], timeout: float | None = None) -> list[Job]:
        """Wait until all of these jobs are final and return them; see `JobManager.wait_many`.

        It looks as `wait` does, at all of them together, and the less often the longer a look takes.
        """
        return await ended(self, ids_of(ids_or_jobs), timeout)

    def as_completed(self, ids_or_jobs: Iterable[str | Job], timeout: float | None = None) -> AsyncIterator[Job]:
        """Return an asynchronous iterator over these jobs as they become final; see `JobManager.as_completed`.

        It looks as `wait_many` does. A task that was cancelled while it waited for the next one may go on
        with it: nothing was left out. Nothing is to be closed.
        """
        return Completed(Ends(self, ids_of(ids_or_jobs), timeout))

    async def errors(
        self,
        *,
        type: str | Iterable[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
    ) -> list[ErrorGroup]:
        """Return what failed jobs failed of, in groups, the largest first; see `JobManager.errors`."""
        return await Inspector(self).errors(type=type, since=since, until=until, limit=limit)

    def pages(
        self,
        *,
        size: int = SIZE,
        to: str | None = None,
        run_at: datetime | None = None,
        older_than: float | None = None,
        after: str = "",
        **selected: Unpack[Selected],
    ) -> AsyncIterator[list[Brief]]:
        """Return an asynchronous iterator over the jobs meant, a page at a time; see `JobManager.pages`."""
        return Inspector(self).pages(size, to, run_at, older_than, after, selected)

    def each(self, *, oldest_first: bool = False, **selected: Unpack[Selected]) -> AsyncIterator[Job]:
        """Return an asynchronous iterator over all jobs meant; see `JobManager.each`."""
        return Inspector(self).each(oldest_first=oldest_first, selected=selected)

    async def ids_beginning(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Return the first ids that begin with `prefix`; see `JobManager.ids_beginning`."""
        return await Inspector(self).ids_beginning(prefix, limit)

    async def relations(self, id: str) -> tuple[Job, Relations]:
        """Return a job, and what it has to do with; see `JobManager.relations`."""
        return await Inspector(self).relations(id)
