"""What managers have in common, those for threads and those for event loops."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from ..errors import PoolStateError
from ..executors import Executors
from ..hooks import Guarded
from ..metrics import Buckets, Metrics, Registry
from ..middleware import Middleware, chain_of
from ..names import check_int, check_seconds
from ..request import JobRequest
from ..store.connection import Client, Database, collection_of, write_concern_of
from ..store.core import Core
from ..store.documents import Document
from ..store.driver import Driver
from ..tracing import Tracing
from .asking import Asking
from .creating import Creating
from .requests import document_of
from .room import Room

MIB = 1024 * 1024

_Store = TypeVar("_Store", bound=Core)


class Common(Generic[_Store]):
    """The store of a manager, who hears of it, and the operations that run no job.

    Threads: those of the manager. `_closed` is written by `close` alone.
    """

    #: Of a manager that runs no jobs there are none, and the data of any type are taken as they are.
    executors = Executors()

    def __init__(
        self,
        database: str | Database,
        driver: Driver,
        store: Callable[..., _Store],
        *,
        uri: str | None,
        client: Client | None,
        collection: str,
        write_concern: str | int,
        timeout: float,
        data_limit: int,
        registry: Registry | None,
        buckets: Buckets | None,
        tracer_provider: Any,
        middleware: Iterable[Middleware],
        max_pending: Mapping[str, int] | None,
    ) -> None:
        check_seconds(timeout, "timeout", 0.1, 3600)
        self.data_limit = check_int(data_limit, "data_limit", 1024, 15 * MIB)
        self.metrics = Metrics.on(registry, buckets)
        self.observer = Guarded(self.metrics)
        self.middleware = chain_of(middleware, self.observer)
        self.tracing = Tracing(tracer_provider)
        self.room = Room(self.executors, max_pending)
        concern = write_concern_of(write_concern)
        jobs, self._owned_client = collection_of(database, uri, client, collection, driver)
        self._store = store(jobs, write_concern=concern, timeout=timeout, observer=self.observer)
        self._creating = Creating(self)
        self._asking = Asking(self)
        self._pid = os.getpid()
        self._closed = False

    @property
    def store(self) -> _Store:
        """The store; refused once the manager is closed."""
        if self._closed:
            raise PoolStateError("the manager is closed")
        return self._store

    def told(self, types: set[str]) -> None:
        """Hear that due jobs of these types were created here; the change stream tells everybody else."""

    def scheduled(self) -> None:
        """Hear that a schedule was stored or changed here; pools elsewhere find it within some seconds."""

    def document_of(self, request: JobRequest, now: datetime) -> Document:
        """Return what is stored for a job that is created here at `now`, to the millisecond."""
        return document_of(request, now, executors=self.executors)

    @property
    def creating(self) -> Creating:
        """What creates jobs."""
        return self._creating

    def exposition(self, accept: str = "") -> tuple[str, bytes]:
        """Return the content type and the body of a scrape of this manager's metrics."""
        return self.metrics.exposition(accept)
