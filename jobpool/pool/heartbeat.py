"""The heartbeat: keeps the leases of everything a pool holds."""

from __future__ import annotations

import logging
import time

from ..errors import StoreError
from ..observer import Observer
from ..store import Store
from .held import Held, HeldJobs, Stage
from .service import Periodic

logger = logging.getLogger(__name__)


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

    def __init__(self, name: str, store: Store, held: HeldJobs, lease: float, interval: float, observer: Observer):
        super().__init__(f"{name}-heartbeat", observer, interval, at_once=False)
        self._pool = name
        self._store = store
        self._held = held
        self._lease = lease

    def act(self) -> None:
        """Extend every live lease.

        Raises:
            StoreUnavailable: Not confirmed. The next try follows at once; the
                deadlines stay where they were.
        """
        self._lose(self._expired(), "their leases ran out before a heartbeat was confirmed")
        jobs = self._held.all()
        if not jobs:
            return
        sent_at = time.monotonic()
        try:
            # A deadline of its own: on a frozen primary a client with default settings hangs for half a minute.
            extended = self._store.transitions.extend(
                [held.claim for held in jobs], self._lease, timeout=self._lease / 3
            )
        except StoreError:
            self.observer.leases_extended(self._pool, "error", len(jobs))
            raise
        for held in jobs:
            if held.claim in extended:
                held.deadline = sent_at + self._lease
        self.observer.leases_extended(self._pool, "extended", len(extended))
        self._lose([held for held in jobs if held.claim not in extended], "they were reaped or claimed again")

    def _expired(self) -> list[Held]:
        now = time.monotonic()
        return [held for held in self._held.all() if now >= held.deadline and held.stage is not Stage.FINISHING]

    def _lose(self, jobs: list[Held], why: str) -> None:
        lost = self._held.lose(held.claim for held in jobs)
        if not lost:
            return
        names = ", ".join(repr(held.claim.id) for held in lost[:5]) + (", ..." if len(lost) > 5 else "")
        logger.warning("pool %s lost the claims of %d jobs (%s): %s", self._pool, len(lost), why, names)
        self.observer.leases_extended(self._pool, "lost", len(lost))
        for stage in ("queued", "running"):
            count = sum((held.stage is Stage.RUNNING) == (stage == "running") for held in lost)
            if count:
                self.observer.leases_lost(self._pool, stage, count)
