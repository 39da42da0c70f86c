"""The worker threads: a ThreadPoolExecutor whose threads take started jobs one by one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from enum import Enum

from ..current import log_fields
from ..logs import bounded_logger_of
from ..names import shown
from .held import Held
from .seating import Seat, Seated, Seating

logger = bounded_logger_of(__name__)

#: An idle thread takes microseconds to end; this bounds a machine that is very busy.
IDLE_END = 2.0
#: Jobs behind threads that took nothing for this long may run sooner elsewhere.
STALLED_AFTER = 1.0


class _Word(Enum):
    """Comes to a thread instead of a job: it is to look whether there are too many."""

    LOOK = "look"


class Workers:
    """Threads that run `handle` on each job handed to them, and `freed` when they are free again.

    A long loop per thread instead of a task per job: a job costs one queue
    operation, and the interpreter's exit, which refuses new tasks, does not
    matter. Who sits where is up to `Seating`.

    Fields: `taken_at` is written by all workers (the latest wins, which is
    meant), `low_water` by who hands over, `_last_words` by `stop`. `_lock` guards
    `_words`, how many are on their way to idle threads. Everything else is immutable.

    Args:
        max_stuck: How many threads may be replaced at a time.
    """

    def __init__(
        self,
        threads: int,
        name: str,
        handle: Callable[[Held], None],
        freed: Callable[[], None],
        max_stuck: int = 0,
    ) -> None:
        self.taken_at = time.monotonic()
        #: At so few jobs that wait for a thread it is time for more.
        self.low_water = 0
        self._handle = handle
        self._freed = freed
        self._ready: queue.SimpleQueue[Held | _Word | None] = queue.SimpleQueue()
        self._seating = Seating(threads, max_stuck, name, self._loop)
        self._lock = threading.Lock()
        self._words = 0
        self._last_words = 0

    def start(self) -> None:
        """Start all threads."""
        self._seating.start()

    def resize(self, threads: int, max_stuck: int) -> None:
        """Have so many threads from now on: more at once, fewer as some come back from their jobs.

        Raises:
            PoolStateError: They were told to end, or so many threads cannot be started; there are some more then.
        """
        too_many = self._seating.resize(threads, max_stuck)
        with self._lock:  # while all threads are busy the words of earlier calls are there still, and do
            more = max(0, too_many - self._words)
            self._words += more
        for _ in range(more):
            self._ready.put(_Word.LOOK)

    def replace(self, held: Held) -> bool:
        """As `Seating.replace`."""
        return self._seating.replace(held)

    def stuck_threads(self) -> list[str]:
        """Return the names of threads that were given up and have not come back."""
        stuck = self._seating.stuck()
        return [seat.thread.name for seat in stuck if seat.thread is not None and seat.lives()]

    @property
    def threads(self) -> int:
        """How many there should be; for a while there may be more."""
        return self._seating.threads

    @property
    def replaced(self) -> int:
        """How many threads have been replaced and have not come back."""
        return len(self._seating.replaced)

    @property
    def irreplaceable(self) -> int:
        """How many threads should be replaced and were not, as too many are already."""
        return self._seating.irreplaceable

    def hand(self, jobs: list[Held]) -> None:
        """Queue started jobs for the threads; never waits."""
        self.low_water = len(jobs) // 2
        for held in jobs:
            self._ready.put(held)

    def recall(self, stays: Callable[[Held], bool] | None = None) -> list[Held]:
        """Take back what no thread has taken yet, but for what `stays`. Each job has exactly one taker."""
        jobs: list[Held] = []
        kept: list[Held | _Word | None] = []  # with the words to the threads, which stay
        while True:
            try:
                held = self._ready.get_nowait()
            except queue.Empty:
                break
            if not isinstance(held, Held) or (stays is not None and stays(held)):
                kept.append(held)
            else:
                jobs.append(held)
        for one in kept:
            self._ready.put(one)
        return jobs

    def stop(self, deadline: float | None) -> bool:
        """Tell the threads to end after the job in hand and wait for it; return whether all ended.

        The executor's shutdown does not wait for what runs longer: those
        threads are left behind with the jobs they run.
        """
        self._last_words += 1
        self._ready.put(None)  # each thread that ends hands it on to the next
        self._seating.close()
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        seats = self._seating.seats  # for the outcome of those that were replaced nobody waits
        wait([seat.loop for seat in seats if seat.loop is not None and not seat.given_up], timeout)
        for seat in (*seats, *self._seating.dismissed()):
            if seat.thread is not None and seat.held is None:
                seat.thread.join(IDLE_END)  # it has only the word to end before it
        return not any(map(Seat.lives, (*seats, *self._seating.replaced)))

    def running(self) -> list[Held]:
        """Return the jobs whose executors run now."""
        return [held for seat in self._seating.seats if (held := seat.held) is not None]

    def seated(self) -> list[Seated]:
        """Return the jobs whose executors run now, with their threads."""
        return [seated for seat in self._seating.seats if (seated := seat.look()) is not None]

    @property
    def ready(self) -> int:
        """How many started jobs wait for a thread."""
        return max(0, self._ready.qsize() - self._words - self._last_words)

    @property
    def busy(self) -> int:
        """How many threads run an executor."""
        return sum(seat.held is not None for seat in self._seating.seats)

    @property
    def free(self) -> int:
        """How many threads have neither a job nor one waiting for them; negative if more wait than that."""
        ready = self.ready  # first: a job that is taken meanwhile counts twice rather than not at all
        return self.threads - ready - self.busy

    @property
    def moving(self) -> bool:
        """Whether threads are free, or took a job lately: if not, what ran fast before says nothing."""
        return self.free > 0 or time.monotonic() - self.taken_at < STALLED_AFTER

    def busy_seconds(self) -> float:
        """Return the thread time spent in executors so far, the running ones included."""
        return self._seating.busy_seconds()

    def longest_running(self) -> float:
        """Return for how many seconds the longest running executor has run; 0 when idle."""
        now = time.monotonic()
        return max((now - seat.since for seat in self._seating.seats if seat.held is not None), default=0.0)

    @property
    def ended(self) -> int:
        """How many threads were there and have ended."""
        return sum(seat.loop is not None and seat.loop.done() for seat in self._seating.seats)

    def between_jobs(self, since: float) -> int:
        """Return how many threads have neither had a job in hand nor waited for one since a monotonic instant."""
        seats = [seat for seat in self._seating.seats if seat.held is None and not seat.waits]
        return sum(seat.since < since for seat in seats)

    def owns_current_thread(self) -> bool:
        """Whether the caller is one of the threads."""
        return any(seat.thread is threading.current_thread() for seat in self._seating.everybody())

    def _loop(self, seat: Seat) -> None:
        seat.thread = threading.current_thread()
        if not self._seating.takes(seat):
            return
        while (held := self._ready.get()) is not None:
            if held is _Word.LOOK:
                if self._ends_idle(seat):
                    return
            elif not self._run(seat, held):
                return
        self._ready.put(None)

    def _ends_idle(self, seat: Seat) -> bool:
        with self._lock:
            self._words -= 1
        return self._seating.is_too_many(seat)

    def _run(self, seat: Seat, held: Held) -> bool:
        """Run one job; return whether the thread goes on."""
        seat.since = self.taken_at = time.monotonic()
        seat.waits = False
        seat.held = held
        held.running_since = seat.since
        try:
            self._handle(held)
        except BaseException:  # a worker thread outlives everything
            logger.exception(
                "an error of jobpool itself with job %s, please report it; its lease ends it",
                shown(held.claim.id),
                extra=log_fields(held),
            )
        finally:
            now = time.monotonic()
            seat.busy_seconds += now - seat.since
            seat.since = now
            stays = self._seating.leave(seat, held)
        if not stays:
            return False
        stays = not self._seating.is_too_many(seat)
        self._freed()  # only now does `free` count this thread
        seat.waits = stays
        return stays
