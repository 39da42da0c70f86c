"""The heartbeat: keeps the leases of everything a pool holds."""

from __future__ import annotations

import time

from ..errors import StoreError
from ..job import Claim
from ..logs import bounded_logger_of
from ..names import LISTED, listed, shown
from ..observer import Observer
from ..store import Store
from .completion import being_completed
from .held import Held, HeldJobs, Stage, lost_by_stage
from .service import Periodic

logger = bounded_logger_of(__name__)


class Heartbeat(Periodic):
    """Extends the leases of all held jobs, and tells which claims are lost.

    Whose clock: the server's decides when a lease ends. Ours only makes us
    stop trusting it earlier: a lease counts from before the request that
    confirmed it was sent. A claim past that instant is lost to us, whether or
    not somebody reaped it already: it is not started, not extended, and its
    running executor sees ``job.lost``.

    It outlives the last job of a drain: a lease must not run out while its
    job is being finished.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        held: HeldJobs,
        lease: float,
        interval: float,
        observer: Observer,
        longest_run: float | None = None,
    ) -> None:
        super().__init__(f"{name}-heartbeat", observer, store.trouble, interval, at_once=False)
        self._pool = name
        self._store = store
        self._held = held
        self._lease = lease
        self._longest_run = longest_run

    def act(self) -> None:
        """Extend every live lease.

        Raises:
            StoreUnavailable: Not confirmed. The next try follows at once; the
                deadlines stay where they were.
        """
        self._lose(self._expired(), "no heartbeat was confirmed within their leases")
        self._lose(self._overrun(), f"their executors run for longer than longest_run, {self._longest_run} s")
        held_jobs = self._held.all()
        # What is completed in a transaction would let all others of the statement wait for the end of that.
        jobs = [held for held in held_jobs if held.completion is None]
        if jobs:
            self._extend(jobs)
        if len(jobs) < len(held_jobs):
            self._extend_apart([held for held in held_jobs if held.completion is not None])

    def _extend(self, jobs: list[Held]) -> None:
        sent_at = time.monotonic()
        try:
            # A deadline of its own: on a frozen primary a client with default settings hangs for half a minute.
            extended = self._store.transitions.extend(
                [held.claim for held in jobs], self._lease, timeout=self._lease / 3
            )
        except StoreError:
            self.observer.leases_extended(self._pool, "error", len(jobs))
            raise
        self._keep(jobs, extended, sent_at)
        self.observer.leases_extended(self._pool, "extended", len(extended))
        # One that called `complete` meanwhile may just have succeeded: its recorder learns the truth.
        gone = [held for held in jobs if held.claim not in extended and held.completion is None]
        self._lose(gone, "they were reaped or claimed again")

    def _extend_apart(self, jobs: list[Held]) -> None:
        """Extend leases of jobs whose executors have called `complete`, unless their transactions are open.

        As long as one is open nobody can take its job away, whatever the lease; nor
        when it is committed, however long its executor goes on behind that.
        """
        jobs = [held for held in jobs if not being_completed(held)]
        if not jobs:
            return
        sent_at = time.monotonic()
        limit = self._lease / 3
        extended = self._store.completing.extend([held.claim for held in jobs], self._lease, timeout=limit)
        self.observer.leases_extended(self._pool, "extended", len(extended))
        self._keep(jobs, extended, sent_at)
        left = [held.claim for held in jobs if held.claim not in extended]
        if left:
            self._keep(jobs, self._store.completing.completed(left, timeout=limit), sent_at)

    def _keep(self, jobs: list[Held], kept: set[Claim], sent_at: float) -> None:
        for held in jobs:
            if held.claim in kept:
                held.deadline = sent_at + self._lease

    def _expired(self) -> list[Held]:
        now = time.monotonic()
        over = [held for held in self._held.all() if now >= held.deadline and held.stage is not Stage.FINISHING]
        return [held for held in over if not being_completed(held)]

    def _overrun(self) -> list[Held]:
        """Return the jobs that have run too long: their leases are to run out, so that somebody reaps them."""
        if self._longest_run is None:
            return []
        latest = time.monotonic() - self._longest_run
        late = [held for held in self._held.all() if held.stage is Stage.RUNNING and held.running_since < latest]
        return [held for held in late if not being_completed(held)]

    def _lose(self, jobs: list[Held], why: str) -> None:
        lost = self._held.lose(jobs)
        if not lost:
            return
        self.observer.leases_extended(self._pool, "lost", len(lost))
        for stage, count in lost_by_stage(lost).items():
            self.observer.leases_lost(self._pool, stage, count)
        logger.warning(
            "pool %s lost the claims of %d jobs: %s; they may run elsewhere, late outcomes are refused: %s",
            *(shown(self._pool, LISTED), len(lost), why, listed([held.claim.id for held in lost])),
        )
