"""Reviving: jobs that ended run again, those that are pending run sooner or later."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Unpack

from ..backoff import MAX_DELAY
from ..errors import InvalidConfiguration
from ..job import Job, Retried, State
from ..names import MAX_ID, check_instant, check_name, check_seconds
from ..store.core import Core
from ..store.driver import run
from ..store.queries import Selection
from ..waitable import remember
from .asking import Reader, Selected, meant, names_succeeded, ready_store
from .looking import Looking


class Reviver:
    """The operations, as coroutines; the methods of `Reviving` say what they answer.

    Threads: any; no state of its own.
    """

    def __init__(self, manager: Reader) -> None:
        self._manager = manager

    async def retry(self, id: str) -> Job:
        """Have a job run again now."""
        id = check_name(id, "id", longest=MAX_ID)
        return await (await ready_store(self._manager)).again.retry(id)

    async def retry_many(self, *, all: bool, **selected: Unpack[Selected]) -> Retried:
        """Have the jobs meant run again now."""
        selection = meant("retry_many", "retries", all, Selection(**selected))
        return await (await ready_store(self._manager)).again.retry_many(selection)

    async def revive(self, id: str, *, succeeded: bool) -> Job:
        """Have a job begin its life again."""
        id = check_name(id, "id", longest=MAX_ID)
        return await (await ready_store(self._manager)).again.revive(id, succeeded=succeeded)

    async def revive_many(self, *, all: bool, **selected: Unpack[Selected]) -> int:
        """Have the jobs meant begin their lives again."""
        selection = meant("revive_many", "revives", all, Selection(**selected))
        store = await ready_store(self._manager)
        return await store.again.revive_many(selection, succeeded=names_succeeded(selection))

    async def snooze(self, id: str, delay: float | None, run_at: datetime | None) -> Job:
        """Have a job not run before that."""
        id = check_name(id, "id", longest=MAX_ID)
        store = await ready_store(self._manager)
        return await store.again.snooze(id, await self._instant(store, delay, run_at))

    async def snooze_many(
        self, delay: float | None, run_at: datetime | None, *, all: bool, **selected: Unpack[Selected]
    ) -> int:
        """Have the jobs meant not run before that."""
        selection = meant("snooze_many", "snoozes", all, Selection(**selected))
        store = await ready_store(self._manager)
        return await store.again.snooze_many(selection, await self._instant(store, delay, run_at))

    async def _instant(self, store: Core, delay: float | None, run_at: datetime | None) -> datetime:
        """Return the instant that is meant."""
        if (delay is None) == (run_at is None):
            raise InvalidConfiguration("give either delay, in seconds, or run_at, an aware datetime")
        now = await store.now()
        if delay is not None:
            return now + timedelta(seconds=check_seconds(delay, "delay", 0, MAX_DELAY))
        found = check_instant(run_at, "run_at")
        if found > now + timedelta(seconds=MAX_DELAY):
            raise InvalidConfiguration(f"run_at must be within ten years from now, not {found}")
        return found


class Reviving(Looking):
    """Has jobs run again, sooner or later."""

    def retry(self, id: str) -> Job:
        """Have a failed job run again now, or one that waits for its next attempt; return it as it is then.

        What it has is kept: its attempts, errors, progress and checkpoint. If its attempts
        are spent, it gets one more. One that failed because a job did that it was to run
        after waits again for that one: retry both, in any order, within a minute. Jobs in other states are
        left as they are; `revive` begins anew what was cancelled.

        Raises:
            JobNotFound: There is none.
            StoreUnavailable: It may or may not be retried. Repeating is safe: of a job that has
                been retried, it retries nothing.
        """
        job = run(Reviver(self).retry(id))
        self._told_of(job)
        return remember(job, self)

    def retry_many(self, *, all: bool = False, **selected: Unpack[Selected]) -> Retried:
        """Retry the jobs meant, as `retry` does, some 2,000 at a time; return how many of which kind.

        Args:
            all: Must be True to retry without any other argument.
            selected: Only these; see `Selected`. By state failed, error or group: those that failed.

        Raises:
            StoreUnavailable: Some may be retried. Repeating goes on from there.
        """
        return run(Reviver(self).retry_many(all=all, **selected))

    def revive(self, id: str, *, succeeded: bool = False) -> Job:
        """Have a job that failed or was cancelled begin its life again; return it as it is then.

        As ``create(..., on_duplicate="revive")``: no attempt is spent, it waits for nobody, and of
        its life before only its errors and its fence tell. Jobs in other states are left as they are.

        Args:
            succeeded: Also one that succeeded. Its result is gone then.

        Raises:
            JobNotFound: There is none.
            StoreUnavailable: It may or may not be revived. Repeating is safe as long as it has not
                ended again.
        """
        job = run(Reviver(self).revive(id, succeeded=succeeded))
        self._told_of(job)
        return remember(job, self)

    def revive_many(self, *, all: bool = False, **selected: Unpack[Selected]) -> int:
        """Revive the jobs meant, as `revive` does, some 2,000 at a time; return how many.

        Succeeded ones are only meant if `state` names them.

        Args:
            all: Must be True to revive without any other argument.
            selected: Only these; see `Selected`.

        Raises:
            StoreUnavailable: Some may be revived. Repeating goes on from there.
        """
        return run(Reviver(self).revive_many(all=all, **selected))

    def snooze(self, id: str, *, delay: float | None = None, run_at: datetime | None = None) -> Job:
        """Have a pending job not run before some time; return it as it is then.

        One that is to run later than that anyway is left as it is, and so are jobs in
        other states: what a pool holds goes on.

        Args:
            delay: So many seconds from now.
            run_at: Not before this aware datetime. Give one of the two.

        Raises:
            JobNotFound: There is none.
            StoreUnavailable: It may or may not be snoozed. Repeating is safe.
        """
        return remember(run(Reviver(self).snooze(id, delay, run_at)), self)

    def snooze_many(
        self,
        *,
        delay: float | None = None,
        run_at: datetime | None = None,
        all: bool = False,
        **selected: Unpack[Selected],
    ) -> int:
        """Snooze the jobs meant, as `snooze` does, some 2,000 at a time; return how many.

        Args:
            delay, run_at: As of `snooze`.
            all: Must be True to snooze without any other argument.
            selected: Only these; see `Selected`.

        Raises:
            StoreUnavailable: Some may be snoozed. Repeating with the same `run_at` goes on from there.
        """
        return run(Reviver(self).snooze_many(delay, run_at, all=all, **selected))

    def _told_of(self, job: Job) -> None:
        if job.state is State.PENDING:
            self.told({job.type})
