"""How fast the pool runs jobs, by type: what it says of itself to the others."""

from __future__ import annotations

import time
from collections import deque

from ..backlog import Rate

#: Seconds over which a rate is taken: long enough to smooth a batch, short enough to follow a change.
WINDOW = 60.0
#: A rate over less than this many seconds would be chance.
SHORTEST = 1.0

#: Attempts that ended, and seconds that their executors ran, since the pool was made.
_Sum = tuple[int, float]
_NOTHING: _Sum = (0, 0.0)


class Tally:
    """Counts attempts that ended and were recorded, and how long they ran.

    Threads: `count` by one thread (the recorder, or who flushes it after its end), `rates`
    by another one (the census). `_sums` is written by the first: values are replaced whole,
    so that the other sees both numbers of one instant. `_looks` and `_means` are the second's own.
    """

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}
        self._looks: deque[tuple[float, dict[str, _Sum]]] = deque([(time.monotonic(), {})])
        self._means: dict[str, float] = {}

    def count(self, type: str, seconds: float) -> None:
        """Note that an attempt of `type`, whose executor ran for so long, was recorded."""
        attempts, ran = self._sums.get(type, _NOTHING)
        self._sums[type] = (attempts + 1, ran + seconds)

    def rates(self) -> dict[str, Rate]:
        """Return how fast each type that ever ran here was run, over the last minute or since an earlier call."""
        now, sums = time.monotonic(), self._sums.copy()
        while len(self._looks) > 1 and self._looks[1][0] <= now - WINDOW:
            self._looks.popleft()
        since, before = self._looks[0]
        self._looks.append((now, sums))
        return {type: self._rate(type, sums[type], before.get(type, _NOTHING), now - since) for type in sums}

    def _rate(self, type: str, new: _Sum, old: _Sum, seconds: float) -> Rate:
        attempts = new[0] - old[0]
        if attempts:
            self._means[type] = (new[1] - old[1]) / attempts
        return Rate(attempts / max(seconds, SHORTEST), self._means[type])
