"""Overseeing: what all of it looks like together, for those who operate it; nothing is created or changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from ..backlog import Backlog
from ..names import check_instant, check_int
from ..overview import Activity, FailedJob, Held, RunningJob, Stats, TypeOverview, types_of
from ..store.driver import run
from .asking import Reader
from .base import Base

#: Jobs that are shown at most.
MOST = 1000


def nobody(jobs: int) -> None:
    """Hear nothing."""


class Overseer:
    """The operations, as coroutines; the methods of `Overseeing` say what they answer.

    Threads: any; no state of its own.
    """

    def __init__(self, manager: Reader) -> None:
        self._manager = manager

    async def stats(self, *, finished: bool, told: Callable[[int], object] = nobody) -> Stats:
        """Count everything once."""
        store = self._manager.store
        backlog = await self._backlog()
        return Stats(
            at=backlog.at,
            seconds=backlog.seconds,
            types=backlog.types,
            total=backlog.total,
            pools_alive=backlog.pools_alive,
            threads_alive=sum(pool.threads for pool in backlog.pools),
            suggested_pools=backlog.suggested_pools(),
            paused=await store.overseeing.paused(),
            documents=await store.overseeing.documents(),
            finished=await store.sizes.finished(told) if finished else None,
            size=await store.sizes.size(),
        )

    async def types(self) -> tuple[TypeOverview, ...]:
        """Return the types there are."""
        backlog = await self._backlog()
        return types_of(backlog, backlog.pools, await self._manager.store.overseeing.paused())

    async def held(self) -> tuple[Held, ...]:
        """Count what pools hold."""
        return await self._manager.store.overseeing.held()

    async def running(self, limit: int) -> list[RunningJob]:
        """Return the jobs that have run longest."""
        return list(await self._manager.store.overseeing.running(check_int(limit, "limit", 1, MOST)))

    async def recent_failures(self, limit: int) -> list[FailedJob]:
        """Return the jobs that failed last."""
        return list(await self._manager.store.overseeing.failures(check_int(limit, "limit", 1, MOST)))

    async def activity(self, *, limit: int, since: datetime | None) -> Activity:
        """Look at what goes on."""
        check_int(limit, "limit", 1, MOST)
        since = None if since is None else check_instant(since, "since")
        return await self._manager.store.overseeing.activity(limit=limit, since=since)

    async def _backlog(self) -> Backlog:
        return await self._manager.store.census.backlog(owner=self._manager.executors.owner)


class Overseeing(Base):
    """Looks at all of it."""

    def stats(self, *, finished: bool = False, told: Callable[[int], object] = nobody) -> Stats:
        """Count the jobs that are not done with, by type, the pools, and what the collection takes.

        As long as `backlog` takes: some 0.6 s per million of pending and failed jobs.

        Args:
            finished: Count those that succeeded, failed and were cancelled as well. No index has them:
                every job is read, some 3 million a second; 250,000 where there are more than two
                million, in rounds none of which takes long.
            told: Hears, while they are counted, how many more jobs were read.

        Raises:
            StoreUnavailable: Nothing is known.
            StoreRefused: The collection lacks jobpool's indexes.
        """
        return run(Overseer(self).stats(finished=finished, told=told))

    def types(self) -> tuple[TypeOverview, ...]:
        """Return the types that have jobs that are not done with, or a pool alive, or a pause; by name.

        As long as `backlog` takes.

        Raises:
            StoreUnavailable: Nothing is known.
        """
        return run(Overseer(self).types())

    def held(self) -> tuple[Held, ...]:
        """Count what pools hold, by pool and type; also what was held by those that died until it is taken back.

        It reads the jobs held, and no others.

        Raises:
            StoreUnavailable: Nothing is known.
        """
        return run(Overseer(self).held())

    def running(self, *, limit: int = 20) -> list[RunningJob]:
        """Return the jobs that run, those that began first in front, without their data.

        It reads the jobs that pools hold, and no others.

        Args:
            limit: 1 to 1,000.

        Raises:
            StoreUnavailable: Nothing is known.
        """
        return run(Overseer(self).running(limit))

    def recent_failures(self, *, limit: int = 20) -> list[FailedJob]:
        """Return the jobs that failed for good and are kept, the newest first, without their data.

        It reads one key of an index for each type that has failed jobs, and at most `limit` jobs of as many types.

        Args:
            limit: 1 to 1,000.

        Raises:
            StoreUnavailable: Nothing is known.
        """
        return run(Overseer(self).recent_failures(limit))

    def activity(self, *, limit: int = 20, since: datetime | None = None) -> Activity:
        """Look at what goes on, cheaply enough for once a second: some eight reads, whatever the backlog.

        They take the server some 7 ms, most of it for its statistics of the collection (`Activity.removed`).

        Args:
            limit: The most jobs that run, and that failed, to return; 1 to 1,000.
            since: Count the jobs as well that failed since this aware datetime.

        Raises:
            StoreUnavailable: Nothing is known.
        """
        return run(Overseer(self).activity(limit=limit, since=since))
