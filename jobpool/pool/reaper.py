"""The reaper: takes back what dead pools held."""

from __future__ import annotations

import logging
import threading
import time

from ..observer import Observer
from ..store import Store
from .service import Service, jitter

logger = logging.getLogger(__name__)


class Reaper(Service):
    """Looks for expired leases now and then, for every type, of whatever pool.

    Fields: `_due_at` belongs to the thread. The first look is at once: who
    restarts a worker that died wants its jobs back.
    """

    def __init__(self, name: str, store: Store, interval: float, observer: Observer) -> None:
        super().__init__(f"{name}-reaper", observer)
        self._store = store
        self._interval = interval
        self._due_at = time.monotonic()
        self._woken = threading.Event()

    def wake(self) -> None:
        """Let a waiting step return."""
        self._woken.set()

    def run_once(self) -> None:
        """Wait for the next look, in slices of a second, and look."""
        left = self._due_at - time.monotonic()
        if left > 0:
            self._woken.wait(min(left, 1.0))
        if time.monotonic() >= self._due_at:
            reap(self._store, self.observer)
            self._due_at = time.monotonic() + self._interval * jitter()


def reap(store: Store, observer: Observer) -> None:
    """Take back all expired jobs, log and count them."""
    for item in store.reaping.reap():
        logger.warning(
            "%d jobs of type %r had an expired lease and are %s",
            item.jobs,
            item.type,
            "pending again" if item.result == "requeued" else "failed with WorkerLost",
        )
        observer.reaped(item.type, item.result, item.jobs)
