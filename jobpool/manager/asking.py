"""Looking at jobs and removing them, for threads and for event loops: what is checked before MongoDB is asked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, TypedDict, Unpack

from ..backlog import Backlog
from ..errors import InvalidConfiguration
from ..job import Job, State
from ..names import MAX_ID, check_int, check_name
from ..store.core import Core
from ..store.queries import Selection


class Reader(Protocol):
    """A manager, as asking sees it."""

    @property
    def store(self) -> Core:
        """The store; refused once the manager is closed."""


class Selected(TypedDict, total=False):
    """The arguments of `Selection`."""

    type: str | None
    state: State | str | None
    ids: Iterable[str] | None
    since: datetime | None
    until: datetime | None


class Asking:
    """Reads, counts and removes jobs for a manager; the methods of `JobManager` say what they answer.

    Its operations are coroutines; see `store.driver.run`. Threads: any; no state of its own.
    """

    def __init__(self, manager: Reader) -> None:
        self._manager = manager

    async def get(self, id: str) -> Job:
        """Return a snapshot of one job."""
        id = check_name(id, "id", longest=MAX_ID)
        store = await self._ready()
        return await store.queries.get(id)

    async def find(
        self, *, limit: int, after: Job | None, oldest_first: bool, **selected: Unpack[Selected]
    ) -> list[Job]:
        """Return a page of jobs."""
        check_int(limit, "limit", 1, 10_000)
        if not (after is None or isinstance(after, Job)):
            raise InvalidConfiguration(
                f"after must be the last Job of the page before, not {after.__class__.__name__}"
            )
        selection = Selection(**selected)
        store = await self._ready()
        return await store.queries.find(selection, limit=limit, after=after, oldest_first=oldest_first)

    async def count(self, **selected: Unpack[Selected]) -> int:
        """Return how many jobs there are."""
        selection = Selection(**selected)
        store = await self._ready()
        return await store.queries.count(selection)

    async def backlog(self) -> Backlog:
        """Count the jobs that are not done with; no index is created."""
        return await self._manager.store.census.backlog()

    async def remove(self, id: str) -> bool:
        """Delete a job that nobody holds."""
        id = check_name(id, "id", longest=MAX_ID)
        store = await self._ready()
        return await store.queries.remove(id)

    async def remove_many(self, *, all: bool, **selected: Unpack[Selected]) -> int:
        """Delete the jobs meant that nobody holds."""
        selection = Selection(**selected)
        if not selection.filter() and not all:
            raise InvalidConfiguration(
                "remove_many without a selection deletes every job: say all=True if you mean it"
            )
        store = await self._ready()
        return await store.queries.remove_many(selection)

    async def ensure_indexes(self) -> list[str]:
        """Create what is missing of the indexes."""
        store = await self._ready()
        return await store.contact.ensure_indexes()

    async def _ready(self) -> Core:
        """Return the store, once it can take what comes."""
        store = self._manager.store
        await store.contact.ready()
        return store
