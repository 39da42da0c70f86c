"""Creating, for threads and for event loops: what is checked, in which batches it is sent, and who hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from ..dependencies import in_order, waited_for
from ..errors import InvalidJob, QueueFull
from ..executors import Executors
from ..job import Created, CreatedBatch, Job, State
from ..middleware import Chain, creating
from ..names import check_int, shown
from ..observer import Observer
from ..request import JobRequest, request_of
from ..store.core import Core
from ..store.creation import ON_DUPLICATE, BatchCreated
from ..store.documents import Document, new_document, to_job
from ..store.driver import Session
from ..tracing import Producing as ProducingSpan
from ..tracing import StoredContext, Tracing
from .callbacks import callback_of
from .room import RAISE, Entrance, OnFull, Room

#: Of callbacks and of whoever says nothing.
AS_A_RULE = OnFull()
JobLike = Mapping[str, Any]

#: Jobs of one `insert_many`: the driver splits at 100,000, and a lost reply leaves this many in doubt.
CREATE_BATCH = 1000


class Producer(Protocol):
    """A manager, as creating sees it."""

    @property
    def data_limit(self) -> int:
        """The most bytes the data may take."""

    @property
    def observer(self) -> Observer:
        """Who hears of it."""

    @property
    def tracing(self) -> Tracing:
        """Where spans go."""

    @property
    def middleware(self) -> Chain | None:
        """The hooks of the user; None if there are none."""

    @property
    def executors(self) -> Executors:
        """What checks the data of their types."""

    @property
    def room(self) -> Room:
        """The bounds of types whose pending jobs are bounded."""

    @property
    def store(self) -> Core:
        """The store; refused once the manager is closed."""

    def told(self, types: set[str]) -> None:
        """Hear that due jobs of these types were created here."""


def document_of(
    request: JobRequest, now: datetime, trace: StoredContext | None = None, executors: Executors | None = None
) -> Document:
    """Return what is stored for a request that is made at `now` (server time, to the millisecond).

    Args:
        executors: Those known here: whoever cancels the job need not know them.
    """
    return new_document(
        id=request.job_id,
        type=request.type,
        data=request.data,
        priority=request.priority,
        run_at=request.due_at(now),
        max_attempts=request.max_attempts,
        created_at=now,
        trace=trace,
        timeout=request.timeout,
        keep_cancelled=None if executors is None else executors.keeps_cancelled(request.type),
        after=request.after,
        on_failure=request.on_failure,
        keep_failed=_keeps_failed(request, executors) if request.after else None,
        key=_key_of(request, executors),
    )


def _key_of(request: JobRequest, executors: Executors | None) -> str | None:
    """Return whose the job is, as far as that is known here."""
    if request.key is not None or executors is None:
        return request.key
    return executors.key_of(request.type, request.data)


def _keeps_failed(request: JobRequest, executors: Executors | None) -> float | None:
    """Return for how many seconds it is kept if it fails before its start, as far as that is known here."""
    if executors is None or request.type not in executors:
        return None
    retention = executors[request.type].retention
    return None if retention is None else retention.failed


def requested(job: JobLike, manager: Producer) -> JobRequest:
    """Return the request that a mapping means, its data checked if their executor is known here."""
    return request_of(manager.executors.stored_job(job), manager.data_limit)


class Creating:
    """Creates jobs for a manager; `JobManager.create` and `create_many` say what may be concluded.

    Its operations are coroutines; see `store.driver.run`. A task that is
    cancelled meanwhile is a caller who got no answer: what it waited for may or
    may not have happened, and calling again is safe.

    Threads: any; no state of its own.
    """

    def __init__(self, manager: Producer) -> None:
        self._manager = manager

    async def create(
        self,
        type: str | JobLike,
        data: Any,
        more: Sequence[JobLike],
        fields: Mapping[str, Any],
        *,
        on_duplicate: str,
        session: Session | None,
        on_full: str = RAISE,
        full_timeout: float | None = None,
    ) -> Job | list[Job]:
        """Create what the arguments of `JobManager.create` mean."""
        _check_on_duplicate(on_duplicate)
        full = OnFull(on_full, full_timeout)
        if isinstance(type, str):
            if more:
                raise InvalidJob("create takes a type and its data, or any number of mappings")
            return await self._create(self._request(type, data, fields), on_duplicate, session, full)
        if fields:
            raise InvalidJob(f"with mappings, put {', '.join(sorted(fields))} into them")
        jobs = [type] if data is None and not more else [type, data, *more]
        requests = [requested(job, self._manager) for job in jobs]  # all checked before one is stored
        created = [await self._create(request, on_duplicate, session, full) for request in requests]
        return created[0] if len(jobs) == 1 else created

    def _request(self, type: str, data: Any, fields: Mapping[str, Any]) -> JobRequest:
        stored = self._manager.executors.stored(type, data)
        try:
            return JobRequest(type=type, data=stored, **fields, limit=self._manager.data_limit)
        except TypeError:
            known = JobRequest.__dataclass_fields__
            unknown = ", ".join(sorted(set(fields) - set(known)))
            raise InvalidJob(f"create has no argument {unknown}") from None

    async def _create(
        self, request: JobRequest, on_duplicate: str, session: Session | None, full: OnFull = AS_A_RULE
    ) -> Job:
        room = self._manager.room
        if not room.bounded or room.of(request) is None:
            return await self._store(request, on_duplicate, session)
        await self._ready_for(session)
        entrance, created = Entrance(self._manager, on_duplicate, full), list[Job]()

        async def create(_: list[JobRequest]) -> None:
            created.append(await self._store(request, on_duplicate, session))

        try:
            await entrance.through([request], create)
        except QueueFull:
            self._manager.observer.jobs_created(request.type, "full", 1)
            raise
        if created:
            return created[0]
        self._manager.observer.jobs_created(request.type, "dropped", 1)
        document = document_of(request, await _now(self._manager.store))
        return replace(to_job(document), state=State.CANCELLED, dropped=True)

    async def _store(self, request: JobRequest, on_duplicate: str, session: Session | None) -> Job:
        manager = self._manager
        with manager.tracing.create(request.type, request.job_id) as span:
            store = await self._ready_for(session)
            try:
                document = document_of(request, await _now(store), span.context, manager.executors)
                with creating(manager.middleware, [request]):
                    job, result = await store.creation.create(document, on_duplicate, session)
            except Exception:
                manager.observer.jobs_created(request.type, "error", 1)
                raise
            span.created(result)
        manager.observer.jobs_created(request.type, result, 1)
        due = job.state is not State.WAITING and job.run_at <= job.created_at
        if session is None and result != "duplicate" and due:
            manager.told({request.type})
        return job

    async def create_many(
        self,
        jobs: Iterable[JobLike] | AsyncIterable[JobLike],
        *,
        on_duplicate: str,
        session: Session | None,
        batch_size: int,
        on_full: str = RAISE,
        full_timeout: float | None = None,
    ) -> Created:
        """Create a batch per call of the driver; a list or tuple is checked whole before the first."""
        _check_on_duplicate(on_duplicate)
        full = OnFull(on_full, full_timeout)
        check_int(batch_size, "batch_size", 1, 100_000)
        if isinstance(jobs, Mapping | str):
            raise InvalidJob("create_many takes several jobs; use create for one")
        if not isinstance(jobs, self._manager.store.driver.iterables):
            raise InvalidJob(f"create_many takes an iterable of mappings, not {type(jobs).__name__}")
        with self._manager.tracing.create_many() as span:
            store = await self._ready_for(session)
            entrance = Entrance(self._manager, on_duplicate, full)
            batches = Batches(self._manager, store, span, entrance, on_duplicate=on_duplicate, session=session)
            if isinstance(jobs, list | tuple):
                await batches.create_all(tuple(jobs), batch_size)
            else:
                source = iter(jobs) if isinstance(jobs, Iterable) else aiter(jobs)
                while taken := await _taken(source, batch_size):
                    await batches.create(batches.checked(taken))
        return batches.outcome()

    async def create_batch(
        self,
        jobs: Iterable[JobLike] | AsyncIterable[JobLike],
        then: JobLike,
        *,
        on_failure: str,
        on_duplicate: str,
        session: Session | None,
    ) -> CreatedBatch:
        """Create jobs, and then the one that runs after them; all is checked before the first is stored."""
        if isinstance(jobs, Mapping | str) or not isinstance(jobs, self._manager.store.driver.iterables):
            raise InvalidJob(f"create_batch takes an iterable of mappings, not {type(jobs).__name__}")
        listed: list[JobLike] = list(jobs) if isinstance(jobs, Iterable) else [job async for job in jobs]
        ids: list[str] = []
        for start in range(0, len(listed), CREATE_BATCH):
            ids += [requested(job, self._manager).job_id for job in listed[start : start + CREATE_BATCH]]
            await self._manager.store.driver.pause(0)
        executors, limit = self._manager.executors, self._manager.data_limit
        callback = callback_of(then, ids, on_failure, executors, limit)
        created = await self.create_many(
            listed, on_duplicate=on_duplicate, session=session, batch_size=CREATE_BATCH
        )
        return CreatedBatch(created, await self._create(callback, on_duplicate, session))

    async def _ready_for(self, session: Session | None) -> Core:
        """Return the store, once it can take what comes."""
        store = self._manager.store
        if session is not None and not isinstance(session, store.driver.session_class):
            wanted = store.driver.session_class.__name__
            raise InvalidJob(f"session must be a pymongo {wanted}, not {session.__class__.__name__}")
        await store.contact.ready()
        if session is not None:
            await store.contact.require_replicated("creating jobs in a transaction")
        return store


class Batches:
    """One call that creates many: the batches so far. Threads: one; with an awaited driver, one task."""

    def __init__(
        self,
        manager: Producer,
        store: Core,
        span: ProducingSpan,
        entrance: Entrance,
        *,
        on_duplicate: str,
        session: Session | None,
    ) -> None:
        self._manager = manager
        self._store = store
        self._span = span
        self._entrance = entrance
        self._on_duplicate = on_duplicate
        self._session = session
        self._counts = {"inserted": 0, "duplicate": 0, "revived": 0}
        self._ids: list[str] = []

    def outcome(self) -> Created:
        """Return what came of all of them."""
        counts = self._counts
        return Created(
            counts["inserted"], counts["duplicate"], counts["revived"], self._ids, len(self._entrance.dropped)
        )

    async def create_all(self, jobs: Sequence[JobLike], size: int) -> None:
        """Check all of the jobs, then create them in batches of that size."""
        requests: list[JobRequest] = []
        for start in range(0, len(jobs), size):
            requests += self.checked(jobs[start : start + size], start)
            await self._store.driver.pause(0)  # a long list is not to hold up an event loop
        ordered = in_order(requests)
        after = waited_for(requests)
        if after and self._entrance.drops:
            raise InvalidJob("with on_full='drop' any job may be left out, so none can run after another one")
        if after:  # all of it before anything of it is stored
            await self._store.creation.check_after(after, [request.job_id for request in requests], self._session)
        for start in range(0, len(ordered), size):
            await self.create(ordered[start : start + size])
        self._ids = [request.job_id for request in requests]

    def checked(self, jobs: Iterable[JobLike], first: int | None = None) -> list[JobRequest]:
        """Return the requests that jobs mean.

        Args:
            first: The place of the first of them among all; behind those stored if None.
        """
        requests: list[JobRequest] = []
        try:
            for job in jobs:
                requests.append(requested(job, self._manager))
        except InvalidJob as error:
            stored = len(self._ids)
            place = (stored if first is None else first) + len(requests)
            raise InvalidJob(f"job {place}: {error} ({stored} jobs before it are stored)") from error
        return requests

    async def create(self, batch: list[JobRequest]) -> None:
        """Create a batch; of jobs for whose types there may be no room, as many at a time as there is room for."""
        batch = in_order(batch)
        if not self._manager.room.bounded:
            await self._create(batch)
            return
        stored, dropped = len(self._ids), len(self._entrance.dropped)
        try:
            await self._entrance.through(batch, self._create)
        except QueueFull as full:
            self._manager.observer.jobs_created(full.type, "full", 1)
            where = full.type, full.id, full.pending, full.limit, full.waited
            raise QueueFull(*where, stored=len(self._ids)) from None
        self._ids[stored:] = [request.job_id for request in batch]
        self._count(self._entrance.dropped[dropped:], "dropped")

    async def _create(self, batch: list[JobRequest]) -> None:
        """Create jobs, all of them at one instant."""
        now = await _now(self._store)
        # Twins within a batch are one job; inside a transaction a second insert would end it.
        requests = list({request.job_id: request for request in batch}.values())
        executors = self._manager.executors
        documents = [document_of(request, now, self._span.context, executors) for request in requests]
        try:
            with creating(self._manager.middleware, requests):
                answer = await self._store.creation.create_many(documents, self._on_duplicate, self._session)
        except Exception:
            self._count(requests, "error")
            raise
        self._created(batch, requests, answer)

    def _created(self, batch: list[JobRequest], requests: list[JobRequest], answer: BatchCreated) -> None:
        """Count what came of a batch, and say so."""
        met = [request for index, request in enumerate(requests) if index in answer.duplicates]
        new = [request for index, request in enumerate(requests) if index not in answer.duplicates]
        self._counts["inserted"] += len(new)
        self._counts["duplicate"] += len(batch) - len(new)
        self._counts["revived"] += answer.revived
        self._ids += [request.job_id for request in batch]
        self._span.sent({request.type for request in requests}, len(batch))
        self._count(new, "inserted")
        self._count(met, "duplicate")
        if self._session is None:
            self._manager.told({request.type for request in (requests if answer.revived else new)})

    def _count(self, requests: list[JobRequest], result: str) -> None:
        by_type: dict[str, int] = {}
        for request in requests:
            by_type[request.type] = by_type.get(request.type, 0) + 1
        for type, jobs in by_type.items():
            self._manager.observer.jobs_created(type, result, jobs)


async def _taken(source: Iterator[JobLike] | AsyncIterator[JobLike], most: int) -> list[JobLike]:
    """Return the jobs that come next, up to so many; none at the end."""
    if isinstance(source, Iterator):
        return list(islice(source, most))
    taken: list[JobLike] = []
    async for job in source:
        taken.append(job)
        if len(taken) == most:
            break
    return taken


async def _now(store: Core) -> datetime:
    """Return the server's time to the millisecond, as BSON keeps it."""
    now = await store.now()
    return now - timedelta(microseconds=now.microsecond % 1000)


def _check_on_duplicate(value: object) -> None:
    if value not in ON_DUPLICATE:
        raise InvalidJob(f"on_duplicate must be one of {', '.join(ON_DUPLICATE)}, not {shown(value)}")
