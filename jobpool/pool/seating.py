"""Who sits: the threads of a pool, which may become more and fewer, and take each other's place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from ..config import MAX_STUCK, MAX_THREADS
from ..errors import PoolStateError
from .held import Held


class Seated(NamedTuple):
    """A job on its thread, since when (monotonic)."""

    held: Held
    since: float
    thread: threading.Thread


class Seat:
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

    def lives(self) -> bool:
        """Whether its thread runs."""
        return self.thread is not None and self.thread.is_alive()

    def look(self) -> Seated | None:
        """Return what goes on here, if anything."""
        held, since, thread = self.held, self.since, self.thread
        if held is None or thread is None or held is not self.held:  # `since` may be of the next one
            return None
        return Seated(held, since, thread)


class Seating:
    """The seats of a pool, a thread of a ThreadPoolExecutor on each.

    A thread whose executor does not end, although it should, is replaced:
    another one takes its seat, and it ends when it comes back from its job.

    There may be more or fewer seats at any time. Of too many, those become
    free first that have no job in hand.

    Fields: `seats`, `_replaced` and `_dismissed` are tuples that are replaced
    whole; others read the first, `threads` and `max_stuck`. `_lock` guards them, `_former_seconds`,
    `_executor` and `_executors` (how many there were); `_closed` turns True once.

    Args:
        max_stuck: How many threads may be replaced at a time.
        loop: What the thread of a seat does until it is to end.
    """

    def __init__(self, threads: int, max_stuck: int, name: str, loop: Callable[[Seat], None]) -> None:
        self.threads = threads
        self.max_stuck = max_stuck
        self.seats = tuple(Seat() for _ in range(threads))
        self._loop = loop
        self._name = name
        self._lock = threading.RLock()  # a signal handler may stop the pool on top of who looks
        self._replaced: tuple[Seat, ...] = ()
        self._dismissed: tuple[Seat, ...] = ()
        self._former_seconds = 0.0
        self._executors = 0
        self._executor = self._new_executor()
        self._closed = False

    def start(self) -> None:
        """Start all threads."""
        for seat in self.seats:
            seat.loop = self._executor.submit(self._loop, seat)

    def resize(self, threads: int, max_stuck: int) -> int:
        """Have so many from now on: more at once, fewer as some become free; return how many are too many.

        Raises:
            PoolStateError: It is closed, or so many threads cannot be started; there are some more then.
        """
        with self._lock:
            self._check_open()
            self.threads, self.max_stuck = threads, max_stuck
            missing = threads - len(self.seats)
            if missing > 0:
                self._seat_locked(missing)
            elif missing < 0:
                self._dismiss_locked(-missing)
            while (waiting := self._given_up_locked()) is not None and self._replace_locked(waiting):
                continue
            return max(0, len(self.seats) - threads)

    def _seat_locked(self, count: int) -> None:
        new: list[Seat] = []
        try:
            for _ in range(count):
                new.append(self._started_locked())
        except RuntimeError as error:
            self.threads = len(self.seats) + len(new)
            self._check_open()
            raise PoolStateError(
                f"the pool cannot be resized: no more threads can be started; it has {self.threads} now"
            ) from error
        finally:
            self.seats = (*self.seats, *new)

    def _started_locked(self) -> Seat:
        seat = Seat()
        seat.loop = self._executor.submit(self._loop, seat)
        return seat

    def _check_open(self) -> None:
        if self._closed:
            raise PoolStateError("the threads of the pool are ending: it cannot be resized")

    def _dismiss_locked(self, count: int) -> None:
        """Free the seats of stuck threads now, and have those end for good that become free later.

        A thread of an executor that was shut down ends when its loop has
        returned; one of another would rest there for ever.
        """
        while count and (stuck := self._given_up_locked()) is not None:
            self._give_away_locked(stuck)
            count -= 1
        self._executor.shutdown(wait=False)
        self._executor = self._new_executor()

    def _new_executor(self) -> ThreadPoolExecutor:
        """Return one that takes whatever is asked of it: a thread is started only where one is missing."""
        self._executors += 1
        number = "" if self._executors == 1 else str(self._executors)
        prefix = f"jobpool-{self._name}-worker{number}"
        return ThreadPoolExecutor(MAX_THREADS + MAX_STUCK, thread_name_prefix=prefix)

    def takes(self, seat: Seat) -> bool:
        """Whether the calling thread, which begins, is counted on; not if it could not be started at first."""
        with self._lock:
            return seat in self.seats

    def leave(self, seat: Seat, held: Held) -> bool:
        """Note that the calling thread is done with `held`; False if it has been replaced, and is to end."""
        if held.told is None:  # nobody who was not told is replaced
            seat.held = None
            return True
        with self._lock:
            seat.held = None
            seat.given_up = False
            if not seat.replaced:
                return True
            self._replaced = tuple(other for other in self._replaced if other is not seat)
            waiting = self._given_up_locked()
            if waiting is not None:  # there is room for one more
                self._replace_locked(waiting)
            return False

    def is_too_many(self, seat: Seat) -> bool:
        """Free the seat of the calling thread, which has no job in hand, if there are too many: it is to end."""
        if len(self.seats) <= self.threads:  # for every job: without the lock
            return False
        with self._lock:
            if len(self.seats) <= self.threads or self._closed:
                return False
            self.seats = tuple(one for one in self.seats if one is not seat)
            self._former_seconds += seat.busy_seconds
            self._dismissed = (*filter(Seat.lives, self._dismissed), seat)
            return True

    def replace(self, held: Held) -> bool:
        """Let another thread take the place of the one that runs `held`; False if it has to go without it.

        Its executor was told to end, and its outcome is settled without it.
        """
        with self._lock:
            seat = next((seat for seat in self.seats if seat.held is held), None)
            if seat is None:
                return True  # it has come back
            seat.given_up = True
            return self._replace_locked(seat)

    def _replace_locked(self, seat: Seat) -> bool:
        if self._closed:
            return False
        if len(self.seats) > self.threads:  # nobody needs to take its place
            self._give_away_locked(seat)
            return True
        if len(self._replaced) >= self.max_stuck:
            return False
        try:
            other = self._started_locked()
        except RuntimeError:  # the interpreter ends, or there can be no more threads
            return False
        self._give_away_locked(seat)
        self.seats = (*self.seats, other)
        return True

    def _give_away_locked(self, seat: Seat) -> None:
        """Count on that thread no more; it ends when it comes back."""
        seat.replaced = True
        self._former_seconds += seat.busy_seconds + time.monotonic() - seat.since
        self._replaced = (*self._replaced, seat)
        self.seats = tuple(one for one in self.seats if one is not seat)

    def _given_up_locked(self) -> Seat | None:
        return next((seat for seat in self.seats if seat.given_up), None)

    @property
    def replaced(self) -> tuple[Seat, ...]:
        """Those of threads that have been replaced and have not come back."""
        return self._replaced

    @property
    def irreplaceable(self) -> int:
        """How many threads should be replaced and were not, as too many are already."""
        return sum(seat.given_up for seat in self.seats)

    def stuck(self) -> list[Seat]:
        """Return those of threads that were given up and have not come back."""
        with self._lock:
            return [*self._replaced, *(seat for seat in self.seats if seat.given_up)]

    def everybody(self) -> tuple[Seat, ...]:
        """Return all whose threads may have a job in hand."""
        with self._lock:
            return (*self.seats, *self._replaced)

    def dismissed(self) -> tuple[Seat, ...]:
        """Return those that became free lately: their threads are about to end."""
        return self._dismissed

    def busy_seconds(self) -> float:
        """Return the thread time spent in executors so far, the running ones included."""
        now = time.monotonic()
        with self._lock:
            seats, former = self.seats, self._former_seconds
        done = former + sum(seat.busy_seconds for seat in seats)
        return done + sum(now - seat.since for seat in seats if seat.held is not None)

    def close(self) -> None:
        """Start no thread any more, and dismiss none: all are to end. What runs goes on."""
        self._closed = True
        with self._lock:
            self._executor.shutdown(wait=False)
