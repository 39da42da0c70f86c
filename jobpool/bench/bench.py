"""What every benchmark works with: a server, fresh collections, processes, and the results to fill."""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pymongo
from prometheus_client import CollectorRegistry
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandListener

from ..http import MetricsServer
from ..manager import JobManager
from ..metrics import Metrics
from ..pool import WorkerPool
from ..store.connection import close_client, open_client
from ..store.failures import translate
from ..store.uris import redact_uri
from . import raw
from .child import Child
from .progress import Progress
from .proof import expect, expect_once, wait_for
from .results import Results
from .setting import describe

TYPE = "noop"
THREADS = 16
#: The dashboard of the benchmarks shows the pools whose names begin so.
POOL = "bench"
#: Seconds between two looks whether the server is still there.
LOOK_EVERY = 1.0
#: Seconds in which it has to answer: a busy one takes one or two.
ANSWER_TIME = 5.0
#: All managers of a benchmark count on it, so that one endpoint shows them all.
REGISTRY = CollectorRegistry()

#: As long as a manager waits by default.
CONNECT_TIME = 10.0
#: A server that is gone must not keep a benchmark from ending; a drop takes well under a second.
DROP_TIME = 20.0
GONE_AFTER = 2.0

Client = MongoClient[dict[str, Any]]


@contextmanager
def served(port: int | None) -> Iterator[None]:
    """Answer scrapes of what the pools of this process do while a benchmark runs, if a port is given."""
    if port is None:
        yield
        return
    metrics = Metrics.on(REGISTRY)
    with MetricsServer({"/metrics": lambda asked: (200, *metrics.exposition(asked.accept))}, port, "127.0.0.1"):
        yield


class Bench:
    """One run of one benchmark.

    Attributes:
        uri: Of the server.
        client: Of the same, for everything in this process.
        quick: Whether the run only has to show that it runs.
        options: The benchmark's own settings, as its `add_arguments` declared them.
        repeat: How often everything is measured.
        results: What it found.
        progress: To say what it does.
    """

    def __init__(self, uri: str, client: Client, results: Results, options: argparse.Namespace) -> None:
        self.uri = uri
        self.client = client
        self.quick: bool = options.quick
        self.options = options
        self.results = results
        self.progress = Progress()
        self.database = f"jobpool_bench_{uuid.uuid4().hex[:8]}"
        self._children: list[Child] = []

    def repeat(self, usual: int) -> int:
        """Return how often to measure: what was asked for, else twice if quick, else `usual`."""
        asked: int | None = self.options.repeat
        return asked or (2 if self.quick else usual)

    def size(self, full: int, quick: int) -> int:
        """Return how much to do."""
        return quick if self.quick else full

    def manager(self, **options: Any) -> JobManager:
        """Return a manager of a new collection, unless one is named."""
        name = f"jobs_{uuid.uuid4().hex[:8]}"
        options = {"collection": name, "client": self.client, "registry": REGISTRY, **options}
        if "uri" in options:
            del options["client"]
        manager = JobManager(self.database, **options)
        manager.ensure_indexes()
        return manager

    def raw(self, manager: JobManager) -> raw.Jobs:
        """Return the collection of a manager for PyMongo alone, with the same write concern."""
        return raw.durable(self.client[self.database][collection_name(manager)])

    def child(self, role: str, **settings: Any) -> Child:
        """Start a process; see `child.Child`. It is ended with the benchmark at the latest."""
        child = Child(role, {"uri": self.uri, "database": self.database, **settings})
        self._children.append(child)
        return child

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait until `condition` holds, as `proof.wait_for`, for as long as the server answers.

        Pools would wait for it to come back; a benchmark of a server that was away says nothing.

        Raises:
            PyMongoError: It does not answer.
        """
        looked_at = time.monotonic()

        def there() -> bool:
            nonlocal looked_at
            if time.monotonic() - looked_at > LOOK_EVERY:
                with pymongo.timeout(ANSWER_TIME):
                    self.client.admin.command("ping")
                looked_at = time.monotonic()
            return bool(condition())

        wait_for(there, what)

    def drop(self, manager: JobManager) -> None:
        """Remove a collection that is not needed any more, so that the disk does not fill."""
        name = collection_name(manager)
        for found in (name, f"{name}.pools", f"{name}.gates"):
            self.client[self.database].drop_collection(found)

    def close(self) -> None:
        """End the processes and drop everything."""
        for child in self._children:
            child.kill()
        try:
            with pymongo.timeout(GONE_AFTER):
                self.client.admin.command("ping")  # it may be that which ended the run
            with pymongo.timeout(DROP_TIME):
                self.client.drop_database(self.database)
        except PyMongoError as error:  # what ended the run matters more
            self.progress.say(f"could not drop the database {self.database}: {type(error).__name__}")


@contextmanager
def bench(name: str, uri: str, options: argparse.Namespace) -> Iterator[Bench]:
    """Connect for a run of the benchmark `name`.

    Raises:
        InvalidConfiguration: The URI cannot be used.
        StoreError: MongoDB does not answer, or not to this user.
    """
    with ExitStack() as stack:
        client = open_client(uri)
        stack.callback(close_client, client)
        made = Bench(uri, client, Results(name, options.quick, _described(client, uri)), options)
        stack.callback(made.close)
        yield made


def _described(client: Client, uri: str) -> dict[str, Any]:
    try:
        # The driver forgets the limit of the URI where it is given another.
        with pymongo.timeout(min(CONNECT_TIME, client.options.server_selection_timeout)):
            return describe(client, uri)
    except PyMongoError as error:
        raise translate(error, f"connecting to MongoDB at {redact_uri(uri)}", writes=False) from error


@contextmanager
def own_manager(
    settings: dict[str, Any], executor: Any = None, listeners: Sequence[CommandListener] = ()
) -> Iterator[JobManager]:
    """Connect in a child process, and give a manager of the collection that its settings name.

    Args:
        settings: With `uri`, `database` and `collection`.
        executor: Of the jobs of `TYPE`, if they are to be run.
        listeners: Of the driver's commands.
    """
    with MongoClient[dict[str, Any]](settings["uri"], event_listeners=list(listeners)) as client:
        yield JobManager(
            settings["database"],
            client=client,
            collection=settings["collection"],
            executors={TYPE: executor} if executor is not None else None,
            registry=CollectorRegistry(),
        )


def collection_name(manager: JobManager) -> str:
    """Return the name of the collection of a manager."""
    return manager.store.name.partition(".")[2]


def some_jobs(count: int, first: int = 0, type: str = TYPE) -> list[dict[str, Any]]:
    """Return jobs of about 200 bytes, numbered."""
    return [{"type": type, "data": {"n": number, "text": "x" * 60}} for number in range(first, first + count)]


def nothing(data: Any) -> None:
    """The work of a no-op job."""


class Recorded:
    """How many outcomes of one type the store has acknowledged since this was made."""

    def __init__(self, manager: JobManager, type: str = TYPE) -> None:
        self._registry = manager.metrics.registry
        self._labels = {"type": type, "outcome": "succeeded"}
        self._before = self._all()

    def _all(self) -> float:
        return self._registry.get_sample_value("jobpool_attempts_total", self._labels) or 0.0

    def count(self) -> float:
        """Return the number now."""
        return self._all() - self._before


def drain_pool(
    made: Bench,
    count: int,
    *,
    threads: int = THREADS,
    work: Callable[[Any], Any] = nothing,
    beside: Callable[[JobManager], None] | None = None,
    **options: Any,
) -> float:
    """Let a pool drain `count` jobs, `beside` having begun; prove that each ran once; return the seconds."""
    ran: list[int] = []

    def execute(data: dict[str, Any]) -> Any:
        ran.append(data["n"])
        return work(data)

    manager = made.manager(executors={TYPE: execute})
    manager.create_many(some_jobs(count))
    if beside is not None:
        beside(manager)
    recorded = Recorded(manager)
    pool = WorkerPool(manager, threads=threads, name=POOL, **options)
    began = time.perf_counter()
    with pool:
        made.wait_for(lambda: recorded.count() == count, "the last job")
        seconds = time.perf_counter() - began
    expect_once(ran, count)
    expect_recorded_once(made, manager, count)
    made.drop(manager)
    return seconds


def expect_recorded_once(made: Bench, manager: JobManager, count: int) -> None:
    """Prove by the stored documents that each of `count` jobs was claimed once, started once and succeeded."""
    stored = made.raw(manager).count_documents({"state": "succeeded", "attempts": 1, "fence": 1})
    expect(stored == count, f"{count - stored} of {count} jobs are not recorded as run once")
    made.results.executed += count
