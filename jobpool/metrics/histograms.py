"""Histograms that cost a tenth of the library's to observe.

A pool observes four of them per job, and at its rate those of the library
were a twentieth of all it does. Here an observation is appended to a list;
a scrape, or the thousandth, sorts what is there into the buckets.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

#: Observations that wait to be sorted.
WAITING = 1000


class Observations:
    """What was observed under one set of labels.

    Threads: any. `_waiting` is appended to by all; `_lock` guards the rest, and
    bears a signal handler on top of the thread that holds it.
    """

    __slots__ = ("_bounds", "_counts", "_lock", "_sum", "_waiting")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._waiting: deque[float] = deque()
        self._lock = threading.RLock()

    def observe(self, amount: float) -> None:
        """Count one observation."""
        waiting = self._waiting
        waiting.append(amount)
        if len(waiting) > WAITING and self._lock.acquire(blocking=False):  # else somebody sorts already
            try:
                self._sort()
            finally:
                self._lock.release()

    def _sort(self) -> None:
        """Put what waits into its buckets: into the first whose bound is not below it."""
        waiting, counts, bounds = self._waiting, self._counts, self._bounds
        for _ in range(len(waiting)):
            try:
                amount = waiting.popleft()
            except IndexError:  # a signal handler sorted in between
                return
            counts[bisect_left(bounds, amount)] += 1
            self._sum += amount

    def now(self) -> tuple[list[int], float]:
        """Return how many were at or below each bound, infinity included, and the sum of all."""
        with self._lock:
            self._sort()
            return list(accumulate(self._counts)), self._sum


class Histogram(Collector):
    """One family.

    Threads: any. `_children` only grows, by one atomic `setdefault` each. There is no lock: a
    signal handler that stops a pool on top of the thread that holds it would wait for threads
    that wait for it.
    """

    def __init__(self, name: str, help: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._help, self._labels = name, help, labels
        self._bounds = tuple(map(float, bounds))
        self._les = [_le(bound) for bound in (*self._bounds, math.inf)]
        self._children: dict[tuple[str, ...], Observations] = {}

    def labels(self, *values: str) -> Observations:
        """Return the child of these label values; it is shown from now on."""
        return self._children.setdefault(values, Observations(self._bounds))

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Return the family without samples, as a registry asks for at registration."""
        return [HistogramMetricFamily(self._name, self._help, labels=self._labels)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the family as it is now."""
        (family,) = self.describe()
        for values, child in self._children.copy().items():
            counts, total = child.now()
            family.add_metric(values, list(zip(self._les, counts, strict=True)), total)
        return [family]


def _le(bound: float) -> str:
    text: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
    return text
