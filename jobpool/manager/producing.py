"""Producing: jobs are created, one or many, at most once per id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, overload

from ..errors import InvalidJob
from ..job import Created, Job
from ..middleware import creating
from ..names import check_int, shown
from ..request import JobRequest, request_of
from ..store import Session
from ..store.creation import KEEP, ON_DUPLICATE
from ..store.documents import Document, new_document
from ..tracing import Producing as ProducingSpan
from ..tracing import StoredContext
from ..waitable import remember
from .base import Base

#: Jobs of one `insert_many`: the driver splits at 100,000, and a lost reply leaves this many in doubt.
CREATE_BATCH = 1000

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


class Producing(Base):
    """Creates jobs."""

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
            return self._create(
                self._request(type=type, data=self.executors.stored(type, data), **fields), on_duplicate, session
            )
        if fields:
            raise InvalidJob(f"with mappings, put {', '.join(sorted(fields))} into them")
        jobs = [type] if data is None and not more else [type, data, *more]
        requests = [
            request_of(self.executors.stored_job(job), self.data_limit) for job in jobs
        ]  # all checked before one is stored
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
                with creating(self.middleware, [request]):
                    job, result = self.store.creation.create(document, on_duplicate, session)
            except Exception:
                self.observer.jobs_created(request.type, "error", 1)
                raise
            span.created(result)
        self.observer.jobs_created(request.type, result, 1)
        if session is None and result != "duplicate" and job.run_at <= job.created_at:
            self.wakeups.created({request.type})
        return remember(job, self)

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
                yield request_of(self.executors.stored_job(job), self.data_limit)
            except InvalidJob as error:
                raise InvalidJob(f"job {place}: {error} ({len(stored)} jobs before it are stored)") from error

    def _create_batch(
        self,
        batch: list[JobRequest],
        on_duplicate: str,
        session: Session | None,
        counts: dict[str, int],
        span: ProducingSpan,
    ) -> None:
        now = self._now()
        # Twins within a batch are one job; inside a transaction a second insert would end it.
        unique = {request.job_id: request for request in batch}
        requests = list(unique.values())
        documents = [document_of(request, now, span.context) for request in requests]
        try:
            with creating(self.middleware, requests):
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

    def _ready_for(self, session: Session | None) -> None:
        if not (session is None or isinstance(session, Session)):
            raise InvalidJob(f"session must be a pymongo ClientSession, not {session.__class__.__name__}")
        self.store.ready()
        if session is not None:
            self.store.require_replicated("creating jobs in a transaction")


def _check_on_duplicate(value: object) -> None:
    if value not in ON_DUPLICATE:
        raise InvalidJob(f"on_duplicate must be one of {', '.join(ON_DUPLICATE)}, not {shown(value)}")
