"""AsyncJobManager: producer and reader for services that run in an event loop."""

from __future__ import annotations

import os
from types import TracebackType

from ..store.connection import closing
from .changing import Changing
from .following import AsyncChanges, Following
from .importing import Importing
from .looking import Looking
from .overseeing import Overseeing
from .producing import Producing
from .steering import Steering


class AsyncJobManager(Producing, Looking, Following, Overseeing, Changing, Steering, Importing):
    """Creates jobs and looks at them, from an event loop; on PyMongo's `AsyncMongoClient`.

    It runs no jobs: that is for a `JobManager`, here or in any other process.
    Names, arguments, answers and errors are those of `JobManager`, and so are
    ids and documents: equal work is one job, whoever creates it.

    A task that is cancelled in a call is a caller who got no answer: what it
    asked for may or may not have happened. Calling again with the same
    arguments is safe, as after `StoreUnavailable`.

    Args:
        database: The name of a database, or a pymongo `AsyncDatabase`.
        uri, collection, write_concern, timeout, data_limit: See `JobManager`.
        client: A pymongo `AsyncMongoClient` to use. It is not closed.
        registry, buckets, tracer_provider, middleware, max_pending: See `JobManager`. A
            manager of each kind may have the same registry.

    Raises:
        InvalidConfiguration: An argument cannot be used, or PyMongo is older than 4.11.

    Nothing is sent before the first operation, which also sees to the
    indexes. Usable as an asynchronous context manager.

    Threads: one, that of the event loop in which it is first used; any number
    of its tasks. Not usable in a forked child.
    """

    async def ensure_indexes(self, *, limits: bool | None = None) -> list[str]:
        """Create what is missing of the indexes now; see `JobManager.ensure_indexes`."""
        return await self._asking.ensure_indexes(limits)

    async def close(self) -> None:
        """Close a client made here. May be repeated, also after a call that was cancelled.

        In a forked child it does nothing: the client belongs to the parent.
        """
        if os.getpid() != self._pid:
            return
        self._closed = True
        if self._owned_client is not None:
            await closing(self._owned_client, self._store.driver)
            self._owned_client = None

    async def __aenter__(self) -> AsyncJobManager:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


__all__ = ["AsyncChanges", "AsyncJobManager"]
