"""AsyncJobManager: producer and reader for services that run in an event loop."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack, cast, overload

from .backlog import AlivePool, Backlog
from .checkup import Checkup
from .dependencies import FAIL, RUN
from .error_groups import ErrorGroup
from .job import Brief, Created, CreatedBatch, Job, Retried
from .manager.asking import Selected
from .manager.common import MIB, Common
from .manager.creating import CREATE_BATCH, JobLike
from .manager.inspecting import Inspector
from .manager.overseeing import Overseer, nobody
from .manager.reviving import Reviver
from .manager.room import RAISE
from .manager.scheduling import AsyncSchedules, put
from .metrics import Buckets, Registry
from .middleware import Middleware
from .names import check_seconds
from .overview import Activity, FailedJob, Held, RunningJob, Stats, TypeOverview
from .pauses import Paused
from .relations import Relations
from .schedules import LAST, Schedule
from .store.cancelling import Cancelled
from .store.connection import closing
from .store.core import Core
from .store.creation import KEEP
from .store.pages import SIZE
from .why import Why

if TYPE_CHECKING:
    from .store.awaited import AsyncClient, Database, Session


class AsyncJobManager(Common[Core]):
    """Creates jobs and looks at them, from an event loop; on PyMongo's `AsyncMongoClient`.

    It runs no jobs: that is for a `JobManager`, here or in any other process.
    Names, arguments, answers and errors are those of `JobManager`, and so are
    ids and documents: equal work is one job, whoever creates it.

    A task that is cancelled in a call is a caller who got no answer: what it
    asked for may or may not have happened. Calling again with the same
    arguments is safe, as after `StoreUnavailable`.

    Args:
        database: The name of a database, or a pymongo `AsyncDatabase`.
        uri, collection, write_concern, timeout, data_limit: See `JobManager`.
        client: A pymongo `AsyncMongoClient` to use. It is not closed.
        registry, buckets, tracer_provider, middleware, max_pending: See `JobManager`. A
            manager of each kind may have the same registry.

    Raises:
        InvalidConfiguration: An argument cannot be used, or PyMongo is older than 4.11.

    Nothing is sent before the first operation, which also sees to the
    indexes. Usable as an asynchronous context manager.

    Threads: one, that of the event loop in which it is first used; any number
    of its tasks. Not usable in a forked child.
    """

    def __init__(
        self,
        database: str | Database,
        *,
        uri: str | None = None,
        client: AsyncClient | None = None,
        collection: str = "jobs",
        write_concern: str | int = "majority",
        timeout: float = 10.0,
        data_limit: int = MIB,
        registry: Registry | None = None,
        buckets: Buckets | None = None,
        tracer_provider: Any = None,
        middleware: Iterable[Middleware] = (),
        max_pending: Mapping[str, int] | None = None,
    ) -> None:
        from .store.awaited import AWAITED  # says so if the driver is too old

        super().__init__(
            cast("Any", database),
            AWAITED,
            partial(Core, driver=AWAITED),
            uri=uri,
            client=cast("Any", client),
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

    @overload
    async def create(
        self,
        type: str,
        data: Any = None,
        *,
        id: str | None = None,
        priority: int = 0,
        run_at: datetime | None = None,
        delay: float | None = None,
        max_attempts: int | None = None,
        timeout: float | None = None,
        key: str | None = None,
        after: Iterable[str] | None = None,
        on_failure: str = FAIL,
        on_duplicate: str = KEEP,
        on_full: str = RAISE,
        full_timeout: float | None = None,
        session: Session | None = None,
    ) -> Job: ...

    @overload
    async def create(
        self,
        type: JobLike,
        /,
        *,
        on_duplicate: str = KEEP,
        on_full: str = RAISE,
        full_timeout: float | None = None,
        session: Session | None = None,
    ) -> Job: ...

    @overload
    async def create(
        self,
        type: JobLike,
        data: JobLike,
        /,
        *more: JobLike,
        on_duplicate: str = KEEP,
        on_full: str = RAISE,
        full_timeout: float | None = None,
        session: Session | None = None,
    ) -> list[Job]: ...

    async def create(
        self,
        type: str | JobLike,
        data: Any = None,
        *more: JobLike,
        on_duplicate: str = KEEP,
        on_full: str = RAISE,
        full_timeout: float | None = None,
        session: Session | None = None,
        **fields: Any,
    ) -> Job | list[Job]:
        """Create a job, at most once per id, and return it as it is stored; see `JobManager.create`.

        Args:
            session: An `AsyncClientSession`: create it in its transaction.
        """
        theirs = cast("Any", session)
        return await self._creating.create(
            type,
            data,
            more,
            fields,
            on_duplicate=on_duplicate,
            session=theirs,
            on_full=on_full,
            full_timeout=full_timeout,
        )

    async def create_many(
        self,
        jobs: Iterable[JobLike] | AsyncIterable[JobLike],
        *,
        on_duplicate: str = KEEP,
        on_full: str = RAISE,
        full_timeout: float | None = None,
        session: Session | None = None,
        batch_size: int = CREATE_BATCH,
    ) -> Created:
        """Create any number of jobs, a batch per round trip; see `JobManager.create_many`.

        Checking and sending a batch takes some 10 ms of the event loop per 1,000
        small jobs. A smaller ``batch_size`` lets others in more often.

        Args:
            jobs: Mappings, from an iterable or an asynchronous iterable. Leave
                a list and what is in it alone until this returns.
        """
        theirs = cast("Any", session)
        return await self._creating.create_many(
            jobs,
            on_duplicate=on_duplicate,
            session=theirs,
            batch_size=batch_size,
            on_full=on_full,
            full_timeout=full_timeout,
        )

    async def schedule(
        self,
        name: str,
        when: str | float | timedelta,
        type: str,
        data: Any = None,
        *,
        tz: str | None = None,
        start_at: datetime | None = None,
        catch_up: str = LAST,
        overlap: str | None = None,
        jitter: float = 0.0,
        priority: int = 0,
        max_attempts: int | None = None,
        timeout: float | None = None,
        key: str | None = None,
    ) -> Schedule:
        """Let the pools make a job again and again; see `JobManager.schedule`. It fires nothing itself."""
        return await put(
            self,
            name,
            when,
            type,
            data,
            tz=tz,
            start_at=start_at,
            catch_up=catch_up,
            overlap=overlap,
            jitter=jitter,
            priority=priority,
            max_attempts=max_attempts,
            timeout=timeout,
            key=key,
        )

    @property
    def schedules(self) -> AsyncSchedules:
        """The schedules that are stored; as `JobManager.schedules`, whose methods are coroutines here."""
        return AsyncSchedules(self)

    async def create_batch(
        self,
        jobs: Iterable[JobLike] | AsyncIterable[JobLike],
        *,
        then: JobLike,
        on_failure: str = RUN,
        on_duplicate: str = KEEP,
        session: Session | None = None,
    ) -> CreatedBatch:
        """Create jobs, and one that runs when all of them are done; see `JobManager.create_batch`."""
        theirs = cast("Any", session)
        return await self._creating.create_batch(
            jobs, then, on_failure=on_failure, on_duplicate=on_duplicate, session=theirs
        )

    async def get(self, id: str) -> Job:
        """Return a snapshot of one job, or raise `JobNotFound`."""
        return await self._asking.get(id)

    async def find(
        self,
        *,
        limit: int = 100,
        after: Job | None = None,
        oldest_first: bool = False,
        **selected: Unpack[Selected],
    ) -> list[Job]:
        """Return jobs by the time they were created, newest first, a page at a time; see `JobManager.find`."""
        return await self._asking.find(limit=limit, after=after, oldest_first=oldest_first, **selected)

    async def count(self, **selected: Unpack[Selected]) -> int:
        """Return how many jobs there are; see `find`."""
        return await self._asking.count(**selected)

    async def backlog(self) -> Backlog:
        """Count the jobs that are not done with, and the pools that live; see `JobManager.backlog`."""
        return await self._asking.backlog()

    async def pools(self, *, dead: bool = False) -> tuple[AlivePool, ...]:
        """Return the pools that said lately that they live, of all processes; see `JobManager.pools`."""
        return await self._asking.pools(dead=dead)

    async def check(
        self, *, only: Collection[str] = (), skip: Collection[str] = (), timeout: float | None = None
    ) -> Checkup:
        """Look for all that may be wrong with a deployment; see `JobManager.check`."""
        if timeout is not None:
            check_seconds(timeout, "timeout", 0.1, 3600)
        return await self.store.examining.examine(self.executors, only=only, skip=skip, timeout=timeout)

    async def stats(self, *, finished: bool = False, told: Callable[[int], object] = nobody) -> Stats:
        """Count the jobs, the pools, and what the collection takes; see `JobManager.stats`."""
        return await Overseer(self).stats(finished=finished, told=told)

    async def types(self) -> tuple[TypeOverview, ...]:
        """Return the types that have jobs not done with, or a pool alive, or a pause; see `JobManager.types`."""
        return await Overseer(self).types()

    async def held(self) -> tuple[Held, ...]:
        """Count what pools hold, by pool and type; see `JobManager.held`."""
        return await Overseer(self).held()

    async def running(self, *, limit: int = 20) -> list[RunningJob]:
        """Return the jobs that have run longest; see `JobManager.running`."""
        return await Overseer(self).running(limit)

    async def recent_failures(self, *, limit: int = 20) -> list[FailedJob]:
        """Return the jobs that failed last; see `JobManager.recent_failures`."""
        return await Overseer(self).recent_failures(limit)

    async def activity(self, *, limit: int = 20, since: datetime | None = None) -> Activity:
        """Look at what goes on, cheaply; see `JobManager.activity`."""
        return await Overseer(self).activity(limit=limit, since=since)

    async def why(self, id: str) -> Why:
        """Return why a job does not run, or what it does instead; see `JobManager.why`."""
        return await self._asking.why(id)

    async def wait(self, id: str, timeout: float | None = None) -> Job:
        """Wait until a job is final and return it; see `JobManager.wait`.

        It looks again and again, at first after 10 ms, later once a second.
        """
        return await self._asking.wait(id, timeout)

    async def cancel(self, id: str, *, cascade: bool = False) -> Job:
        """Cancel a job and return it as it is then; see `JobManager.cancel`."""
        return await self._asking.cancel(id, cascade=cascade)

    async def cancel_many(
        self,
        *,
        all: bool = False,
        cascade: bool = False,
        **selected: Unpack[Selected],
    ) -> Cancelled:
        """Cancel the jobs meant; see `JobManager.cancel_many`."""
        return await self._asking.cancel_many(all=all, cascade=cascade, **selected)

    async def retry(self, id: str) -> Job:
        """Have a failed job run again now, or one that waits for its next attempt; see `JobManager.retry`."""
        return await Reviver(self).retry(id)

    async def retry_many(self, *, all: bool = False, **selected: Unpack[Selected]) -> Retried:
        """Retry the jobs meant; see `JobManager.retry_many`."""
        return await Reviver(self).retry_many(all=all, **selected)

    async def revive(self, id: str, *, succeeded: bool = False) -> Job:
        """Have a job that ended begin its life again; see `JobManager.revive`."""
        return await Reviver(self).revive(id, succeeded=succeeded)

    async def revive_many(self, *, all: bool = False, **selected: Unpack[Selected]) -> int:
        """Revive the jobs meant; see `JobManager.revive_many`."""
        return await Reviver(self).revive_many(all=all, **selected)

    async def snooze(self, id: str, *, delay: float | None = None, run_at: datetime | None = None) -> Job:
        """Have a pending job not run before some time; see `JobManager.snooze`."""
        return await Reviver(self).snooze(id, delay, run_at)

    async def snooze_many(
        self,
        *,
        delay: float | None = None,
        run_at: datetime | None = None,
        all: bool = False,
        **selected: Unpack[Selected],
    ) -> int:
        """Snooze the jobs meant; see `JobManager.snooze_many`."""
        return await Reviver(self).snooze_many(delay, run_at, all=all, **selected)

    async def errors(
        self,
        *,
        type: str | Iterable[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
    ) -> list[ErrorGroup]:
        """Return what failed jobs failed of, in groups, the largest first; see `JobManager.errors`."""
        return await Reviver(self).errors(type=type, since=since, until=until, limit=limit)

    def pages(
        self,
        *,
        size: int = SIZE,
        to: str | None = None,
        run_at: datetime | None = None,
        older_than: float | None = None,
        after: str = "",
        **selected: Unpack[Selected],
    ) -> AsyncIterator[list[Brief]]:
        """Return an asynchronous iterator over the jobs meant, a page at a time; see `JobManager.pages`."""
        return Reviver(self).pages(size, to, run_at, older_than, after, selected)

    async def pause(self, *types: str, reason: str | None = None) -> Paused:
        """Have no job started any more of `types`, of any type if none are given; see `JobManager.pause`."""
        return await self._asking.pause(types, reason)

    async def resume(self, *types: str) -> Paused:
        """End the pauses of `types`, all if none are given; see `JobManager.resume`."""
        return await self._asking.resume(types)

    async def paused(self) -> Paused:
        """Return what is paused, since when and why; see `JobManager.paused`."""
        return await self._asking.paused()

    async def purge(self, older_than: float, **selected: Unpack[Selected]) -> int:
        """Delete the final jobs meant that ended longer ago than so many seconds; see `JobManager.purge`."""
        return await self._asking.purge(older_than, **selected)

    async def remove(self, id: str) -> bool:
        """Delete a job and return whether it was there; see `JobManager.remove`."""
        return await self._asking.remove(id)

    async def remove_many(self, *, all: bool = False, **selected: Unpack[Selected]) -> int:
        """Delete the jobs meant that nobody holds or waits for; see `JobManager.remove_many`."""
        return await self._asking.remove_many(all=all, **selected)

    def each(self, *, oldest_first: bool = False, **selected: Unpack[Selected]) -> AsyncIterator[Job]:
        """Return an asynchronous iterator over all jobs meant; see `JobManager.each`."""
        return Inspector(self).each(oldest_first=oldest_first, selected=selected)

    async def ids_beginning(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Return the first ids that begin with `prefix`; see `JobManager.ids_beginning`."""
        return await Inspector(self).ids_beginning(prefix, limit)

    async def relations(self, id: str) -> tuple[Job, Relations]:
        """Return a job, and what it has to do with; see `JobManager.relations`."""
        return await Inspector(self).relations(id)

    async def ensure_indexes(self, *, limits: bool | None = None) -> list[str]:
        """Create what is missing of the indexes now; see `JobManager.ensure_indexes`."""
        return await self._asking.ensure_indexes(limits)

    async def close(self) -> None:
        """Close a client made here. May be repeated, also after a call that was cancelled.

        In a forked child it does nothing: the client belongs to the parent.
        """
        if os.getpid() != self._pid:
            return
        self._closed = True
        if self._owned_client is not None:
            await closing(self._owned_client, self._store.driver)
            self._owned_client = None

    async def __aenter__(self) -> AsyncJobManager:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncJobManager {self._store.name}>"
