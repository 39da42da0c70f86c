"""Overseeing: all of it at one look."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from ..backlog import AlivePool, Backlog
from ..checkup import Checkup
from ..manager.overseeing import Overseer, nobody
from ..overview import Activity, FailedJob, Held, RunningJob, Stats, TypeOverview
from .base import Base


class Overseeing(Base):
    """Looks at all of it."""

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
