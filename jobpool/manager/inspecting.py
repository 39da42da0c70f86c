"""Inspecting: all about a job, many page by page, and what they failed of; nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from typing import Unpack

from ..error_groups import ErrorGroup
from ..job import Brief, Job
from ..names import MAX_ID, check_instant, check_int, check_name, check_seconds
from ..relations import Relations
from ..retention import LONGEST
from ..store.driver import run
from ..store.listing import Listed
from ..store.pages import SIZE, Walk
from ..store.queries import Selection
from ..waitable import remember
from .asking import Reader, Selected, names_succeeded, ready_store
from .looking import Looking

#: Groups of errors in one answer.
MOST_GROUPS = 10_000
#: Jobs of a page.
MOST_PAGE = 100_000


class Inspector:
    """The operations, as coroutines; the methods of `Inspecting` say what they answer.

    Threads: any; no state of its own.
    """

    def __init__(self, manager: Reader) -> None:
        self._manager = manager

    async def ids_beginning(self, prefix: str, limit: int) -> list[str]:
        """Look for ids."""
        prefix = check_name(prefix, "prefix", longest=MAX_ID)
        check_int(limit, "limit", 1, 1000)
        store = await ready_store(self._manager)
        return await store.relating.ids_beginning(prefix, limit)

    async def relations(self, id: str) -> tuple[Job, Relations]:
        """Read a job, and what it has to do with."""
        id = check_name(id, "id", longest=MAX_ID)
        store = await ready_store(self._manager)
        return await store.relating.relations(id)

    async def listed(self, *, oldest_first: bool, selected: Selected) -> Listed:
        """Begin a list."""
        selection = Selection(**selected)
        store = await ready_store(self._manager)
        return await store.listing.begin(selection, oldest_first=oldest_first)

    async def each(self, *, oldest_first: bool, selected: Selected) -> AsyncIterator[Job]:
        """Yield jobs; for event loops."""
        listed = await self.listed(oldest_first=oldest_first, selected=selected)
        try:
            while (jobs := await listed.next()) is not None:
                for job in jobs:
                    yield job
        finally:
            await listed.close()

    async def errors(
        self, *, type: str | Iterable[str] | None, since: datetime | None, until: datetime | None, limit: int
    ) -> list[ErrorGroup]:
        """Group what failed."""
        check_int(limit, "limit", 1, MOST_GROUPS)
        types = Selection(type=type).types
        since = None if since is None else check_instant(since, "since")
        until = None if until is None else check_instant(until, "until")
        store = await ready_store(self._manager)
        return await store.grouping.groups(types=types, since=since, until=until, limit=limit)

    async def walk(
        self,
        size: int,
        to: str | None,
        run_at: datetime | None,
        older_than: float | None,
        after: str,
        selected: Selected,
    ) -> Walk:
        """Begin a walk through the jobs meant."""
        check_int(size, "size", 1, MOST_PAGE)
        selection = Selection(**selected)
        if run_at is not None:
            run_at = check_instant(run_at, "run_at")
        if older_than is not None:
            check_seconds(older_than, "older_than", 0, LONGEST)
        if after:
            after = check_name(after, "after", longest=MAX_ID)
        store = await ready_store(self._manager)
        if to is None:
            return store.pages.walk(selection, size=size, after=after)
        condition = await store.condition_of(
            to, succeeded=names_succeeded(selection), run_at=run_at, older_than=older_than
        )
        return store.pages.walk(
            selection, condition=condition.filter, states=condition.states, size=size, after=after
        )

    async def pages(
        self,
        size: int,
        to: str | None,
        run_at: datetime | None,
        older_than: float | None,
        after: str,
        selected: Selected,
    ) -> AsyncIterator[list[Brief]]:
        """Yield pages; for event loops."""
        walk = await self.walk(size, to, run_at, older_than, after, selected)
        while page := await walk.next():
            yield page


class Inspecting(Looking):
    """Looks at jobs: at all there is about one, at many page by page, at what they failed of."""

    def each(self, *, oldest_first: bool = False, **selected: Unpack[Selected]) -> Iterator[Job]:
        """Return an iterator over all jobs meant, by the time they were created, newest first.

        MongoDB puts their ids in order once, for which it reads all of them, some 2 s for a million; then jobs
        are read some hundreds at a time, as far as the iterator is taken. Those that are created meanwhile
        are not among them, and each is as it is when it is read. A page of it: `find`.

        Args:
            oldest_first: The other order.
            selected: Only these, see `Selected`.

        Raises:
            StoreUnavailable: By the iterator: it cannot go on; what it gave is the beginning.
        """
        return self._each(run(Inspector(self).listed(oldest_first=oldest_first, selected=selected)))

    def _each(self, listed: Listed) -> Iterator[Job]:
        try:
            while (jobs := run(listed.next())) is not None:
                for job in jobs:
                    yield remember(job, self)
        finally:
            run(listed.close())

    def ids_beginning(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Return the first ids that begin with `prefix`, in their order; by the index of ids.

        So a short form of an id, as people copy it, finds its job: if there is one answer, that is it.

        Args:
            limit: How many at most, 1 to 1,000.

        Raises:
            StoreUnavailable: Nothing is known, and nothing was changed.
        """
        return run(Inspector(self).ids_beginning(prefix, limit))

    def relations(self, id: str) -> tuple[Job, Relations]:
        """Return a job, and what it has to do with: whom it waits for, who waits for it, which pool holds it.

        Some six reads, each by an index, one after the other: what changes meanwhile may be in one of
        them and not in another. Pools and schedules that this user may not read are left out.

        Raises:
            JobNotFound: It does not exist.
            StoreUnavailable: Nothing is known, and nothing was changed.
        """
        job, relations = run(Inspector(self).relations(id))
        return remember(job, self), relations

    def errors(
        self,
        *,
        type: str | Iterable[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
    ) -> list[ErrorGroup]:
        """Return what failed jobs failed of, by type, exception class and message; the largest groups first.

        Messages count as the same whose numbers, ids, quoted values, paths and URLs alone
        differ. ``retry_many(group=...)`` retries a group. All failed jobs meant are read, by their
        index, in rounds: some two seconds for 100,000.

        Args:
            type: Of this type, or of one of several.
            since, until: Failed at or after, and before, these aware datetimes.
            limit: Groups, 1 to 10,000.
        """
        return run(Inspector(self).errors(type=type, since=since, until=until, limit=limit))

    def pages(
        self,
        *,
        size: int = SIZE,
        to: str | None = None,
        run_at: datetime | None = None,
        older_than: float | None = None,
        after: str = "",
        **selected: Unpack[Selected],
    ) -> Iterator[list[Brief]]:
        """Return an iterator over the jobs meant, a page at a time and in brief, by their ids.

        Each job comes once, whatever happens to jobs meanwhile; one that is created meanwhile
        may come. The order is that of the ids, so ``after`` the last id goes on where one was.
        Where all that is meant is failed, pending, waiting, claimed or running, and up to some
        100,000 jobs, only those are read; otherwise the whole collection is, in bounded steps.

        Args:
            size: Jobs of a page at the most.
            to: Only jobs that would be changed by ``"retry"``, ``"revive"``, ``"cancel"``, ``"snooze"``,
                ``"remove"`` or ``"purge"``: a look before a change.
            run_at, older_than: Of a snooze, and of a purge.
            after: Only ids behind this one.
            selected: Only these; see `Selected`.

        Raises:
            StoreUnavailable: By the iterator. Nothing was changed.
        """
        walk = run(Inspector(self).walk(size, to, run_at, older_than, after, selected))
        return iter(lambda: run(walk.next()), [])
