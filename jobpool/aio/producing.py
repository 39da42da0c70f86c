"""Producing: jobs and schedules are created."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast, overload

from ..dependencies import FAIL, RUN
from ..job import Created, CreatedBatch, Job
from ..manager.batches import CREATE_BATCH
from ..manager.planning import AsyncSchedules, put
from ..manager.requests import JobLike
from ..manager.room import RAISE
from ..schedules import LAST, Schedule
from ..store.creation import KEEP
from .base import Base

if TYPE_CHECKING:
    from ..store.awaited import Session


class Producing(Base):
    """Creates jobs and schedules."""

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
