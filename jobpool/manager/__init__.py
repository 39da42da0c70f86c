"""JobManager: producer and consumer, where the parts are joined."""

from __future__ import annotations

import os
from types import TracebackType

from ..store.connection import close_client
from ..store.driver import run
from .changing import Changing
from .checking import Checking
from .common import MIB
from .consuming import Consuming
from .following import Changes, Following
from .importing import Importing
from .inspecting import Inspecting
from .overseeing import Overseeing
from .producing import CREATE_BATCH, Producing, document_of
from .reviving import Reviving
from .scheduling import Scheduling
from .steering import Steering


class JobManager(
    Producing,
    Consuming,
    Changing,
    Reviving,
    Scheduling,
    Steering,
    Overseeing,
    Inspecting,
    Following,
    Importing,
    Checking,
):
    """Creates jobs, runs them here, and starts pools that run them on threads.

    Args:
        database: The name of a database, or a pymongo `Database`.
        uri: Where MongoDB is; ``$JOBPOOL_URI`` if None, then
            ``mongodb://localhost:27017``. Not together with `client` or a `Database`.
        client: A pymongo `MongoClient` to use. It is not closed.
        collection: The collection of the jobs.
        executors: By type, what runs it: a callable or an `Executor`.
        write_concern: ``"majority"``, whatever the client's is. A number asks
            for less: an acknowledged job or claim may then be lost with a node.
        timeout: Seconds after which a call to MongoDB is given up.
        data_limit: The most bytes of a job's data, and of a result, up to 15 MiB.
        registry: A `prometheus_client` registry for the metrics; one of its
            own if None, so that the host's is left alone.
        buckets: By the name of a histogram, other upper bounds than ours.
        tracer_provider: An OpenTelemetry `TracerProvider` for the spans; the
            global one, if one is configured, if None.
        middleware: Hooks of your own around the life of jobs; see `Middleware`.
        max_pending: By type, how many jobs may be pending, for producers that do not
            know their executors; goes before `Executor.max_pending`. See ``on_full`` of `create`.

    Nothing is sent before the first operation, which also sees to the
    indexes. Usable as a context manager.

    Threads: every method from any thread. Not usable in a forked child.
    """

    def ensure_indexes(self, *, limits: bool | None = None) -> list[str]:
        """Create what is missing of the indexes now; return the names of those created.

        The first operation does it anyway. On a large collection call it at
        deployment: MongoDB goes on working while it builds.

        Args:
            limits: Whether to create those as well that pools need whose types
                have keys or limits; if None, when an executor here has some.
        """
        return run(self._asking.ensure_indexes(limits))

    def close(self, timeout: float | None = None) -> None:
        """Stop the pools of `start_watch`, end what `run` started, close a client made here. May be repeated.

        Whoever waits for a job meanwhile gets a `PoolStateError`. In a forked child it does nothing: all of
        that belongs to the parent.
        """
        if os.getpid() != self._pid:
            return
        self.stop_watch(timeout)
        self._direct.close()
        with self._lock:
            first, self._closed = not self._closed, True
        self._waits.close()  # only now: those who wait look and see why they were woken
        if first and self._owned_client is not None:
            close_client(self._owned_client)

    def __enter__(self) -> JobManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


__all__ = ["CREATE_BATCH", "MIB", "Changes", "JobManager", "document_of"]
