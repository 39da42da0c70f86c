"""The reaper: takes back what dead pools held."""

from __future__ import annotations

from collections.abc import Callable

from ..logs import bounded_logger_of
from ..names import listed
from ..observer import Observer
from ..store import Store
from ..store.driver import run
from .service import Periodic

logger = bounded_logger_of(__name__)


class Reaper(Periodic):
    """Looks for expired leases now and then, for every type, of whatever pool.

    The first look is at once: who restarts a worker that died wants its jobs back.

    Args:
        results: Says whether to look for results as well whose time is over.
    """

    def __init__(
        self, name: str, store: Store, interval: float, observer: Observer, *, results: Callable[[], bool]
    ) -> None:
        super().__init__(f"{name}-reaper", observer, store.trouble, interval, at_once=True)
        self._store = store
        self._results = results

    def act(self) -> None:
        """Take back what has expired."""
        reap(self._store, self.observer)
        if self._results():
            run(self._store.purging.expire_results())


def reap(store: Store, observer: Observer) -> None:
    """Take back all expired jobs, count them by type, and log them in one line."""
    reaped = store.reaping.reap()
    for item in reaped:
        observer.reaped(item.type, item.result, item.jobs)
    if not reaped:
        return
    again, failed, ended = (
        sum(item.jobs for item in reaped if item.result == name) for name in ("requeued", "failed", "cancelled")
    )
    types = sorted({item.type for item in reaped})
    logger.warning(
        "took back %d jobs whose leases had run out, %d pending again, %d failed with WorkerLost%s; was a worker "
        "killed or cut off? types: %s",
        *(again + failed + ended, again, failed),
        *(f", {ended} cancelled as somebody had asked" if ended else "", listed(types)),
    )
