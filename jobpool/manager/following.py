"""Following: the changes of jobs as they happen, for those who watch."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from types import TracebackType

from ..changes import Change
from ..errors import InvalidConfiguration, PoolStateError
from ..job import State
from ..names import check_int, check_seconds
from ..store.core import Core
from ..store.driver import run
from ..store.queries import Selection
from .asking import Reader
from .base import Base

#: Ids that are followed by name: the server compares each change with all of them.
MOST_IDS = 10_000
#: Jobs that are shown as they changed last.
MOST_LAST = 10_000


class Followed:
    """What `Changes` and its twin for event loops have in common: their operations, as coroutines.

    Threads: one; with an awaited driver one task at a time.
    """

    def __init__(
        self,
        store: Core,
        selection: Selection,
        *,
        data: bool,
        progress: bool,
        max_await: float,
    ) -> None:
        check_seconds(max_await, "max_await", 0.01, 60)
        _check_ids(selection.named)
        self._contact = store.contact
        self._types = _wanted(selection.types)
        self._states = _wanted(selection.states)
        self._ready: deque[Change] = deque()
        self._begun = self._closed = False
        self._following = store.follow(selection.named, data=data, progress=progress, max_await=max_await)

    @property
    def behind(self) -> float:
        """How many seconds this is behind what happens; 0 if it is up to date. Nothing is asked."""
        return self._following.behind

    async def _begin(self) -> None:
        """Watch from now on, if it does not yet."""
        if self._closed:
            raise PoolStateError("these changes are closed; manager.changes() begins anew")
        if not self._begun:
            await self._contact.require_replicated("watching jobs change")
            await self._following.open()
            self._begun = True

    async def _read(self) -> list[Change]:
        await self._begin()
        if self._ready:
            found = list(self._ready)
            self._ready.clear()
            return found
        return [change for change in await self._following.read() if self._means(change)]

    async def _next(self) -> Change | None:
        """Wait for the next change and return it; None if it is closed."""
        while not (self._closed or self._ready):
            self._ready.extend(await self._read())
        return None if self._closed else self._ready.popleft()

    async def _drop(self) -> int:
        await self._begin()
        left = len(self._ready)
        self._ready.clear()
        return left + await self._following.drop()

    async def _skip(self) -> None:
        await self._begin()
        self._ready.clear()
        await self._following.skip()

    async def _close(self) -> None:
        self._closed = True
        await self._following.close()

    def _means(self, change: Change) -> bool:
        return (self._types is None or change.type in self._types) and (
            self._states is None or change.state in self._states
        )


class Changes(Followed):
    """An iterator over the changes of jobs, each once, in their order, that waits for the next one.

    It follows a change stream, and goes on behind the last change it gave after a call that raised
    `StoreUnavailable`: call again. Usable as a context manager, which closes it; closed, it has no next change.

    Of a job that was there before this began, type, pool and the like are looked up when it changes
    first, a batch in one read: they are as of then.

    Threads: one.
    """

    def read(self) -> list[Change]:
        """Return the changes that are there; none if none came within some `max_await` seconds.

        Raises:
            StoreUnavailable: MongoDB does not answer, or elects another primary. Call again: nothing is left
                out or given twice.
            StoreRefused: The server has forgotten where this was, or does not let this user watch.
            PoolStateError: It is closed.
        """
        return run(self._read())

    def drop(self) -> int:
        """Read on and forget; return how many changes that were, of all jobs. Raises: as `read`."""
        return run(self._drop())

    def skip(self) -> None:
        """Go on from now, whatever came before. Raises: as `read`."""
        run(self._skip())

    def close(self) -> None:
        """End it. May be repeated."""
        run(self._close())

    def __iter__(self) -> Iterator[Change]:
        return self

    def __next__(self) -> Change:
        """Wait for the next change and return it. Raises: as `read`; call again."""
        change = run(self._next())
        if change is None:
            raise StopIteration
        return change

    def __enter__(self) -> Changes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Following(Base):
    """Watches jobs change."""

    def changes(
        self,
        *,
        type: str | Iterable[str] | None = None,
        state: State | str | Iterable[State | str] | None = None,
        ids: Iterable[str] | None = None,
        data: bool = False,
        progress: bool = False,
        max_await: float = 1.0,
    ) -> Changes:
        """Return an iterator over the changes of jobs from now on: created, started, ended, removed.

        Args:
            type: Of these types. What is removed before anything else was heard of it has none.
            state: That bring a job into one of these states.
            ids: Of these jobs, up to 10,000.
            data: Bring the data with every change: as they are when the change is read.
            progress: Tell also when executors say how far they are.
            max_await: Seconds for which the server holds an empty answer back, 0.01 to 60: for so long
                `Changes.read` waits. It takes nothing from how soon a change comes.

        Raises:
            UnsupportedServer: MongoDB is a standalone server, which has no change streams.
            StoreUnavailable: It cannot be begun now.
            StoreRefused: This user may not watch: the right missing is changeStream.
        """
        selection = Selection(type=type, state=state, ids=ids)
        changes = Changes(self.store, selection, data=data, progress=progress, max_await=max_await)
        run(changes._begin())
        return changes

    def last_changes(
        self,
        limit: int,
        *,
        type: str | Iterable[str] | None = None,
        state: State | str | Iterable[State | str] | None = None,
        ids: Iterable[str] | None = None,
        data: bool = False,
    ) -> list[Change]:
        """Return the last change of each of the jobs that changed last, the oldest first, as they tell themselves.

        That is their creation, start, failure or end; there is no index on these, so all jobs meant are read,
        some 2 s for a million.

        Args:
            limit: Of how many, 1 to 10,000.
            type, state, ids, data: See `changes`; the state is that they are in.
        """
        return run(last(self, limit, Selection(type=type, state=state, ids=ids), data=data))


async def last(manager: Reader, limit: int, selection: Selection, *, data: bool) -> list[Change]:
    """Return the last changes; see `JobManager.last_changes`."""
    check_int(limit, "limit", 1, MOST_LAST)
    store = manager.store
    await store.contact.ready()
    return await store.recent.last(selection, limit, data=data)


def _wanted(names: Collection[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _check_ids(named: Collection[str] | None) -> None:
    if named is not None and not 1 <= len(named) <= MOST_IDS:
        raise InvalidConfiguration(f"ids must be 1 to {MOST_IDS:,} names, not {len(named):,}")
