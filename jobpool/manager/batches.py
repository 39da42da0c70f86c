"""Many jobs in one call: checked, put in order, and sent a batch at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice

from ..dependencies import in_order, waited_for
from ..errors import InvalidJob, QueueFull
from ..job import Created
from ..middleware import creating
from ..request import JobRequest
from ..store.core import Core
from ..store.creation import BatchCreated
from ..store.driver import Session
from ..tracing import Producing
from .requests import JobLike, Producer, document_of, now_of, requested
from .room import Entrance

#: Jobs of one `insert_many`: the driver splits at 100,000, and a lost reply leaves this many in doubt.
CREATE_BATCH = 1000


class Batches:
    """One call that creates many: the batches so far. Threads: one; with an awaited driver, one task."""

    def __init__(
        self,
        manager: Producer,
        store: Core,
        span: Producing,
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
        now = await now_of(self._store)
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


async def next_jobs(source: Iterator[JobLike] | AsyncIterator[JobLike], most: int) -> list[JobLike]:
    """Return the jobs that come next, up to so many; none at the end."""
    if isinstance(source, Iterator):
        return list(islice(source, most))
    taken: list[JobLike] = []
    async for job in source:
        taken.append(job)
        if len(taken) == most:
            break
    return taken
