"""Looking at jobs and removing them, for threads and for event loops: what is checked before MongoDB is asked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, TypedDict, Unpack

from ..backlog import AlivePool, Backlog
from ..errors import InvalidConfiguration
from ..executors import Executors
from ..job import Job, State
from ..names import MAX_ID, check_int, check_name, check_seconds
from ..pauses import Paused
from ..retention import LONGEST
from ..store.cancelling import Cancelled
from ..store.core import Core
from ..store.queries import Selection
from ..why import Why

#: Ten years, in seconds.
LONGEST_WAIT = 10 * 365 * 86400.0
#: Characters of why something is paused.
MAX_REASON = 500


class HasStore(Protocol):
    """A manager, as all operations see it."""

    @property
    def store(self) -> Core:
        """The store; refused once the manager is closed."""


class Reader(HasStore, Protocol):
    """A manager, as asking sees it."""

    @property
    def executors(self) -> Executors:
        """Those of the types known here."""


class Selected(TypedDict, total=False):
    """Which jobs are meant; everything given must hold.

    Keys:
        type: Of this type, or of one of several.
        state: In this state, or in one of several.
        ids: With one of these ids.
        since, until: Created at or after, and before, these aware datetimes.
        error: Failed with an exception of this class, by its name. Only failed jobs have one.
        group: Failed alike: the sign of an `ErrorGroup`.
        text: With this text in their data: in keys and values of any depth, in numbers as they are
            written, any case. MongoDB cannot tell, so the data of all other jobs meant are read here.
        key: Of this key.
    """

    type: str | Iterable[str] | None
    state: State | str | Iterable[State | str] | None
    ids: Iterable[str] | None
    since: datetime | None
    until: datetime | None
    error: str | None
    group: str | None
    text: str | None
    key: str | None


class Asking:
    """Reads, counts and removes jobs for a manager; the methods of `JobManager` say what they answer.

    Its operations are coroutines; see `store.driver.run`. Threads: any; no state of its own.
    """

    def __init__(self, manager: Reader) -> None:
        self._manager = manager

    async def get(self, id: str) -> Job:
        """Return a snapshot of one job."""
        id = check_name(id, "id", longest=MAX_ID)
        store = await ready_store(self._manager)
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
        store = await ready_store(self._manager)
        return await store.queries.find(selection, limit=limit, after=after, oldest_first=oldest_first)

    async def count(self, **selected: Unpack[Selected]) -> int:
        """Return how many jobs there are."""
        selection = Selection(**selected)
        store = await ready_store(self._manager)
        return await store.queries.count(selection)

    async def backlog(self) -> Backlog:
        """Count the jobs that are not done with; no index is created."""
        return await self._manager.store.census.backlog(owner=self._manager.executors.owner)

    async def pools(self, *, dead: bool) -> tuple[AlivePool, ...]:
        """Return the pools that live, and those that died lately if asked for; nothing is created."""
        return await self._manager.store.presence.pools(dead=dead)

    async def why(self, id: str) -> Why:
        """Return why a job does not run; nothing is created."""
        id = check_name(id, "id", longest=MAX_ID)
        return await self._manager.store.explaining.why(id, self._manager.executors.owner)

    async def cancel(self, id: str, *, cascade: bool) -> Job:
        """Cancel a job, or ask who runs it to end it."""
        id = check_name(id, "id", longest=MAX_ID)
        store = await ready_store(self._manager)
        return await store.cancelling.cancel(id, cascade=cascade)

    async def cancel_many(self, *, all: bool, cascade: bool, **selected: Unpack[Selected]) -> Cancelled:
        """Cancel the jobs meant."""
        selection = meant("cancel_many", "cancels", all, Selection(**selected))
        store = await ready_store(self._manager)
        ended = asked = 0
        async for part in store.queries.parts(selection):
            done = await store.cancelling.cancel_many(part, cascade=cascade)
            ended, asked = ended + done.ended, asked + done.asked
        return Cancelled(ended, asked)

    async def pause(self, types: tuple[str, ...], reason: str | None) -> Paused:
        """Pause types, or everything."""
        types = _names(types)
        if reason is not None:
            reason = check_name(reason, "reason", longest=MAX_REASON)
        store = await ready_store(self._manager)
        return await store.settings.pause(types, reason)

    async def resume(self, types: tuple[str, ...]) -> Paused:
        """Resume types, or everything."""
        types = _names(types)
        store = await ready_store(self._manager)
        return await store.settings.resume(types)

    async def paused(self) -> Paused:
        """Return what is paused; nothing is created."""
        return await self._manager.store.settings.paused()

    async def purge(self, older_than: float, **selected: Unpack[Selected]) -> int:
        """Delete the final jobs meant, by their age."""
        check_seconds(older_than, "older_than", 0, LONGEST)
        selection = Selection(**selected)
        store = await ready_store(self._manager)
        purged = 0
        async for part in store.queries.parts(selection):
            purged += await store.purging.purge(part, older_than)
        return purged

    async def remove(self, id: str) -> bool:
        """Delete a job that nobody holds."""
        id = check_name(id, "id", longest=MAX_ID)
        store = await ready_store(self._manager)
        return await store.removing.remove(id)

    async def remove_many(self, *, all: bool, **selected: Unpack[Selected]) -> int:
        """Delete the jobs meant that nobody holds."""
        selection = meant("remove_many", "deletes", all, Selection(**selected))
        store = await ready_store(self._manager)
        removed = 0
        async for part in store.queries.parts(selection):
            removed += await store.removing.remove_many(part)
        return removed

    async def ensure_indexes(self, limits: bool | None) -> list[str]:
        """Create what is missing of the indexes; those for limits if `limits` says so, or any type has some."""
        store = await ready_store(self._manager)
        wanted = self._manager.executors.limited if limits is None else limits
        return await store.contact.ensure_indexes(limits=wanted)


def check_wait(timeout: float | None) -> None:
    """Refuse seconds to wait that are none; None is as long as it takes."""
    if timeout is not None:
        check_seconds(timeout, "timeout", 0, LONGEST_WAIT)


def _names(types: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_name(type, "type") for type in types))


def meant(name: str, does: str, all: bool, selection: Selection) -> Selection:
    """Return `selection`; raise `InvalidConfiguration` if it means every job and nobody said so."""
    if selection.all and not all:
        raise InvalidConfiguration(f"{name} without a selection {does} every job: say all=True if you mean it")
    return selection


def names_succeeded(selection: Selection) -> bool:
    """Say whether succeeded jobs are meant by name."""
    return State.SUCCEEDED in (selection.states or ())


async def ready_store(manager: HasStore) -> Core:
    """Return the store of a manager, once it can take what comes."""
    store = manager.store
    await store.contact.ready()
    return store
