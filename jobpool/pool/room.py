"""How many jobs a pool asks for, and whether they begin at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..config import PoolConfig
from .pace import SMOOTHING, Pace
from .starter import LOOK_AHEAD
from .workers import Workers

#: How far ahead of their turn jobs are claimed: some ten claim calls, so that threads
#: never wait for one, and little enough that no other pool idles for want of them.
CLAIM_AHEAD = 0.25
#: So many jobs in a claim cost hardly more a job than 500 do: its three trips and the wait for
#: the journal, 2 to 3 ms, are by then a tenth of what the server does for the jobs themselves.
WORTHWHILE = 200
#: Two spans of `LOOK_AHEAD`: what is ready when a claim is sent, and what it brings, run about so long.
SLOWEST_CLAIM = 2 * LOOK_AHEAD


class Room(NamedTuple):
    """What to ask for: up to `jobs`, 0 to wait; started by the claim itself if `starts`."""

    jobs: int
    starts: bool = False


class Rooms:
    """Says what to ask for next.

    Jobs whose turn is now are claimed and started in one update: while jobs
    are so short that what the pool runs in `LOOK_AHEAD` is worth a claim call,
    all of them; while they are so long, or so new, that none is claimed ahead,
    those for free threads. Others wait their turn in the queue, from where
    the starter takes them: a crash would count them as attempted otherwise.

    Threads: the fetcher; `_claim_time` is its own.
    """

    def __init__(
        self,
        config: PoolConfig,
        types: Callable[[], tuple[str, ...]],
        workers: Workers,
        pace: Pace,
        queued: Callable[[], int],
        taken: Callable[[], int],
    ) -> None:
        self._config = config
        self._types = types
        self._workers = workers
        self._pace = pace
        self._queued = queued
        self._taken = taken
        self._claim_time = 0.0

    def next(self) -> Room:
        """Return what there is room for now."""
        free = self._workers.free
        ahead = self._pace.ahead(CLAIM_AHEAD) if self._workers.moving else 0
        if not self._queued():
            short = self._short() if ahead else 0
            if short >= min(WORTHWHILE, self._config.batch_size):
                return Room(self._worth_it(short + min(0, free), short), starts=True)
            if not ahead and free > 0:
                return Room(min(free, self._left(), self._config.batch_size), starts=True)
        limit = min(self._config.queue_size, max(0, free) + ahead)
        return Room(self._worth_it(limit - self._taken(), limit))

    def observe(self, seconds: float) -> None:
        """Take note of how long a claim took that won something."""
        self._claim_time += SMOOTHING * (seconds - self._claim_time)

    def one(self) -> Room:
        """Return what to ask for where there is room, on news that mostly mean one job."""
        return Room(1, starts=self._workers.free > 0 and not self._queued())

    def _short(self) -> int:
        """Return how many of the jobs that come are through in `LOOK_AHEAD`, if all are of the slowest type.

        0 if claims take so long that the threads would wait for them: MongoDB is far away, or busy.
        """
        if self._claim_time > SLOWEST_CLAIM:
            return 0
        return min(self._pace.ahead_of_all(self._types(), LOOK_AHEAD), self._config.queue_size)

    def _worth_it(self, room: int, limit: int) -> int:
        """Return `room` if half of `limit` is missing: one call for many jobs costs what one for a few does."""
        room = min(room, self._left())
        return min(room, self._config.batch_size) if room * 2 >= limit else 0

    def _left(self) -> int:
        """Return what the queue's bound leaves; what is claimed counts until it runs, and until it is recorded."""
        return max(0, self._config.queue_size - self._taken())
