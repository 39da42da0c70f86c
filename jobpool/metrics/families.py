"""How families are declared: with cached children, and the one that is read when scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from .buckets import Buckets
from .histograms import Histogram, Observations


class BusySeconds(Collector):
    """`jobpool_threads_busy_seconds_total`, read from the threads when scraped: nothing is counted per job."""

    NAME = "jobpool_threads_busy_seconds"
    HELP = "Thread time spent in executors. Its rate over jobpool_threads is the saturation."

    def __init__(self, by_pool: Callable[[], Mapping[str, float]]) -> None:
        self._by_pool = by_pool

    def describe(self) -> Iterable[CounterMetricFamily]:
        """Return the family without samples, as a registry asks for at registration."""
        return [CounterMetricFamily(self.NAME, self.HELP, labels=["pool"])]

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Return the family as it is now."""
        family = CounterMetricFamily(self.NAME, self.HELP, labels=["pool"])
        for pool, seconds in sorted(self._by_pool().items()):
            family.add_metric([pool], seconds)
        return [family]


class Families:
    """Declares families on a registry.

    Each comes back as the function that gives the child for label values; it makes a child once.
    """

    def __init__(self, registry: CollectorRegistry, buckets: Buckets) -> None:
        self._registry = registry
        self._buckets = buckets

    def counter(self, name: str, help: str, *labels: str) -> Callable[..., Counter]:
        """Declare what only rises."""
        return cache(Counter(name, help, labels, registry=self._registry).labels)

    def gauge(self, name: str, help: str, *labels: str) -> Callable[..., Gauge]:
        """Declare what rises and falls."""
        return cache(Gauge(name, help, labels, registry=self._registry).labels)

    def histogram(self, name: str, help: str, *labels: str) -> Callable[..., Observations]:
        """Declare what is counted into buckets, those chosen for its name."""
        family = Histogram(name, help, labels, self._buckets[name])
        self._registry.register(family)
        return cache(family.labels)
