"""How fast the pool begins and runs jobs, by type: what it says of itself to the others."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from ..backlog import Rate
from .held import Held

#: Seconds over which a rate is taken: long enough to smooth a batch, short enough to follow a change.
WINDOW = 60.0
#: A rate over less than this many seconds would be chance.
SHORTEST = 1.0

#: Attempts that ended, and seconds that their executors ran, since the pool was made.
_Sum = tuple[int, float]
_NOTHING: _Sum = (0, 0.0)
_V = TypeVar("_V")


class _Looks(Generic[_V]):
    """What was counted at earlier looks, as far as a rate is taken from it. Threads: one."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, Mapping[str, _V]]] = deque([(time.monotonic(), {})])

    def look(self, sums: Mapping[str, _V]) -> tuple[Mapping[str, _V], float]:
        """Return what was counted a minute ago, or at the oldest look there is, and seconds since then."""
        now = time.monotonic()
        while len(self._looks) > 1 and self._looks[1][0] <= now - WINDOW:
            self._looks.popleft()
        since, before = self._looks[0]
        self._looks.append((now, sums))
        return before, max(now - since, SHORTEST)


class Tally:
    """Counts attempts that ended and were recorded, and how long they ran.

    Threads: `count` by one thread (the recorder, or who flushes it after its end), `rates`
    by another one (the census). `_sums` is written by the first: values are replaced whole,
    so that the other sees both numbers of one instant. `_looks` and `_means` are the second's own.
    """

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}
        self._looks: _Looks[_Sum] = _Looks()
        self._means: dict[str, float] = {}

    def count(self, type: str, seconds: float) -> None:
        """Note that an attempt of `type`, whose executor ran for so long, was recorded."""
        attempts, ran = self._sums.get(type, _NOTHING)
        self._sums[type] = (attempts + 1, ran + seconds)

    @property
    def total(self) -> int:
        """How many attempts it has counted, of all types. Threads: any."""
        return sum(attempts for attempts, _ in self._sums.copy().values())

    def rates(self) -> dict[str, Rate]:
        """Return how fast each type that ever ran here was run, over the last minute or since an earlier call."""
        sums = self._sums.copy()
        before, seconds = self._looks.look(sums)
        return {type: self._rate(type, sums[type], before.get(type, _NOTHING), seconds) for type in sums}

    def _rate(self, type: str, new: _Sum, old: _Sum, seconds: float) -> Rate:
        attempts = new[0] - old[0]
        if attempts:
            self._means[type] = (new[1] - old[1]) / attempts
        return Rate(attempts / seconds, self._means[type])


class Starts:
    """Counts jobs that were claimed, and attempts that were begun: once a group, not for each job.

    Threads: `claim` by one (the fetcher), `begin` by any (fetcher and starter; `_lock` guards `_begun`),
    `rates` by another one (the census), whose own `_looks` are.
    """

    def __init__(self) -> None:
        self.claimed = 0
        self._begun: dict[str, int] = {}
        self._lock = threading.Lock()
        self._looks: _Looks[int] = _Looks()

    def claim(self, jobs: int) -> None:
        """Note that so many were claimed."""
        self.claimed += jobs

    def begin(self, jobs: Iterable[Held]) -> None:
        """Note that these were begun."""
        with self._lock:
            for held in jobs:
                self._begun[held.type] = self._begun.get(held.type, 0) + 1

    @property
    def begun(self) -> int:
        """How many attempts were begun, of all types. Threads: any."""
        with self._lock:
            return sum(self._begun.values())

    def rates(self) -> dict[str, float]:
        """Return how many of each type were begun per second, over the last minute or since an earlier call."""
        with self._lock:
            sums = self._begun.copy()
        before, seconds = self._looks.look(sums)
        return {type: (sums[type] - before.get(type, 0)) / seconds for type in sums}
