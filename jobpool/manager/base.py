"""What every part of a manager stands on: the store, the executors, who hears of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..errors import PoolStateError
from ..executors import Executor, Executors
from ..hooks import Guarded
from ..metrics import Buckets, Metrics, Registry
from ..middleware import Middleware, chain_of
from ..names import check_int, check_seconds
from ..pool import WorkerPool
from ..pool.direct import DirectRuns
from ..pool.waits import Waits
from ..pool.wakeups import Wakeups
from ..store import Store
from ..store.connection import Client, Database, collection_of, write_concern_of
from ..tracing import Tracing

MIB = 1024 * 1024


class Base:
    """The state of a manager; its operations are in the classes derived from this one. See `JobManager`."""

    def __init__(
        self,
        database: str | Database,
        *,
        uri: str | None = None,
        client: Client | None = None,
        collection: str = "jobs",
        executors: Mapping[str, Executor | Callable[..., Any]] | None = None,
        write_concern: str | int = "majority",
        timeout: float = 10.0,
        data_limit: int = MIB,
        registry: Registry | None = None,
        buckets: Buckets | None = None,
        tracer_provider: Any = None,
        middleware: Iterable[Middleware] = (),
    ) -> None:
        check_seconds(timeout, "timeout", 0.1, 3600)
        self.data_limit = check_int(data_limit, "data_limit", 1024, 15 * MIB)
        self.executors = Executors(executors)
        self.metrics = Metrics.on(registry, buckets)
        self.observer = Guarded(self.metrics)
        self.middleware = chain_of(middleware, self.observer)
        self.tracing = Tracing(tracer_provider)
        self.wakeups = Wakeups()
        concern = write_concern_of(write_concern)
        jobs, self._owned_client = collection_of(database, uri, client, collection)
        self._store = Store(jobs, write_concern=concern, timeout=timeout, observer=self.observer)
        self._direct = DirectRuns(self)
        self._waits = Waits(self)
        self._pid = os.getpid()
        self._lock = threading.RLock()  # guards _watches and _closed, also from a signal handler on top of itself
        self._watches: list[WorkerPool] = []
        self._closed = False

    def _now(self) -> datetime:
        """Return the server's time to the millisecond, as BSON keeps it."""
        now = self.store.clock.now()
        return now - timedelta(microseconds=now.microsecond % 1000)

    @property
    def store(self) -> Store:
        """The store; refused once the manager is closed."""
        if self._closed:
            raise PoolStateError("the manager is closed")
        return self._store

    def exposition(self, accept: str = "") -> tuple[str, bytes]:
        """Return the content type and the body of a scrape of this manager's metrics."""
        return self.metrics.exposition(accept)

    def __repr__(self) -> str:
        return f"<JobManager {self._store.name} types={len(list(self.executors))}>"
