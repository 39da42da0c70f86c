"""How families are declared: buckets, cached children, and the one that is read when scraped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

#: Seconds. Executors take from milliseconds to an hour.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
#: Seconds. A job may wait for a day and more when nobody runs its type.
WAIT_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 7.5, 10, 15, 20, 30, 60, 120),
    *(300, 900, 1800, 7200, 21600, 86400),
)
#: Seconds. From a fast read on the same machine to the time limit of a call.
STORE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)

_Metric = TypeVar("_Metric", bound=MetricWrapperBase)


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


def cached(
    kind: type[_Metric],
    name: str,
    help: str,
    labels: list[str],
    registry: CollectorRegistry,
    buckets: tuple[float, ...] | None = None,
) -> Callable[..., _Metric]:
    """Declare a family and return the function that gives its child for label values, made once."""
    options: dict[str, Any] = {} if buckets is None else {"buckets": buckets}
    return cache(kind(name, help, labels, registry=registry, **options).labels)
