"""The resolver: passes the ends of jobs on to those that wait for them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

from ..logs import bounded_logger_of
from ..names import LISTED, shown
from ..observer import Observer
from ..store import Store
from ..store.driver import run
from .flag import Flag
from .service import Service, jitter

logger = bounded_logger_of(__name__)

#: Seconds between two looks: where jobs waited for others lately, and where none did.
INTERVAL, IDLE_INTERVAL = 0.25, 1.0
#: For so many seconds after a look that found something.
LATELY = 60.0
#: A look that somebody asked for comes so many seconds later, together with what ends meanwhile.
TOGETHER = 0.01
#: It rests for so many times what its last step took: the server is for running jobs.
REST = 2.0
#: Seconds between two looks for jobs whose creator has died.
CREATORS = 5.0
#: Seconds between two sweeps, and how many times longer than its last one, pauses and all, it rests at least.
SWEEPS, SWEEP_REST = 300.0, 20.0
#: Seconds for which ended jobs are left out of the looks whose followers are told of many together.
KEPT_FOR = 0.5


class Resolver(Service):
    """Looks a few times a second for ended jobs that others wait for; one query if there are none.

    Fields: all belong to the thread, `_woken` aside.

    Args:
        released: Told that jobs may be pending that waited.
    """

    def __init__(self, name: str, store: Store, observer: Observer, released: Callable[[], None]) -> None:
        super().__init__(f"{name}-resolver", observer, store.trouble)
        self._store = store
        self._released = released
        self._woken = Flag()
        self._used_at = -LATELY
        self._pages: AsyncIterator[int] | None = None
        self._kept: set[str] = set()
        self._kept_until = 0.0
        self._look_at = self._creators_at = self._sweep_at = time.monotonic()

    def wake(self) -> None:
        """Say that a job has ended that others wait for. Threads: any."""
        if not self._woken.is_set():
            self._woken.set()

    def run_once(self) -> None:
        """Wait for the next time, or until somebody asks, and look."""
        if self._woken.wait(max(0.0, min(self._look_at - time.monotonic(), IDLE_INTERVAL))):
            self._stopping.wait(TOGETHER)
        self._woken.clear()  # before the look, so that what ends now is not missed
        if self.stopping:
            return
        began = time.monotonic()
        more = self._look(began)
        took = time.monotonic() - began
        interval = INTERVAL if began - self._used_at < LATELY else IDLE_INTERVAL
        self._look_at = began + took + max(REST * took, 0.0 if more else interval * jitter())
        self._stopping.wait(min(REST * took, IDLE_INTERVAL))

    def _look(self, now: float) -> bool:
        """Do what is due; return whether there is more to be done at once."""
        if now >= self._kept_until:
            self._kept.clear()
        resolved = run(self._store.resolving.resolve(self._kept))
        if resolved.kept:
            self._kept_until = self._kept_until if self._kept else now + KEPT_FOR * jitter()
            self._kept |= resolved.kept
        if resolved.ended:
            self._used_at = now
        if resolved.changed:
            self._released()
        if now >= self._creators_at:
            self._creators_at = now + CREATORS * jitter()
            self._complete()
        return self._sweep(now) or resolved.more

    def _complete(self) -> None:
        if completed := run(self._store.resolving.complete_old()):
            logger.info(
                "%s: went on where the creators of %d waiting jobs had died", shown(self.name, LISTED), completed
            )

    def _sweep(self, now: float) -> bool:
        """Begin a sweep if it is time, or go on with one by a page; return whether there are more pages."""
        if now < self._sweep_at:
            return False
        self._pages = self._pages or self._store.resolving.sweep()
        pages, self._pages = self._pages, None  # one that failed is over
        gone = run(_next_of(pages))
        if gone is None:
            took = time.monotonic() - self._sweep_at
            self._sweep_at = time.monotonic() + max(SWEEPS, SWEEP_REST * took) * jitter()
            return False
        if gone:
            logger.info("%s: %d jobs that others wait for are gone", shown(self.name, LISTED), gone)
            self._released()
        self._pages = pages
        return True


async def _next_of(pages: AsyncIterator[int]) -> int | None:
    """Return the next item; None at the end."""
    async for page in pages:
        return page
    return None


def resolve_all(store: Store) -> bool:
    """Pass on all there is now; return whether that changed a job, which may not be due yet by `ServerClock`."""
    changed, kept = 0, set[str]()
    while (resolved := run(store.resolving.resolve(kept, paced=False))).ended:
        changed += resolved.changed
        kept |= resolved.kept  # those who wait cannot be told, or came a moment ago
    return changed > 0
