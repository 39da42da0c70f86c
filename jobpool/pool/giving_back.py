"""Giving back claims whose executor was not called."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import StoreError
from ..logs import bounded_logger_of
from ..names import LISTED, listed, shown
from ..observer import Observer
from ..store import Store
from .held import Held, HeldJobs

logger = bounded_logger_of(__name__)


class GivingBack:
    """Releases claims of one pool and counts them. Threads: any; no state of its own."""

    def __init__(self, pool: str, store: Store, held: HeldJobs, observer: Observer) -> None:
        self._pool = pool
        self._store = store
        self._held = held
        self._observer = observer

    def __call__(self, jobs: Sequence[Held]) -> None:
        """Release `jobs`, no attempt spent; those that cannot be are left to their leases, and count as lost."""
        _, left = self.try_to(jobs)
        if left:
            self._observer.leases_lost(self._pool, "queued", len(left))

    def try_to(self, jobs: Sequence[Held], *, timeout: float | None = None) -> tuple[list[Held], list[Held]]:
        """Release `jobs` and return which were given back, and which are left to their leases.

        In either case, and before, they leave what is held: were a job that
        could not be released kept by the heartbeat, nobody would ever run it.
        A job that was lost before is in neither list: it is released only to
        undo its start.
        """
        if not jobs:
            return [], []
        ours = self._held.remove(jobs)
        try:
            self._store.transitions.release([job.claim for job in jobs], timeout=timeout)
        except StoreError as error:
            logger.warning(
                "pool %s could not give back %d jobs (%s); they come back by their leases: %s",
                *(shown(self._pool, LISTED), len(jobs), error.kind, listed([job.claim.id for job in jobs])),
            )
            logger.debug("%s", error)
            return [], ours
        if ours:
            self._observer.released(self._pool, len(ours))
        return ours, []
