"""Inspecting: jobs one by one, what they have to do with, and ids by their beginning; nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Unpack

from ..job import Job
from ..names import MAX_ID, check_int, check_name
from ..relations import Relations
from ..store.driver import run
from ..store.listing import Listed
from ..store.queries import Selection
from ..waitable import remember
from .asking import Reader, Selected
from .looking import Looking


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
        await self._manager.store.contact.ready()
        return await self._manager.store.relating.ids_beginning(prefix, limit)

    async def relations(self, id: str) -> tuple[Job, Relations]:
        """Read a job, and what it has to do with."""
        id = check_name(id, "id", longest=MAX_ID)
        await self._manager.store.contact.ready()
        return await self._manager.store.relating.relations(id)

    async def listed(self, *, oldest_first: bool, selected: Selected) -> Listed:
        """Begin a list."""
        selection = Selection(**selected)
        await self._manager.store.contact.ready()
        return await self._manager.store.listing.begin(selection, oldest_first=oldest_first)

    async def each(self, *, oldest_first: bool, selected: Selected) -> AsyncIterator[Job]:
        """Yield jobs; for event loops."""
        listed = await self.listed(oldest_first=oldest_first, selected=selected)
        try:
            while (jobs := await listed.next()) is not None:
                for job in jobs:
                    yield job
        finally:
            await listed.close()


class Inspecting(Looking):
    """Looks at one job."""

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
