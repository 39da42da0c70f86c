"""Changing: jobs are cancelled and removed by others than their holders."""

from __future__ import annotations

from typing import Unpack

from ..job import Job
from ..store.cancelling import Cancelled
from ..store.driver import run
from ..waitable import remember
from .asking import Selected
from .looking import Looking


class Changing(Looking):
    """Cancels and removes jobs."""

    def cancel(self, id: str, *, cascade: bool = False) -> Job:
        """Cancel a job and return it as it is then.

        Its `state` says what happened. ``cancelled``: it waited, or no executor
        was called for it yet, and none will be. ``running``: it runs, and its
        executor is told within about a second; `Job.cancel_requested_at` says
        since when. A coroutine is cancelled, a child process killed, a function
        can ask ``current_job().cancelled``. However that attempt ends, no other
        follows. Any other state: it was final before.

        Jobs that wait for it (``create(..., after=)``) fail when it has ended so, or run
        if they are to run in any case.

        Args:
            cascade: Cancel all that wait for it as well, at once, and those that wait for
                these, and so on, whatever they are to do in such a case.

        Raises:
            JobNotFound: There is none.
            StoreUnavailable: It may or may not be cancelled. Repeating is safe.
        """
        return remember(run(self._asking.cancel(id, cascade=cascade)), self)

    def cancel_many(
        self,
        *,
        all: bool = False,
        cascade: bool = False,
        **selected: Unpack[Selected],
    ) -> Cancelled:
        """Cancel the jobs meant, as `cancel` does, and return how many were ended, and how many asked to end.

        Args:
            all: Must be True to cancel without any other argument.
            cascade: As of `cancel`.
            selected: Only these; see `Selected`.

        Raises:
            StoreUnavailable: Some may be cancelled. Repeating goes on from there.
        """
        return run(self._asking.cancel_many(all=all, cascade=cascade, **selected))

    def purge(self, older_than: float, **selected: Unpack[Selected]) -> int:
        """Delete the final jobs meant that ended longer ago than that; return how many.

        Their ids may be created, and run, again. The collection is read: finished
        jobs have no index that would make every claim slower.

        Args:
            older_than: Seconds.
            selected: Only these; see `Selected`.

        Raises:
            StoreUnavailable: Some may be deleted. Repeating goes on from there.
        """
        return run(self._asking.purge(older_than, **selected))

    def remove(self, id: str) -> bool:
        """Delete a job and return whether it was there. Its id may be created, and run, again.

        Raises:
            JobHeld: It is claimed or running, or other jobs wait for it.
        """
        return run(self._asking.remove(id))

    def remove_many(self, *, all: bool = False, **selected: Unpack[Selected]) -> int:
        """Delete the jobs meant that are neither claimed nor running, nor waited for; return how many.

        Args:
            all: Must be True to delete without any other argument.
            selected: Only these; see `Selected`.

        Raises:
            StoreUnavailable: Some may be deleted. Repeating goes on from there.
        """
        return run(self._asking.remove_many(all=all, **selected))
