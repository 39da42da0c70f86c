"""The starter: marks jobs running, a few together, just before threads take them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..executors import Executors
from ..observer import Observer
from ..store import Store
from ..store.transitions import Start
from .held import Held, HeldJobs, Stage
from .pace import Pace
from .queue import ClaimedQueue
from .service import Service
from .workers import Workers

logger = logging.getLogger(__name__)

#: A crash counts a job marked running as attempted, so the starter looks ahead only this
#: far. Shorter than some four durable writes, threads would wait for it.
LOOK_AHEAD = 0.02


class Starter(Service):
    """Takes queued jobs whose turn is near, starts them in the store, hands them to the workers.

    Fields: `_uncertain` belongs to the thread (and to `leftover` after its
    end); `starting` and `low_water` are ints that others read.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        executors: Executors,
        held: HeldJobs,
        queue: ClaimedQueue,
        workers: Workers,
        pace: Pace,
        observer: Observer,
        room: Callable[[], None],
    ) -> None:
        super().__init__(f"{name}-starter", observer)
        self.starting = 0
        self.low_water = 0
        self._pool = name
        self._store = store
        self._executors = executors
        self._held = held
        self._queue = queue
        self._workers = workers
        self._pace = pace
        self._room = room
        self._news = threading.Event()
        self._uncertain: list[Held] = []

    def wake(self) -> None:
        """Say that there are new jobs, or that a thread is free."""
        if not self._news.is_set():
            self._news.set()

    def run_once(self) -> None:
        """Start the jobs whose turn is near, or wait until there are some."""
        self._news.clear()  # before the look, so that news after it are not missed
        group = self._uncertain or self._queue.take(self._turn_is_near())
        self._room()
        if not group:
            self._news.wait(0.5)
            return
        # Until the store has answered for the group it is uncertain what is running:
        # it is started again, which recognises what was started already.
        self._uncertain = group
        self.starting = len(group)
        live = self._without_expired(group)
        self._uncertain = live
        self._hand_over(live, self._start(live))
        self._uncertain = []
        self.starting = 0

    def leftover(self) -> list[Held]:
        """Return the jobs of an unanswered start, after the thread ended."""
        left, self._uncertain = self._uncertain, []
        return left

    def _turn_is_near(self) -> Callable[[Held], bool]:
        """Return a test that lets through what fits the free threads, then what runs within `LOOK_AHEAD`."""
        free = self._workers.free
        ahead = max(0, -free)
        mean = LOOK_AHEAD / max(self._pace.ahead(LOOK_AHEAD), 1)
        time_left = LOOK_AHEAD - ahead * mean

        def near(held: Held) -> bool:
            nonlocal free, time_left
            if free > 0:
                free -= 1
                return True
            cost = self._pace.cost(held.type)
            if cost is None:
                return False
            time_left -= cost
            return time_left >= 0

        return near

    def _without_expired(self, group: list[Held]) -> list[Held]:
        now = time.monotonic()
        self._lose([held for held in group if held.lost or now >= held.deadline])
        return [held for held in group if not held.lost]

    def _start(self, group: list[Held]) -> list[Held]:
        """Start `group` in the store and return the jobs that are ours to run."""
        started = self._store.transitions.start([self._request(held) for held in group])
        self._lose([held for held in group if held.claim not in started])
        return [held for held in group if held.claim in started]

    def _request(self, held: Held) -> Start:
        executor = self._executors[held.type]
        own: int | None = held.document["max_attempts"]
        allowed = executor.max_attempts if own is None else own
        return Start(
            held.claim,
            max_attempts=executor.max_attempts if own is None else None,
            backoff=executor.backoff if allowed > 1 else None,
        )

    def _hand_over(self, group: list[Held], started: list[Held]) -> None:
        now, server_now = time.monotonic(), self._store.clock.now()
        for held in started:
            held.stage = Stage.STARTED
            wait = (server_now - held.document["run_at"]).total_seconds()
            self.observer.started(self._pool, held.type, max(wait, 0.0), now - held.queued_at)
        self.low_water = len(group) // 2
        self._workers.hand(started)

    def _lose(self, group: list[Held]) -> None:
        """Let claims go that are not ours any more; their executors are not called."""
        known = [held for held in group if not held.lost]  # of the others the heartbeat has told
        for held in known:
            held.lost = True
        self._held.remove(held.claim for held in group)
        if known:
            logger.warning(
                "pool %s: the claims of %d jobs were lost before they started (%r first); they are not run here",
                self._pool,
                len(known),
                known[0].claim.id,
            )
            self.observer.leases_lost(self._pool, "queued", len(known))
