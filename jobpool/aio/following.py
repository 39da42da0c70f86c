"""Following: the changes of jobs as they happen, for those who watch in an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from types import TracebackType

from ..changes import Change
from ..job import State
from ..manager.following import Followed, last
from ..store.queries import Selection
from .base import Base


class AsyncChanges(Followed, AsyncIterator[Change]):
    """An asynchronous iterator over the changes of jobs, each once, in their order; see `jobpool.manager.Changes`.

    It begins where it is entered (``async with``) or asked for the first change, and goes on behind the last
    change it gave after a call that raised `StoreUnavailable`: call again. Usable as an asynchronous context
    manager, which closes it; closed, it has no next change.

    A task that is cancelled while it waits for changes has closed the stream on the server. Who asks again goes
    on behind the last change that came, and nothing is left out or given twice.

    Threads: one task at a time.
    """

    async def read(self) -> list[Change]:
        """Return the changes that are there; none if none came within some `max_await` seconds.

        Raises:
            UnsupportedServer: MongoDB is a standalone server, which has no change streams.
            StoreUnavailable: MongoDB does not answer, or elects another primary. Call again: nothing is left
                out or given twice.
            StoreRefused: The server has forgotten where this was, or does not let this user watch.
            PoolStateError: It is closed.
        """
        return await self._read()

    async def drop(self) -> int:
        """Read on and forget; return how many changes that were, of all jobs. Raises: as `read`."""
        return await self._drop()

    async def skip(self) -> None:
        """Go on from now, whatever came before. Raises: as `read`."""
        await self._skip()

    async def close(self) -> None:
        """End it. May be repeated."""
        await self._close()

    async def __anext__(self) -> Change:
        """Wait for the next change and return it. Raises: as `read`; call again."""
        change = await self._next()
        if change is None:
            raise StopAsyncIteration
        return change

    async def __aenter__(self) -> AsyncChanges:
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


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
    ) -> AsyncChanges:
        """Return an asynchronous iterator over the changes of jobs; see `JobManager.changes`.

        Nothing is sent yet: it watches from where it is entered, as in ``async with jobs.changes() as changes``,
        or asked for the first change. That raises what `JobManager.changes` raises of MongoDB.
        """
        selection = Selection(type=type, state=state, ids=ids)
        return AsyncChanges(self.store, selection, data=data, progress=progress, max_await=max_await)

    async def last_changes(
        self,
        limit: int,
        *,
        type: str | Iterable[str] | None = None,
        state: State | str | Iterable[State | str] | None = None,
        ids: Iterable[str] | None = None,
        data: bool = False,
    ) -> list[Change]:
        """Return the last change of each of the jobs that changed last; see `JobManager.last_changes`."""
        return await last(self, limit, Selection(type=type, state=state, ids=ids), data=data)
