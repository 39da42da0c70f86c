"""How fast jobs run here, and so how many may be taken ahead of their turn."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from ..capacity import OVERHEAD

#: Weight of the newest duration: about the last ten jobs of a type count.
SMOOTHING = 0.1


class Pace:
    """Smoothed durations, by type and over all.

    A type not seen yet counts as slow: of it, only what fits the free threads
    is taken. So a pool of many short jobs works from a deep queue, and one of
    long jobs takes a job when it can run it.

    Threads: `observe` by one thread (the recorder); `resize` and reading from any.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._by_type: dict[str, float] = {}
        self._mean: float | None = None

    def resize(self, threads: int) -> None:
        """Count with so many threads from now on."""
        self._threads = threads

    def observe(self, type: str, seconds: float) -> None:
        """Take note that an executor of `type` ran for `seconds`."""
        known = self._by_type.get(type)
        self._by_type[type] = seconds if known is None else known + SMOOTHING * (seconds - known)
        self._mean = seconds if self._mean is None else self._mean + SMOOTHING * (seconds - self._mean)

    def cost(self, type: str) -> float | None:
        """Return the expected seconds until the pool is through with one more job of `type`; None if unknown."""
        known = self._by_type.get(type)
        return None if known is None else max(known / self._threads, OVERHEAD)

    def ahead_of_all(self, types: Iterable[str], seconds: float) -> int:
        """Return how many jobs the pool runs in `seconds` if all are of the slowest of `types`; 0 if unknown."""
        slowest = max((self._by_type.get(type, inf) for type in types), default=inf)
        return int(seconds / max(slowest / self._threads, OVERHEAD))

    def ahead(self, seconds: float) -> int:
        """Return how many jobs, of the kinds seen lately, the pool runs in `seconds`."""
        return 0 if self._mean is None else int(seconds / max(self._mean / self._threads, OVERHEAD))
