"""Changing: jobs are retried, put off, cancelled and removed by others than their holders."""

from __future__ import annotations

from datetime import datetime
from typing import Unpack

from ..job import Job, Retried
from ..manager.asking import Selected
from ..manager.reviving import Reviver
from ..store.cancelling import Cancelled
from .base import Base


class Changing(Base):
    """Changes jobs."""

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

    async def purge(self, older_than: float, **selected: Unpack[Selected]) -> int:
        """Delete the final jobs meant that ended longer ago than so many seconds; see `JobManager.purge`."""
        return await self._asking.purge(older_than, **selected)

    async def remove(self, id: str) -> bool:
        """Delete a job and return whether it was there; see `JobManager.remove`."""
        return await self._asking.remove(id)

    async def remove_many(self, *, all: bool = False, **selected: Unpack[Selected]) -> int:
        """Delete the jobs meant that nobody holds or waits for; see `JobManager.remove_many`."""
        return await self._asking.remove_many(all=all, **selected)
