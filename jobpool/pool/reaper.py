"""The reaper: takes back what dead pools held."""

from __future__ import annotations

import logging

from ..observer import Observer
from ..store import Store
from .service import Periodic

logger = logging.getLogger(__name__)


class Reaper(Periodic):
    """Looks for expired leases now and then, for every type, of whatever pool.

    The first look is at once: who restarts a worker that died wants its jobs back.
    """

    def __init__(self, name: str, store: Store, interval: float, observer: Observer) -> None:
        super().__init__(f"{name}-reaper", observer, interval, at_once=True)
        self._store = store

    def act(self) -> None:
        """Take back what has expired."""
        reap(self._store, self.observer)


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
