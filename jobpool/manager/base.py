"""What every part of a manager stands on: the store, the executors, who hears of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..executors import Executor, Executors
from ..metrics import Buckets, Registry
from ..middleware import Middleware
from ..pool import WorkerPool
from ..pool.direct import DirectRuns
from ..pool.waits import Waits
from ..pool.wakeups import Wakeups
from ..store import Store
from ..store.connection import Client, Database
from ..store.driver import BLOCKING
from .common import MIB, Common


class Base(Common[Store]):
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
        max_pending: Mapping[str, int] | None = None,
    ) -> None:
        self.executors = Executors(executors)
        super().__init__(
            database,
            BLOCKING,
            Store,
            uri=uri,
            client=client,
            collection=collection,
            write_concern=write_concern,
            timeout=timeout,
            data_limit=data_limit,
            registry=registry,
            buckets=buckets,
            tracer_provider=tracer_provider,
            middleware=middleware,
            max_pending=max_pending,
        )
        self.wakeups = Wakeups()
        self._direct = DirectRuns(self)
        self._waits = Waits(self)
        self._lock = threading.RLock()  # guards _watches and _closed, also from a signal handler on top of itself
        self._watches: list[WorkerPool] = []

    def told(self, types: set[str]) -> None:
        """Wake the pools here that run one of these types, of which due jobs were created."""
        self.wakeups.created(types)

    def scheduled(self) -> None:
        """Wake what fires schedules in the pools here."""
        self.wakeups.scheduled()

    def __repr__(self) -> str:
        return f"<JobManager {self._store.name} types={len(list(self.executors))}>"
