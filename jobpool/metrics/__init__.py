"""Prometheus metrics: the only package that knows the metrics library.

A new metric is declared in `Metrics.__init__`, observed in the method of its
event (`observer.Observer` is the vocabulary), and has a row in README.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder

from ..observer import Observer, PoolGauges
from .families import BATCH_BUCKETS, DURATION_BUCKETS, STORE_BUCKETS, WAIT_BUCKETS, BusySeconds, cached
from .quantiles import quantiles

#: Labels stay few: types beyond these, and error classes beyond these per type, share one child.
MAX_TYPES = 100
MAX_ERRORS = 20
OTHER = "_other"

Registry = CollectorRegistry


class Metrics(Observer):
    """The metric families of jobpool on one registry.

    Managers that use the same registry share one object (`Metrics.on`),
    because a registry refuses the same name twice.

    Threads: any. `_lock` guards the label sets and what is known of pools; children
    are cached, because finding one costs more than counting on it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._lock = threading.Lock()
        self._types: set[str] = set()
        self._errors: dict[str, set[str]] = {}
        self._pools: dict[str, list[Callable[[], PoolGauges]]] = {}
        self._ended: dict[str, float] = {}
        self._declare_jobs(registry)
        self._declare_pools(registry)
        self._declare_store(registry)

    @classmethod
    def on(cls, registry: Registry | None) -> Metrics:
        """Return the one object for `registry`; for None, one on a new registry."""
        if registry is None:
            return cls(CollectorRegistry())
        with _registries_lock:
            if registry not in _registries:
                _registries[registry] = cls(registry)
            return _registries[registry]

    def _declare_jobs(self, registry: CollectorRegistry) -> None:
        self.created = cached(
            Counter,
            "jobpool_jobs_created_total",
            "Creates by result. Many duplicates: producers repeat themselves. Errors: see the producer's log.",
            ["type", "result"],
            registry,
        )
        self.attempts = cached(
            Counter,
            "jobpool_attempts_total",
            "Attempts by outcome. Look at jobpool_job_errors_total for what failed, at the heartbeat for lost.",
            ["type", "outcome"],
            registry,
        )
        self.errors = cached(
            Counter,
            "jobpool_job_errors_total",
            "Failed attempts by exception class. The traceback is stored with the job.",
            ["type", "error"],
            registry,
        )
        self.duration = cached(
            Histogram,
            "jobpool_job_duration_seconds",
            "Run time of executors. A long tail needs more threads or shorter jobs.",
            ["type"],
            registry,
            DURATION_BUCKETS,
        )
        self.wait = cached(
            Histogram,
            "jobpool_job_wait_seconds",
            "From due to started, deliberate delay excluded. High: too few threads or pools for the backlog.",
            ["type"],
            registry,
            WAIT_BUCKETS,
        )
        self.reaped_jobs = cached(
            Counter,
            "jobpool_jobs_reaped_total",
            "Jobs taken back from pools that died or were cut off. Not 0: look for killed workers.",
            ["type", "result"],
            registry,
        )

    def _declare_pools(self, registry: CollectorRegistry) -> None:
        pool = ["pool"]
        self.claims = cached(
            Counter,
            "jobpool_claims_total",
            "Claim calls by result. Mostly contended: too many pools with small batches.",
            ["pool", "result"],
            registry,
        )
        self.jobs_claimed = cached(
            Counter, "jobpool_jobs_claimed_total", "Jobs claimed by this pool.", pool, registry
        )
        self.conflicts = cached(
            Counter,
            "jobpool_claim_conflicts_total",
            "Candidates that another pool got first. Over a tenth of the claimed jobs: use the window strategy.",
            pool,
            registry,
        )
        self.window = cached(
            Gauge,
            "jobpool_claim_window_factor",
            "How many batches wide the claim looks, 1 when alone. At 64 the pools fight: use larger batches.",
            pool,
            registry,
        )
        self.batch = cached(
            Histogram,
            "jobpool_claim_batch_jobs",
            "Jobs won per claim call that won any.",
            pool,
            registry,
            BATCH_BUCKETS,
        )
        self.wakeups = cached(
            Counter,
            "jobpool_wakeups_total",
            "What ended the fetcher's wait: push, local, poll. missed counts jobs that push failed to announce.",
            ["pool", "source"],
            registry,
        )
        self.last_poll = cached(
            Gauge,
            "jobpool_fetcher_last_poll_timestamp_seconds",
            "When a claim call last got an answer. Old: the pool is deaf, look at its store errors.",
            pool,
            registry,
        )
        self.blocked = cached(
            Counter,
            "jobpool_fetcher_blocked_seconds_total",
            "Time the fetcher waited for room in the queue. Near 1 per second: all threads are busy.",
            pool,
            registry,
        )
        self.queue_wait = cached(
            Histogram,
            "jobpool_queue_wait_seconds",
            "From claimed to started; it eats lease time. Near the lease: lower queue_size.",
            pool,
            registry,
            WAIT_BUCKETS,
        )
        self.extensions = cached(
            Counter,
            "jobpool_lease_extensions_total",
            "Leases by the answer to their heartbeat. Errors: the store is slow or away.",
            ["pool", "result"],
            registry,
        )
        self.lost = cached(
            Counter,
            "jobpool_leases_lost_total",
            "Claims lost by this pool. Not 0: it was paused, starved or cut off for longer than the lease.",
            ["pool", "stage"],
            registry,
        )
        self._declare_gauges(registry)

    def _declare_gauges(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, help: str) -> Gauge:
            return Gauge(name, help, ["pool"], registry=registry)

        self._gauges: dict[str, Gauge] = {
            "threads": gauge("jobpool_threads", "Worker threads of the pool."),
            "busy": gauge("jobpool_threads_busy", "Worker threads that run an executor. All, for long: add some."),
            "queued": gauge("jobpool_queue_jobs", "Jobs claimed and waiting for a thread."),
            "queue_capacity": gauge("jobpool_queue_capacity_jobs", "The bound of the queue."),
            "longest_running": gauge(
                "jobpool_longest_running_job_seconds",
                "Run time of the longest running executor, 0 when idle. Growing without end: it hangs.",
            ),
        }
        registry.register(BusySeconds(self._busy_seconds))

    def _declare_store(self, registry: CollectorRegistry) -> None:
        self.store_seconds = cached(
            Histogram,
            "jobpool_store_operation_seconds",
            "Duration of store operations. All slow: MongoDB or the network; one slow: its plan.",
            ["operation"],
            registry,
            STORE_BUCKETS,
        )
        self.store_errors = cached(
            Counter,
            "jobpool_store_errors_total",
            "Store operations that ended in an error. jobpool repeats them; look at MongoDB.",
            ["operation", "error"],
            registry,
        )
        self.internal = cached(
            Counter,
            "jobpool_internal_errors_total",
            "Unforeseen errors that a thread survived. Not 0: please report the logged traceback.",
            ["component"],
            registry,
        )
        Info("jobpool_build", "The installed version.", registry=registry).info({"version": _version()})

    # --- events ---------------------------------------------------------------------------

    def jobs_created(self, type: str, result: str, jobs: int) -> None:
        """Count creates."""
        self.created(self._type(type), result).inc(jobs)

    def store_operation(self, operation: str, seconds: float, error: str | None) -> None:
        """Time a store operation and count its error."""
        self.store_seconds(operation).observe(seconds)
        if error is not None:
            self.store_errors(operation, error).inc()

    def claimed(self, pool: str, result: str, won: int, conflicts: int, factor: int) -> None:
        """Count a claim call."""
        self.claims(pool, result).inc()
        self.window(pool).set(factor)
        if result != "error":
            self.last_poll(pool).set_to_current_time()
        if won:
            self.jobs_claimed(pool).inc(won)
            self.batch(pool).observe(won)
        if conflicts:
            self.conflicts(pool).inc(conflicts)

    def woken(self, pool: str, source: str, missed: int) -> None:
        """Count what ended a wait."""
        self.wakeups(pool, source).inc()
        if missed:
            self.wakeups(pool, "missed").inc(missed)

    def fetcher_blocked(self, pool: str, seconds: float) -> None:
        """Add up the time without room."""
        self.blocked(pool).inc(seconds)

    def started(self, pool: str, type: str, wait: float, queue_wait: float) -> None:
        """Observe how long a job waited."""
        self.wait(self._type(type)).observe(wait)
        self.queue_wait(pool).observe(queue_wait)

    def finished(self, type: str, outcome: str, duration: float, error: str | None) -> None:
        """Count an attempt and its error."""
        label = self._type(type)
        self.attempts(label, outcome).inc()
        self.duration(label).observe(duration)
        if error is not None:
            self.errors(label, self._error(label, error)).inc()

    def leases_extended(self, pool: str, result: str, jobs: int) -> None:
        """Count leases by the heartbeat's answer."""
        self.extensions(pool, result).inc(jobs)

    def leases_lost(self, pool: str, stage: str, jobs: int) -> None:
        """Count lost claims."""
        self.lost(pool, stage).inc(jobs)

    def reaped(self, type: str, result: str, jobs: int) -> None:
        """Count jobs taken back."""
        self.reaped_jobs(self._type(type), result).inc(jobs)

    def internal_error(self, component: str) -> None:
        """Count an unforeseen error."""
        self.internal(component).inc()

    def pool_started(self, pool: str, gauges: Callable[[], PoolGauges]) -> None:
        """Show the pool's gauges, and its counters from 0 on, so that the first event is a rise."""
        with self._lock:
            self._pools.setdefault(pool, []).append(gauges)
        for name, gauge in self._gauges.items():
            gauge.labels(pool).set_function(partial(self._sum, pool, name))
        for result in ("full", "partial", "empty", "contended", "error"):
            self.claims(pool, result)
        for source in ("push", "local", "poll", "missed"):
            self.wakeups(pool, source)
        for result in ("extended", "lost", "error"):
            self.extensions(pool, result)
        for stage in ("queued", "running", "finishing"):
            self.lost(pool, stage)
        for family in (self.jobs_claimed, self.conflicts, self.blocked):
            family(pool)

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
        with self._lock:
            if len(self._types) >= MAX_TYPES:
                return OTHER
            self._types.add(type)
        return type

    def _error(self, type: str, error: str) -> str:
        with self._lock:
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
_registries_lock = threading.Lock()


def _version() -> str:
    try:
        return version("jobpool")
    except PackageNotFoundError:
        return "unknown"


__all__ = ["MAX_ERRORS", "MAX_TYPES", "OTHER", "Metrics", "Registry", "quantiles"]
