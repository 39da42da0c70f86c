"""The worker threads: a ThreadPoolExecutor whose threads take started jobs one by one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from ..current import log_fields
from ..logs import bounded_logger_of
from ..names import shown
from .held import Held

logger = bounded_logger_of(__name__)

#: An idle thread takes microseconds to end; this bounds a machine that is very busy.
IDLE_END = 2.0
#: Jobs behind threads that took nothing for this long may run sooner elsewhere.
STALLED_AFTER = 1.0


class Seated(NamedTuple):
    """A job on its thread, since when (monotonic)."""

    held: Held
    since: float
    thread: threading.Thread


class _Seat:
    """What one worker thread does. Written by that thread only, read by any.

    It waits, or it has a job in hand, or it is between the two, where it should
    not be for long: `since` is when that began, or when the job in hand did.
    """

    __slots__ = ("busy_seconds", "given_up", "held", "loop", "replaced", "since", "thread", "waits")

    def __init__(self) -> None:
        self.held: Held | None = None
        self.loop: Future[None] | None = None
        self.given_up = self.replaced = False
        self.waits = True
        self.since = 0.0
        self.busy_seconds = 0.0
        self.thread: threading.Thread | None = None

    def look(self) -> Seated | None:
        """Return what goes on here, if anything."""
        held, since, thread = self.held, self.since, self.thread
        if held is None or thread is None or held is not self.held:  # `since` may be of the next one
            return None
        return Seated(held, since, thread)


class Workers:
    """Threads that run `handle` on each job handed to them, and `freed` when they are free again.

    A long loop per thread instead of a task per job: a job costs one queue
    operation, and the interpreter's exit, which refuses new tasks, does not
    matter.

    A thread whose executor does not end, although it should, is replaced:
    another one takes its seat, and it ends when it comes back from its job.

    Fields: `taken_at` is written by all workers (the latest wins, which is
    meant), `low_water` by who hands over, `_last_words` by `stop`. `_lock` guards
    who sits: `_seats` and `_replaced`, tuples that are replaced whole, and
    `_former_seconds`. Everything else is immutable after `start`.

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
        self.threads = threads
        self.max_stuck = max_stuck
        self.taken_at = time.monotonic()
        #: At so few jobs that wait for a thread it is time for more.
        self.low_water = 0
        self._handle = handle
        self._freed = freed
        self._ready: queue.SimpleQueue[Held | None] = queue.SimpleQueue()
        self._lock = threading.RLock()  # a signal handler may stop the pool on top of who looks
        self._seats = tuple(_Seat() for _ in range(threads))
        self._replaced: tuple[_Seat, ...] = ()
        self._former_seconds = 0.0
        self._executor = ThreadPoolExecutor(threads + max_stuck, thread_name_prefix=f"jobpool-{name}-worker")
        self._last_words = 0

    def start(self) -> None:
        """Start all threads."""
        for seat in self._seats:
            seat.loop = self._executor.submit(self._loop, seat)

    def replace(self, held: Held) -> bool:
        """Let another thread take the place of the one that runs `held`; False if it has to go without it.

        Its executor was told to end, and its outcome is settled without it.
        """
        with self._lock:
            seat = next((seat for seat in self._seats if seat.held is held), None)
            if seat is None:
                return True  # it has come back
            seat.given_up = True
            return self._replace_locked(seat)

    def _replace_locked(self, seat: _Seat) -> bool:
        if len(self._replaced) >= self.max_stuck or self._last_words:
            return False
        other = _Seat()
        try:
            other.loop = self._executor.submit(self._loop, other)
        except RuntimeError:  # the interpreter ends, or there can be no more threads
            return False
        seat.replaced = True
        self._former_seconds += seat.busy_seconds + time.monotonic() - seat.since
        self._replaced = (*self._replaced, seat)
        self._seats = (*(one for one in self._seats if one is not seat), other)
        return True

    def stuck_threads(self) -> list[str]:
        """Return the names of threads that were given up and have not come back."""
        with self._lock:
            given_up = [*self._replaced, *(seat for seat in self._seats if seat.given_up)]
        return [seat.thread.name for seat in given_up if seat.thread is not None and seat.thread.is_alive()]

    @property
    def replaced(self) -> int:
        """How many threads have been replaced and have not come back."""
        return len(self._replaced)

    @property
    def irreplaceable(self) -> int:
        """How many threads should be replaced and were not, as too many are already."""
        return sum(seat.given_up for seat in self._seats)

    def hand(self, jobs: list[Held]) -> None:
        """Queue started jobs for the threads; never waits."""
        self.low_water = len(jobs) // 2
        for held in jobs:
            self._ready.put(held)

    def recall(self, stays: Callable[[Held], bool] | None = None) -> list[Held]:
        """Take back what no thread has taken yet, but for what `stays`. Each job has exactly one taker."""
        jobs: list[Held] = []
        kept: list[Held | None] = []
        while True:
            try:
                held = self._ready.get_nowait()
            except queue.Empty:
                break
            if held is None:  # the word to end, always the last: it stays
                kept.append(None)
                break
            (kept if stays is not None and stays(held) else jobs).append(held)
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
        self._executor.shutdown(wait=False)
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        with self._lock:
            seats, replaced = self._seats, self._replaced  # of whom nobody waits for the outcome
        wait([seat.loop for seat in seats if seat.loop is not None and not seat.given_up], timeout)
        for seat in seats:
            if seat.thread is not None and seat.held is None:
                seat.thread.join(IDLE_END)  # it has only the word to end before it
        return not any(seat.thread is not None and seat.thread.is_alive() for seat in (*seats, *replaced))

    def running(self) -> list[Held]:
        """Return the jobs whose executors run now."""
        return [held for seat in self._seats if (held := seat.held) is not None]

    def seated(self) -> list[Seated]:
        """Return the jobs whose executors run now, with their threads."""
        return [seated for seat in self._seats if (seated := seat.look()) is not None]

    @property
    def ready(self) -> int:
        """How many started jobs wait for a thread."""
        return max(0, self._ready.qsize() - self._last_words)

    @property
    def busy(self) -> int:
        """How many threads run an executor."""
        return sum(seat.held is not None for seat in self._seats)

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
        now = time.monotonic()
        with self._lock:
            seats, former = self._seats, self._former_seconds
        done = former + sum(seat.busy_seconds for seat in seats)
        return done + sum(now - seat.since for seat in seats if seat.held is not None)

    def longest_running(self) -> float:
        """Return for how many seconds the longest running executor has run; 0 when idle."""
        now = time.monotonic()
        return max((now - seat.since for seat in self._seats if seat.held is not None), default=0.0)

    @property
    def ended(self) -> int:
        """How many threads were there and have ended."""
        return sum(seat.loop is not None and seat.loop.done() for seat in self._seats)

    def between_jobs(self, since: float) -> int:
        """Return how many threads have neither had a job in hand nor waited for one since a monotonic instant."""
        seats = [seat for seat in self._seats if seat.held is None and not seat.waits]
        return sum(seat.since < since for seat in seats)

    def owns_current_thread(self) -> bool:
        """Whether the caller is one of the threads."""
        with self._lock:
            seats = (*self._seats, *self._replaced)
        return any(seat.thread is threading.current_thread() for seat in seats)

    def _loop(self, seat: _Seat) -> None:
        seat.thread = threading.current_thread()
        with self._lock:
            if seat not in self._seats:  # its thread could not be started at first, and nobody counts on it
                return
        while (held := self._ready.get()) is not None:
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
                stays = self._leave(seat, held)
            if not stays:
                return
            self._freed()  # only now does `free` count this thread
            seat.waits = True
        self._ready.put(None)

    def _leave(self, seat: _Seat, held: Held) -> bool:
        """Note that the thread is done with `held`; False if it has been replaced, and is to end."""
        if held.told is None:  # nobody who was not told is replaced
            seat.held = None
            return True
        with self._lock:
            seat.held = None
            seat.given_up = False
            if not seat.replaced:
                return True
            self._replaced = tuple(other for other in self._replaced if other is not seat)
            waiting = next((other for other in self._seats if other.given_up), None)
            if waiting is not None:  # there is room for one more
                self._replace_locked(waiting)
            return False
