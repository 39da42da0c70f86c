"""Creating, for threads and for event loops: what is checked, in which order it is sent, and who hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import InvalidJob, QueueFull
from ..job import Created, CreatedBatch, Job, State
from ..middleware import creating
from ..names import check_int, shown
from ..request import JobRequest
from ..store.core import Core
from ..store.creation import ON_DUPLICATE
from ..store.documents import to_job
from ..store.driver import Session
from .batches import CREATE_BATCH, Batches, next_jobs
from .callbacks import callback_of
from .requests import JobLike, Producer, document_of, now_of, requested
from .room import RAISE, Entrance, OnFull

#: Of callbacks and of whoever says nothing.
AS_A_RULE = OnFull()


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
        document = document_of(request, await now_of(self._manager.store))
        return replace(to_job(document), state=State.CANCELLED, dropped=True)

    async def _store(self, request: JobRequest, on_duplicate: str, session: Session | None) -> Job:
        manager = self._manager
        with manager.tracing.create(request.type, request.job_id) as span:
            store = await self._ready_for(session)
            try:
                document = document_of(request, await now_of(store), span.context, manager.executors)
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
                while some := await next_jobs(source, batch_size):
                    await batches.create(batches.checked(some))
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


def _check_on_duplicate(value: object) -> None:
    if value not in ON_DUPLICATE:
        raise InvalidJob(f"on_duplicate must be one of {', '.join(ON_DUPLICATE)}, not {shown(value)}")
