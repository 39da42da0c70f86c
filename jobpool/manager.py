"""JobManager: producer and consumer, where the parts are joined."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar, Unpack, overload

from .backlog import Backlog
from .backoff import Backoff
from .config import PoolOptions
from .errors import InvalidConfiguration, InvalidJob, PoolStateError, WaitTimeout
from .executors import Executor, Executors
from .hooks import Guarded
from .job import Created, Job, State
from .metrics import Buckets, Metrics, Registry
from .names import MAX_ID, check_int, check_name, check_seconds, shown
from .pool import StopReport, WorkerPool
from .pool.direct import DirectRuns
from .pool.wakeups import Wakeups
from .request import JobRequest, request_of
from .store import Session, Store
from .store.connection import Client, Database, close_client, collection_of, write_concern_of
from .store.creation import KEEP, ON_DUPLICATE
from .store.documents import Document, new_document
from .store.queries import Selection
from .tracing import Producing, StoredContext, Tracing

MIB = 1024 * 1024
#: Jobs of one `insert_many`: the driver splits at 100,000, and a lost reply leaves this many in doubt.
CREATE_BATCH = 1000

_Fn = TypeVar("_Fn", bound=Callable[..., Any])
_JobLike = Mapping[str, Any]


def document_of(request: JobRequest, now: datetime, trace: StoredContext | None = None) -> Document:
    """Return what is stored for a request that is made at `now` (server time, to the millisecond)."""
    return new_document(
        id=request.job_id,
        type=request.type,
        data=request.data,
        priority=request.priority,
        run_at=request.due_at(now),
        max_attempts=request.max_attempts,
        created_at=now,
        trace=trace,
    )


class JobManager:
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

    Nothing is sent before the first operation, which also sees to the
    indexes. Usable as a context manager.

    Threads: every method from any thread. Not usable in a forked child.
    """

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
    ) -> None:
        check_seconds(timeout, "timeout", 0.1, 3600)
        self.data_limit = check_int(data_limit, "data_limit", 1024, 15 * MIB)
        self.executors = Executors(executors)
        self.metrics = Metrics.on(registry, buckets)
        self.observer = Guarded(self.metrics)
        self.tracing = Tracing(tracer_provider)
        self.wakeups = Wakeups()
        concern = write_concern_of(write_concern)
        jobs, self._owned_client = collection_of(database, uri, client, collection)
        self._store = Store(jobs, write_concern=concern, timeout=timeout, observer=self.observer)
        self._direct = DirectRuns(self)
        self._pid = os.getpid()
        self._lock = threading.RLock()  # guards _watches and _closed, also from a signal handler on top of itself
        self._watches: list[WorkerPool] = []
        self._closed = False

    # --- producing ------------------------------------------------------------------------

    @overload
    def create(
        self,
        type: str,
        data: Any = None,
        *,
        id: str | None = None,
        priority: int = 0,
        run_at: datetime | None = None,
        delay: float | None = None,
        max_attempts: int | None = None,
        on_duplicate: str = KEEP,
        session: Session | None = None,
    ) -> Job: ...

    @overload
    def create(self, type: _JobLike, /, *, on_duplicate: str = KEEP, session: Session | None = None) -> Job: ...

    @overload
    def create(
        self,
        type: _JobLike,
        data: _JobLike,
        /,
        *more: _JobLike,
        on_duplicate: str = KEEP,
        session: Session | None = None,
    ) -> list[Job]: ...

    def create(
        self,
        type: str | _JobLike,
        data: Any = None,
        *more: _JobLike,
        on_duplicate: str = KEEP,
        session: Session | None = None,
        **fields: Any,
    ) -> Job | list[Job]:
        """Create a job, at most once per id, and return it as it is stored.

        A job whose id exists is not an error: the answer is the stored job,
        with ``created`` False and the state it is in. Several jobs can be
        given as mappings with the same names: ``create({"type": ..., "data":
        ...}, {...})`` returns a list.

        Args:
            type: Picks the executor; 1 to 128 characters.
            data: What it is called with; see `jobpool.data` for what it may hold.
            id: A key of your own for work that the data does not identify; the
                hash of type and data if None, so that equal work is done once.
            priority: Higher runs first.
            run_at: Not before this aware datetime.
            delay: Not before this many seconds from now.
            max_attempts: How often it may be started; the executor's number if None.
            on_duplicate: ``"keep"`` leaves a stored job alone, ``"revive"`` makes
                it pending again if it failed or was cancelled, ``"raise"`` raises.
            session: Create it in the transaction of this pymongo session: it
                exists when that commits. Errors of MongoDB are then pymongo's
                own, for `with_transaction` to retry. The commit has the
                transaction's write concern.

        Raises:
            InvalidJob: Something in it cannot be accepted. Nothing was written.
            DuplicateJob: With ``on_duplicate="raise"``.
            StoreUnavailable: It may or may not be stored. Calling again with
                the same arguments is safe and creates it at most once.
            UnsupportedServer: A `session` on a standalone server.
        """
        _check_on_duplicate(on_duplicate)
        if isinstance(type, str):
            if more:
                raise InvalidJob("create takes a type and its data, or any number of mappings")
            return self._create(self._request(type=type, data=data, **fields), on_duplicate, session)
        if fields:
            raise InvalidJob(f"with mappings, put {', '.join(sorted(fields))} into them")
        jobs = [type] if data is None and not more else [type, data, *more]
        requests = [request_of(job, self.data_limit) for job in jobs]  # all checked before one is stored
        created = [self._create(request, on_duplicate, session) for request in requests]
        return created[0] if len(jobs) == 1 else created

    def _request(self, **fields: Any) -> JobRequest:
        try:
            return JobRequest(**fields, limit=self.data_limit)
        except TypeError:
            known = JobRequest.__dataclass_fields__
            unknown = ", ".join(sorted(set(fields) - set(known)))
            raise InvalidJob(f"create has no argument {unknown}") from None

    def _create(self, request: JobRequest, on_duplicate: str, session: Session | None) -> Job:
        with self.tracing.create(request.type, request.job_id) as span:
            self._ready_for(session)
            try:
                document = document_of(request, self._now(), span.context)
                job, result = self.store.creation.create(document, on_duplicate, session)
            except Exception:
                self.observer.jobs_created(request.type, "error", 1)
                raise
            span.created(result)
        self.observer.jobs_created(request.type, result, 1)
        if session is None and result != "duplicate" and job.run_at <= job.created_at:
            self.wakeups.created({request.type})
        return job

    def create_many(
        self,
        jobs: Iterable[_JobLike],
        *,
        on_duplicate: str = KEEP,
        session: Session | None = None,
        batch_size: int = CREATE_BATCH,
    ) -> Created:
        """Create any number of jobs, given as mappings, a batch per round trip.

        A list or tuple is checked whole before anything is written. Another
        iterable is read batch by batch, so it may be endless or generated.
        The jobs of a batch are created at one instant: among themselves they
        run in no particular order, unless their priorities say so.

        Raises:
            InvalidJob: A job cannot be accepted; the message has its place and
                how many jobs before it are stored.
            StoreUnavailable: Unknown for one batch; those before it are
                stored, those behind it are not. Calling again is safe.
        """
        _check_on_duplicate(on_duplicate)
        check_int(batch_size, "batch_size", 1, 100_000)
        if isinstance(jobs, Mapping | str):
            raise InvalidJob("create_many takes several jobs; use create for one")
        if not isinstance(jobs, Iterable):
            raise InvalidJob(f"create_many takes an iterable of mappings, not {type(jobs).__name__}")
        counts = {"inserted": 0, "duplicate": 0, "revived": 0}
        ids: list[str] = []
        with self.tracing.create_many() as span:
            self._ready_for(session)
            for batch in self._batches(jobs, batch_size, ids):
                self._create_batch(batch, on_duplicate, session, counts, span)
                ids += [request.job_id for request in batch]
        return Created(counts["inserted"], counts["duplicate"], counts["revived"], ids)

    def _batches(self, jobs: Iterable[_JobLike], size: int, stored: list[str]) -> Iterator[list[JobRequest]]:
        """Yield the checked requests; a list or tuple is checked to its end first."""
        requests = self._checked(jobs, stored)
        if isinstance(jobs, list | tuple):
            requests = iter(list(requests))
        while batch := list(islice(requests, size)):
            yield batch

    def _checked(self, jobs: Iterable[_JobLike], stored: list[str]) -> Iterator[JobRequest]:
        for place, job in enumerate(jobs):
            try:
                yield request_of(job, self.data_limit)
            except InvalidJob as error:
                raise InvalidJob(f"job {place}: {error} ({len(stored)} jobs before it are stored)") from error

    def _create_batch(
        self,
        batch: list[JobRequest],
        on_duplicate: str,
        session: Session | None,
        counts: dict[str, int],
        span: Producing,
    ) -> None:
        now = self._now()
        # Twins within a batch are one job; inside a transaction a second insert would end it.
        unique = {request.job_id: request for request in batch}
        requests = list(unique.values())
        documents = [document_of(request, now, span.context) for request in requests]
        try:
            answer = self.store.creation.create_many(documents, on_duplicate, session)
        except Exception:
            self._count_created(requests, "error")
            raise
        met = [request for index, request in enumerate(requests) if index in answer.duplicates]
        new = [request for index, request in enumerate(requests) if index not in answer.duplicates]
        counts["inserted"] += len(new)
        counts["duplicate"] += len(batch) - len(new)
        counts["revived"] += answer.revived
        span.sent({request.type for request in requests}, len(batch))
        self._count_created(new, "inserted")
        self._count_created(met, "duplicate")
        if session is None:
            self.wakeups.created({request.type for request in (requests if answer.revived else new)})

    def _count_created(self, requests: list[JobRequest], result: str) -> None:
        by_type: dict[str, int] = {}
        for request in requests:
            by_type[request.type] = by_type.get(request.type, 0) + 1
        for type, jobs in by_type.items():
            self.observer.jobs_created(type, result, jobs)

    def _now(self) -> datetime:
        """Return the server's time to the millisecond, as BSON keeps it."""
        now = self.store.clock.now()
        return now - timedelta(microseconds=now.microsecond % 1000)

    def _ready_for(self, session: Session | None) -> None:
        if not (session is None or isinstance(session, Session)):
            raise InvalidJob(f"session must be a pymongo ClientSession, not {session.__class__.__name__}")
        self.store.ready()
        if session is not None:
            self.store.require_replicated("creating jobs in a transaction")

    # --- consuming ------------------------------------------------------------------------

    def executor(
        self, type: str, *, max_attempts: int = 1, backoff: Backoff | None = None, timeout: float | None = None
    ) -> Callable[[_Fn], _Fn]:
        """Register the decorated function as the executor of `type`; see `Executor`."""

        def register(fn: _Fn) -> _Fn:
            rules = Executor(fn, max_attempts=max_attempts, backoff=backoff or Backoff(), timeout=timeout)
            self.executors.register(type, rules)
            return fn

        return register

    def run(self, *types: str) -> Job | None:
        """Run one due job in the calling thread and return it finished; None if none is due.

        What the executor raises fails the attempt and is in the answer; it is not raised here.

        Args:
            types: The types to look for; all that have an executor here if none are given.

        Raises:
            UnknownType: A type has no executor here. Nothing was claimed.
            LeaseLost: The job was taken back while it ran; its outcome was refused.
            StoreUnavailable: See `StoreUnavailable`; the job comes back by its lease.
        """
        chosen = self.executors.select(types)
        self.store.ready()
        id = self._direct.run_one(chosen)
        return None if id is None else self.get(id)

    def run_all(self, *types: str) -> int:
        """Run due jobs in the calling thread until none is due; return how many attempts ran."""
        chosen = self.executors.select(types)
        self.store.ready()
        ran = 0
        while self._direct.run_one(chosen) is not None:
            ran += 1
        return ran

    def start_watch(self, *types: str, **options: Unpack[PoolOptions]) -> WorkerPool:
        """Start a pool that runs jobs of `types` until `stop_watch`, and return it.

        Args:
            types: The types to run; all that have an executor here if none are given.
            options: See `jobpool.config.PoolConfig`.
        """
        pool = WorkerPool(self, types, **options)
        with self._lock:
            if self._closed:
                raise PoolStateError("the manager is closed")
            self._watches.append(pool)  # before its start, so that `close` does not miss it
        try:
            return pool.start()
        except BaseException:
            with self._lock:
                self._watches.remove(pool)
            raise

    def stop_watch(self, timeout: float | None = None) -> list[StopReport]:
        """Stop every pool that `start_watch` started; see `WorkerPool.stop`.

        Args:
            timeout: Seconds for all of them together; each pool's own if None.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        reports: list[StopReport] = []
        while True:
            with self._lock:
                pool = self._watches[0] if self._watches else None
            if pool is None:
                return reports
            reports.append(pool.stop(None if deadline is None else max(0.0, deadline - time.monotonic())))
            with self._lock:  # only now: a stop that raises can be called again
                if pool in self._watches:
                    self._watches.remove(pool)

    # --- looking --------------------------------------------------------------------------

    def get(self, id: str) -> Job:
        """Return a snapshot of one job, or raise `JobNotFound`."""
        id = check_name(id, "id", longest=MAX_ID)
        self.store.ready()
        return self.store.queries.get(id)

    def find(
        self,
        *,
        type: str | None = None,
        state: State | str | None = None,
        ids: Iterable[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        after: Job | None = None,
        oldest_first: bool = False,
    ) -> list[Job]:
        """Return jobs by the time they were created, newest first, a page at a time.

        The next page begins ``after`` the last job of this one. There is no
        index on the creation time (it would cost every claim): without `ids`
        the collection is read.

        Args:
            type, state, ids: Only these.
            since, until: Created at or after, and before, these aware datetimes.
            limit: Page size, 1 to 10,000.
            after: The last job of the page before.
            oldest_first: The other order.
        """
        check_int(limit, "limit", 1, 10_000)
        if not (after is None or isinstance(after, Job)):
            raise InvalidConfiguration(
                f"after must be the last Job of the page before, not {after.__class__.__name__}"
            )
        selection = Selection(type=type, state=state, ids=ids, since=since, until=until)
        self.store.ready()
        return self.store.queries.find(selection, limit=limit, after=after, oldest_first=oldest_first)

    def count(
        self,
        *,
        type: str | None = None,
        state: State | str | None = None,
        ids: Iterable[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        """Return how many jobs there are; see `find`."""
        selection = Selection(type=type, state=state, ids=ids, since=since, until=until)
        self.store.ready()
        return self.store.queries.count(selection)

    def backlog(self) -> Backlog:
        """Count the jobs that are not done with, by type, and the pools that live, of all processes and hosts.

        Takes some 0.6 s per million of pending and failed jobs; finished ones cost nothing. Nothing is
        created, not even an index: a collection that is not there has no jobs.

        Raises:
            StoreRefused: The collection lacks jobpool's indexes.
        """
        return self.store.census.backlog()

    def wait(self, id: str, timeout: float | None = None) -> Job:
        """Wait until a job is final and return it.

        Args:
            timeout: Seconds; None waits as long as it takes.

        Raises:
            WaitTimeout: It is not final yet; it goes on regardless.
            JobNotFound: It does not exist, or was removed meanwhile.
        """
        if timeout is not None:
            check_seconds(timeout, "timeout", 0, 10 * 365 * 86400)
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, never = 0.01, threading.Event()
        while not (job := self.get(id)).state.final:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise WaitTimeout(f"job {shown(id)} is {job.state} after {timeout:g} s; it goes on regardless")
            never.wait(pause if left is None else min(pause, left))
            pause = min(pause * 1.5, 1.0)
        return job

    # --- changing -------------------------------------------------------------------------

    def cancel(self, id: str) -> Job:
        """Cancel a job that is pending and return it; its state says whether it was."""
        id = check_name(id, "id", longest=MAX_ID)
        self.store.ready()
        return self.store.queries.cancel(id)

    def remove(self, id: str) -> bool:
        """Delete a job and return whether it was there. Its id may be created, and run, again.

        Raises:
            JobHeld: It is claimed or running.
        """
        id = check_name(id, "id", longest=MAX_ID)
        self.store.ready()
        return self.store.queries.remove(id)

    def remove_many(
        self,
        *,
        type: str | None = None,
        state: State | str | None = None,
        ids: Iterable[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        all: bool = False,
    ) -> int:
        """Delete the jobs meant that are neither claimed nor running; return how many.

        Args:
            all: Must be True to delete without any other argument.
        """
        selection = Selection(type=type, state=state, ids=ids, since=since, until=until)
        if not selection.filter() and not all:
            raise InvalidConfiguration(
                "remove_many without a selection deletes every job: say all=True if you mean it"
            )
        self.store.ready()
        return self.store.queries.remove_many(selection)

    # --- the rest -------------------------------------------------------------------------

    def ensure_indexes(self) -> list[str]:
        """Create what is missing of the indexes now; return the names of those created.

        The first operation does it anyway. On a large collection call it at
        deployment: MongoDB goes on working while it builds.
        """
        self.store.ready()
        return self.store.ensure_indexes()

    @property
    def store(self) -> Store:
        """The store; refused once the manager is closed."""
        if self._closed:
            raise PoolStateError("the manager is closed")
        return self._store

    def exposition(self, accept: str = "") -> tuple[str, bytes]:
        """Return the content type and the body of a scrape of this manager's metrics."""
        return self.metrics.exposition(accept)

    def close(self, timeout: float | None = None) -> None:
        """Stop the pools of `start_watch`, end what `run` started, close a client made here. May be repeated.

        In a forked child it does nothing: all of that belongs to the parent.
        """
        if os.getpid() != self._pid:
            return
        self.stop_watch(timeout)
        self._direct.close()
        with self._lock:
            first, self._closed = not self._closed, True
        if first and self._owned_client is not None:
            close_client(self._owned_client)

    def __enter__(self) -> JobManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<JobManager {self._store.name} types={len(list(self.executors))}>"


def _check_on_duplicate(value: object) -> None:
    if value not in ON_DUPLICATE:
        raise InvalidJob(f"on_duplicate must be one of {', '.join(ON_DUPLICATE)}, not {shown(value)}")
