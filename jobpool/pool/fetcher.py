"""The fetcher: the one thread of a pool that claims."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from ..config import PoolConfig
from ..errors import StoreError, StoreRefused
from ..observer import Observer
from ..store import Store
from ..store.claiming import Claimed, Request
from .giving_back import give_back
from .held import HeldJobs, holding
from .pace import Pace
from .queue import ClaimedQueue
from .service import Service, jitter
from .workers import Workers

#: How far ahead of their turn jobs are claimed: some ten claim calls, so that threads
#: never wait for one, and little enough that no other pool idles for want of them.
CLAIM_AHEAD = 0.25
#: The first wait after an empty claim; doubles up to the pool's poll interval.
FIRST_POLL = 0.05
#: A job that push has not announced for this long counts as missed by it.
PUSH_TIME = timedelta(seconds=0.25)


class Fetcher(Service):
    """Claims jobs while there is room for them, and waits for news while there are none.

    Fields: `_poll` and `_woken_by` belong to the thread; `waiting` is a bool
    that others read, `_source` a str that they set before the event.
    """

    def __init__(
        self,
        config: PoolConfig,
        types: tuple[str, ...],
        store: Store,
        held: HeldJobs,
        queue: ClaimedQueue,
        workers: Workers,
        pace: Pace,
        observer: Observer,
        *,
        taken: Callable[[], int],
        fenced: Callable[[], bool],
        fetched: Callable[[], None],
        idle: Callable[[], None],
        pushed_since: Callable[[], datetime | None],
    ) -> None:
        super().__init__(f"{config.name}-fetcher", observer)
        self.waiting = False
        self.drained = threading.Event()
        self._config = config
        self._types = types
        self._store = store
        self._held = held
        self._queue = queue
        self._workers = workers
        self._pace = pace
        self._taken = taken
        self._fenced = fenced
        self._fetched = fetched
        self._idle = idle
        self._pushed_since = pushed_since
        self._strategy = store.strategy(config.strategy)
        self._for_news = store.strategy("single")
        self._room = threading.Event()
        self._news = threading.Event()
        self._source = "poll"
        self._woken_by: str | None = None
        self._poll = FIRST_POLL

    def wake(self, source: str = "stop") -> None:
        """Say that there may be new jobs. Threads: any."""
        if not self._news.is_set():
            self._source = source
            self._news.set()
        self._room.set()

    def make_room(self) -> None:
        """Say that the queue may have room again. Threads: any."""
        if not self._room.is_set():
            self._room.set()

    def run_once(self) -> None:
        """Claim once if there is room, else wait for room; wait for news after a claim that took the last."""
        self._room.clear()
        self._news.clear()  # before the claim, so that news during it are not missed
        if self.stopping:  # the word to stop may have come before the two lines above
            return
        self._store.ready()
        room = self._room_for()
        if not room or self._fenced():
            self._wait_for_room()
            return
        claimed = self._claim(room)
        self._accept(claimed)
        self._report_wakeup(claimed)
        if claimed.documents:
            self._poll = FIRST_POLL
        if claimed.drained:
            self._wait_for_news()

    def _room_for(self) -> int:
        """Return how many jobs to ask for now; 0 to wait.

        As many as the threads get through in `CLAIM_AHEAD`, and only when
        half of that is missing: one call for many jobs costs what one for a
        few does.
        """
        ahead = self._pace.ahead(CLAIM_AHEAD) if self._workers.moving else 0
        limit = min(self._config.queue_size, max(0, self._workers.free) + ahead)
        room = limit - self._taken()
        return min(room, self._config.batch_size) if room > 0 and room * 2 >= limit else 0

    def _wait_for_room(self) -> None:
        began = time.monotonic()
        self._room.wait(0.5)
        self.observer.fetcher_blocked(self._config.name, time.monotonic() - began)
        self._return_stale()

    def _return_stale(self) -> None:
        """Release queued jobs that wait too long: they were taken when jobs ran faster.

        Others may run them meanwhile; a quarter of the lease is long enough
        to be sure and short enough to leave most of it.
        """
        now = time.monotonic()
        patience = self._config.lease / 4
        stale = self._queue.take(lambda held: now - held.queued_at > patience)
        if self._workers.ready and now - self._workers.taken_at > patience:
            stale += self._workers.recall()
        give_back(self._store, self._held, stale)

    def _claim(self, room: int) -> Claimed:
        """Claim up to `room` jobs.

        News mostly means one job, and somebody waits for it: the first is
        claimed alone, in one trip instead of three. If there are more, the
        next call follows at once.
        """
        config = self._config
        news = self._woken_by in ("local", "push")
        strategy, room = (self._for_news, 1) if news else (self._strategy, room)
        request = Request(self._types, room, config.name, config.lease)
        try:
            claimed = strategy.claim(request)
        except StoreError as error:
            self.observer.claimed(config.name, "error", 0, 0, self._strategy.factor)
            if isinstance(error, StoreRefused):
                self._store.forget()  # the collection may have been dropped, and its indexes with it
            raise
        won = len(claimed.documents)
        self.observer.claimed(config.name, _result(claimed, room), won, claimed.conflicts, self._strategy.factor)
        return claimed

    def _accept(self, claimed: Claimed) -> None:
        """Queue what was won, or release it if the pool has begun to stop meanwhile."""
        if not claimed.documents:
            return
        jobs = holding(claimed)
        self._held.add(jobs)  # before the queue: from there on others may finish them
        if self._queue.put(jobs):
            self._fetched()
        else:
            give_back(self._store, self._held, jobs)

    def _wait_for_news(self) -> None:
        if not len(self._held):
            self.drained.set()
        self.waiting = True
        self._idle()
        try:
            woken = self._wait(self._poll * jitter())
        finally:
            self.waiting = False
        self._woken_by = self._source if woken else "poll"
        # News that found nothing may be ahead of our clock: look again soon.
        self._poll = FIRST_POLL if woken else min(self._poll * 2, self._config.poll_interval)

    def _wait(self, seconds: float) -> bool:
        """Wait for news, in slices so that a long wait is seen to be alive; return whether some came."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopping:
            if self._news.wait(min(left, 1.0)):
                return True
            self.advanced_at = time.monotonic()
        return False

    def _report_wakeup(self, claimed: Claimed) -> None:
        source, self._woken_by = self._woken_by, None
        if source is not None and not self.stopping:
            missed = self._missed(claimed) if source == "poll" else 0
            self.observer.woken(self._config.name, source, missed)

    def _missed(self, claimed: Claimed) -> int:
        """Count jobs that a poll found although push should have told of them."""
        since = self._pushed_since()
        if since is None or not claimed.documents:
            return 0
        until = self._store.clock.now() - PUSH_TIME
        return sum(
            document["fence"] == 1
            and document["run_at"] <= document["created_at"]
            and since < document["created_at"] < until
            for document in claimed.documents
        )


def _result(claimed: Claimed, room: int) -> str:
    if claimed.documents:
        return "full" if len(claimed.documents) >= room else "partial"
    return "contended" if claimed.tried else "empty"
