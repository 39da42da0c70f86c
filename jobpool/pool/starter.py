"""The starter: marks jobs running, a few together, just before threads take them."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..executors import Executors
from ..logs import bounded_logger_of
from ..names import LISTED, listed, shown
from ..observer import Observer
from ..store import Store
from .flag import Flag
from .giving_back import GivingBack
from .held import Held, HeldJobs, Stage, lost_by_stage, start_of
from .pace import Pace
from .queue import ClaimedQueue
from .service import Service
from .serving import Serving
from .tally import Starts
from .telling import tell_started
from .workers import Workers

logger = bounded_logger_of(__name__)

#: A crash counts a job marked running as attempted, so the starter looks ahead only this
#: far, and two trips to the server. Shorter than some four durable writes, threads would wait for it.
LOOK_AHEAD = 0.02


class Starter(Service):
    """Takes queued jobs whose turn is near, starts them in the store, hands them to the workers.

    Fields: `_uncertain` belongs to the thread (and to `leftover` after its
    end), others read its length.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        executors: Executors,
        held: HeldJobs,
        give_back: GivingBack,
        queue: ClaimedQueue,
        workers: Workers,
        pace: Pace,
        observer: Observer,
        room: Callable[[], None],
        serving: Serving,
        sift: Callable[[], None],
        starts: Starts,
    ) -> None:
        super().__init__(f"{name}-starter", observer, store.trouble)
        self._pool = name
        self._store = store
        self._executors = executors
        self._held = held
        self._give_back = give_back
        self._queue = queue
        self._workers = workers
        self._pace = pace
        self._room = room
        self._serving = serving
        self._sift = sift
        self._starts = starts
        self._news = Flag()
        self._uncertain: list[Held] = []

    def wake(self) -> None:
        """Say that there are new jobs, or that a thread is free."""
        if not self._news.is_set():
            self._news.set()

    def run_once(self) -> None:
        """Start the jobs whose turn is near, or wait until there are some."""
        self._news.clear()  # before the look, so that news after it are not missed
        # Until the store has answered for a group it is uncertain what is running: it is
        # started again, which recognises what was started already.
        self._uncertain = self._uncertain or self._queue.take(self._turn_is_near())
        self._room()
        if not self._uncertain:
            self._news.wait(0.5)
            return
        self._drop_expired()
        self._drop_unwanted()
        self._uncertain = self._start(self._uncertain)
        self._drop_expired()  # the start may have taken its time
        served = self._serving.now
        self._drop_unwanted()
        if self.stopping:
            self._give_back(self._uncertain)  # nobody would take them any more
        else:
            self._hand_over(self._uncertain)
        self._uncertain = []
        if self._serving.now is not served:  # who changed it may have sifted before the jobs were handed over
            self._sift()

    @property
    def starting(self) -> int:
        """How many jobs are neither in the queue any more nor handed over yet."""
        return len(self._uncertain)

    def leftover(self) -> list[Held]:
        """Return the jobs of an unanswered start, after the thread ended."""
        left, self._uncertain = self._uncertain, []
        return left

    def _turn_is_near(self) -> Callable[[Held], bool]:
        """Return a test that lets through what fits the free threads, then what runs within the look-ahead."""
        free = self._workers.free
        moving = self._workers.moving
        ahead = max(0, -free)
        reach = LOOK_AHEAD + 2 * self._store.round_trip
        mean = reach / max(self._pace.ahead(reach), 1)
        time_left = reach - ahead * mean

        def near(held: Held) -> bool:
            nonlocal free, time_left
            if free > 0:
                free -= 1
                return True
            cost = self._pace.cost(held.type)
            if cost is None or not moving:
                return False
            time_left -= cost
            return time_left >= 0

        return near

    def _drop_expired(self) -> None:
        """Let go of jobs whose lease is not certain any more, or is known to be lost.

        A start whose reply was lost may have marked them running, or may still
        do so. They are released until the store answers: that undoes either,
        attempt included, if nobody reaped them before.
        """
        now = time.monotonic()
        expired = [held for held in self._uncertain if held.lost or now >= held.deadline]
        if not expired:
            return
        self._store.transitions.release([held.claim for held in expired])
        self._lose(expired)
        gone = set(expired)
        self._uncertain = [held for held in self._uncertain if held not in gone]

    def _drop_unwanted(self) -> None:
        """Give back jobs of types that are not to be begun any more; those of an unanswered start as well.

        They too are released until the store answers.
        """
        wanted = self._serving.now.wanted
        unwanted = [held for held in self._uncertain if held.type not in wanted]
        if not unwanted:
            return
        self._store.transitions.release([held.claim for held in unwanted])
        self.observer.released(self._pool, len(self._held.remove(unwanted)))
        self._uncertain = [held for held in self._uncertain if held.type in wanted]

    def _start(self, group: list[Held]) -> list[Held]:
        """Start `group` in the store and return the jobs that are ours to run."""
        starts = [start_of(held, self._executors[held.type]) for held in group]
        started = self._store.transitions.start(starts)
        self._lose([held for held in group if held.claim not in started])
        return [held for held in group if held.claim in started]

    def _hand_over(self, started: list[Held]) -> None:
        if not started:
            return
        for held in started:
            held.stage = Stage.STARTED
        tell_started(self._pool, self._store, self.observer, self._starts, started)
        self._workers.hand(started)

    def _lose(self, group: list[Held]) -> None:
        """Let claims go that are not ours any more; their executors are not called."""
        lost = self._held.lose(group)  # of the others the heartbeat has told
        if not lost:
            return
        for stage, count in lost_by_stage(lost).items():
            self.observer.leases_lost(self._pool, stage, count)
        logger.warning(
            "pool %s lost the claims of %d jobs before they started; they are not run here: %s",
            *(shown(self._pool, LISTED), len(lost), listed([held.claim.id for held in lost])),
        )
