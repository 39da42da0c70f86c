"""Prometheus metrics: the only package that knows the metrics library.

A new metric is declared in `declared`, observed here in the method of its event
(`observer.Observer` is the vocabulary), and has a row in README.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Info
from prometheus_client.exposition import choose_encoder

from ..backlog import Backlog
from ..errors import InvalidConfiguration
from ..installed import version
from ..observer import Observer, PoolGauges
from .buckets import Buckets, buckets_of
from .cluster import ClusterView
from .declared import JobFamilies, PoolFamilies, StoreFamilies, pool_gauges
from .families import BusySeconds, Families
from .quantiles import quantiles

#: Labels stay few: types beyond these, and error classes beyond these per type, share one child.
MAX_TYPES = 100
MAX_ERRORS = 20
OTHER = "_other"

#: Late is what was fired over a minute after its time, skipped what was not as the job before had not ended,
#: missed what was not as it was too late.
FIRINGS = ("fired", "late", "skipped", "missed")
OUTCOMES = ("succeeded", "retried", "failed", "timed_out", "snoozed", "cancelled", "lost")

Registry = CollectorRegistry


class Metrics(Observer):
    """The metric families of jobpool on one registry.

    Managers that use the same registry share one object (`Metrics.on`),
    because a registry refuses the same name twice.

    Threads: any. `_lock` guards what is known of pools. The label sets only grow, without
    a lock: a signal handler that stops a pool on top of the thread that holds it would wait
    for threads that wait for it. Several at once may pass a limit by one each. Children are
    cached, because finding one costs more than counting on it.
    """

    def __init__(self, registry: CollectorRegistry, buckets: Buckets | None = None) -> None:
        self.registry = registry
        self.buckets = buckets_of(buckets)
        self._lock = threading.RLock()  # a signal handler may create a job on top of the thread that holds it
        self._types: set[str] = set()
        self._errors: dict[str, set[str]] = {}
        self._pools: dict[str, list[Callable[[], PoolGauges]]] = {}
        self._ended: dict[str, float] = {}
        families = Families(registry, self.buckets)
        self.jobs = JobFamilies(families)
        self.pools = PoolFamilies(families)
        self.store = StoreFamilies(families)
        self._gauges = pool_gauges(registry)
        registry.register(BusySeconds(self._busy_seconds))
        Info("jobpool_build", "The installed version.", registry=registry).info({"version": version()})
        self._cluster = ClusterView(self._type)
        registry.register(self._cluster)

    @classmethod
    def on(cls, registry: Registry | None, buckets: Buckets | None = None) -> Metrics:
        """Return the one object for `registry`; for None, one on a new registry.

        Raises:
            InvalidConfiguration: The buckets cannot be used, or the registry has others already.
        """
        if registry is None:
            return cls(CollectorRegistry(), buckets)
        with _registries_lock:
            if registry not in _registries:
                _registries[registry] = cls(registry, buckets)
            metrics = _registries[registry]
        if buckets is not None and buckets_of(buckets) != metrics.buckets:
            raise InvalidConfiguration("the metrics on this registry were made with other buckets")
        return metrics

    # --- events ---------------------------------------------------------------------------

    def jobs_created(self, type: str, result: str, jobs: int) -> None:
        """Count creates."""
        self.jobs.created(self._type(type), result).inc(jobs)

    def schedule_fired(self, type: str, result: str) -> None:
        """Count a due time."""
        self.jobs.firings(self._type(type), result).inc()

    def store_operation(self, operation: str, seconds: float, error: str | None) -> None:
        """Time a store operation and count its error."""
        self.store.seconds(operation).observe(seconds)
        if error is not None:
            self.store.errors(operation, error).inc()

    def claimed(self, pool: str, result: str, won: int, conflicts: int, factor: int) -> None:
        """Count a claim call."""
        self.pools.claims(pool, result).inc()
        self.pools.window(pool).set(factor)
        if result != "error":
            self.pools.last_poll(pool).set_to_current_time()
        if won:
            self.pools.jobs_claimed(pool).inc(won)
            self.pools.batch(pool).observe(won)
        if conflicts:
            self.pools.conflicts(pool).inc(conflicts)

    def woken(self, pool: str, source: str, missed: int) -> None:
        """Count what ended a wait."""
        self.pools.wakeups(pool, source).inc()
        if missed:
            self.pools.wakeups(pool, "missed").inc(missed)

    def rested(self, pool: str) -> None:
        """Show that the fetcher is not deaf."""
        self.pools.last_poll(pool).set_to_current_time()

    def fetcher_blocked(self, pool: str, seconds: float) -> None:
        """Add up the time without room."""
        self.pools.blocked(pool).inc(seconds)

    def started(self, pool: str, type: str, wait: float, queue_wait: float) -> None:
        """Observe how long a job waited."""
        self.jobs.wait(self._type(type)).observe(wait)
        self.pools.queue_wait(pool).observe(queue_wait)

    def finished(self, type: str, outcome: str, duration: float, error: str | None) -> None:
        """Count an attempt and its error."""
        label = self._type(type)
        self.jobs.attempts(label, outcome).inc()
        self.jobs.duration(label).observe(duration)
        if error is not None:
            self.jobs.errors(label, self._error(label, error)).inc()

    def completed(self, type: str, turnaround: float) -> None:
        """Observe how long a job took in all."""
        self.jobs.turnaround(self._type(type)).observe(turnaround)

    def leases_extended(self, pool: str, result: str, jobs: int) -> None:
        """Count leases by the heartbeat's answer."""
        self.pools.extensions(pool, result).inc(jobs)

    def leases_lost(self, pool: str, stage: str, jobs: int) -> None:
        """Count lost claims."""
        self.pools.lost(pool, stage).inc(jobs)

    def released(self, pool: str, jobs: int) -> None:
        """Count claims given back."""
        self.pools.released_jobs(pool).inc(jobs)

    def reaped(self, type: str, result: str, jobs: int) -> None:
        """Count jobs taken back."""
        self.jobs.reaped_jobs(self._type(type), result).inc(jobs)

    def backlog_counted(self, source: str, backlog: Backlog, types: tuple[str, ...]) -> None:
        """Show the cluster view."""
        self._cluster.counted(source, backlog, types)

    def backlog_ended(self, source: str) -> None:
        """Show a view no more that nobody here keeps up: old numbers would be taken for new ones."""
        with self._lock:
            pools = any(self._pools.values())
        if not pools:
            self._cluster.forget(source)

    def internal_error(self, component: str) -> None:
        """Count an unforeseen error."""
        self.store.internal(component).inc()

    def pool_started(self, pool: str, types: tuple[str, ...], gauges: Callable[[], PoolGauges]) -> None:
        """Show the pool's gauges, and its counters and those of its types from 0 on: a first event is a rise."""
        with self._lock:
            self._pools.setdefault(pool, []).append(gauges)
        for name, gauge in self._gauges.items():
            gauge.labels(pool).set_function(partial(self._sum, pool, name))
        self.types_added(types)
        for result in ("full", "partial", "empty", "contended", "error"):
            self.pools.claims(pool, result)
        for source in ("push", "local", "poll", "missed"):
            self.pools.wakeups(pool, source)
        for result in ("extended", "lost", "error"):
            self.pools.extensions(pool, result)
        for stage in ("queued", "running", "finishing"):
            self.pools.lost(pool, stage)
        for family in (
            self.pools.jobs_claimed,
            self.pools.released_jobs,
            self.pools.conflicts,
            self.pools.blocked,
        ):
            family(pool)

    def types_added(self, types: tuple[str, ...]) -> None:
        """Show the counters of these types from 0 on."""
        for type in map(self._type, types):
            for outcome in OUTCOMES:
                self.jobs.attempts(type, outcome)
            for result in ("requeued", "failed", "cancelled"):
                self.jobs.reaped_jobs(type, result)

    def pool_stopped(self, pool: str, gauges: Callable[[], PoolGauges]) -> None:
        """Show the pool no more; what it counted stays."""
        with self._lock:
            if gauges in self._pools.get(pool, ()):
                self._pools[pool].remove(gauges)
                self._ended[pool] = self._ended.get(pool, 0.0) + gauges().busy_seconds

    # --- output ---------------------------------------------------------------------------

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body of a scrape whose ``Accept`` header is `accept`."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self.registry)

    # --- labels ---------------------------------------------------------------------------

    def _type(self, type: str) -> str:
        if type in self._types:
            return type
        if len(self._types) >= MAX_TYPES:
            return OTHER
        self._types.add(type)
        return type

    def _error(self, type: str, error: str) -> str:
        known = self._errors.setdefault(type, set())
        if error not in known and len(known) >= MAX_ERRORS:
            return OTHER
        known.add(error)
        return error

    def _sum(self, pool: str, name: str) -> float:
        with self._lock:
            sources = list(self._pools.get(pool, ()))
        values = [getattr(source(), name) for source in sources]
        return max(values, default=0) if name == "longest_running" else sum(values)

    def _busy_seconds(self) -> dict[str, float]:
        """Return the thread time by pool; what pools counted that are gone stays, a counter must not fall."""
        with self._lock:  # both at once, or a pool that stops in between would count twice
            pools = {name: list(sources) for name, sources in self._pools.items()}
            ended = dict(self._ended)
        return {
            name: ended.get(name, 0.0) + sum(source().busy_seconds for source in sources)
            for name, sources in pools.items()
        }


#: A registry given by name lives as long as the process, and its metrics with it.
_registries: dict[CollectorRegistry, Metrics] = {}
_registries_lock = threading.RLock()


def _unlock() -> None:
    """Renew the locks in a forked child: other threads of the parent may have held them."""
    global _registries_lock
    _registries_lock = threading.RLock()
    for metrics in _registries.values():
        metrics._lock = threading.RLock()


os.register_at_fork(after_in_child=_unlock)


__all__ = ["MAX_ERRORS", "MAX_TYPES", "OTHER", "Buckets", "Metrics", "Registry", "quantiles"]
