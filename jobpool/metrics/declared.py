"""The families that are declared once and counted on: those of jobs, of pools, and of the store."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from .families import Families


class JobFamilies:
    """By type of job."""

    def __init__(self, new: Families) -> None:
        self.created = new.counter(
            "jobpool_jobs_created_total",
            "Creates by result. Many duplicates: producers repeat themselves. Errors: see the producer's log. "
            "Full, dropped: max_pending of the type is reached, its pools are too slow.",
            "type",
            "result",
        )
        self.firings = new.counter(
            "jobpool_schedule_firings_total",
            "Due times of schedules by result. Late, missed: no pool fired them in time, look whether any ran "
            "then. Skipped: the job of the one before had not ended.",
            "type",
            "result",
        )
        self.attempts = new.counter(
            "jobpool_attempts_total",
            "Attempts by outcome. Look at jobpool_job_errors_total for failed, at the heartbeat for lost.",
            "type",
            "outcome",
        )
        self.errors = new.counter(
            "jobpool_job_errors_total",
            "Failed attempts by exception class. The traceback is stored with the job.",
            "type",
            "error",
        )
        self.duration = new.histogram(
            "jobpool_job_duration_seconds",
            "Run time of executors. A long tail needs more threads or shorter jobs.",
            "type",
        )
        self.wait = new.histogram(
            "jobpool_job_wait_seconds",
            "From due to started, deliberate delay excluded. High: too few threads or pools for the backlog.",
            "type",
        )
        self.turnaround = new.histogram(
            "jobpool_job_turnaround_seconds",
            "From first due to the recorded end, retries included. Far above wait and duration: attempts fail.",
            "type",
        )
        self.reaped_jobs = new.counter(
            "jobpool_jobs_reaped_total",
            "Jobs taken back from pools that died or were cut off. Not 0: look for killed workers.",
            "type",
            "result",
        )


class PoolFamilies:
    """By pool."""

    def __init__(self, new: Families) -> None:
        self.claims = new.counter(
            "jobpool_claims_total",
            "Claim calls by result. Mostly contended: too many pools with small batches.",
            "pool",
            "result",
        )
        self.jobs_claimed = new.counter("jobpool_jobs_claimed_total", "Jobs claimed by this pool.", "pool")
        self.conflicts = new.counter(
            "jobpool_claim_conflicts_total",
            "Candidates that another pool got first. Over a tenth of the claimed jobs: use the window strategy.",
            "pool",
        )
        self.window = new.gauge(
            "jobpool_claim_window_factor",
            "How many batches wide the claim looks, 1 when alone. At 64 the pools fight: use larger batches.",
            "pool",
        )
        self.batch = new.histogram("jobpool_claim_batch_jobs", "Jobs won per claim call that won any.", "pool")
        self.wakeups = new.counter(
            "jobpool_wakeups_total",
            "What ended the fetcher's wait: push, local, poll. missed counts jobs that push failed to announce.",
            "pool",
            "source",
        )
        self.last_poll = new.gauge(
            "jobpool_fetcher_last_poll_timestamp_seconds",
            "When a claim call last got an answer. Old: the pool is deaf, look at its store errors.",
            "pool",
        )
        self.blocked = new.counter(
            "jobpool_fetcher_blocked_seconds_total",
            "Time the fetcher waited for room in the queue. Near 1 per second: all threads are busy.",
            "pool",
        )
        self.queue_wait = new.histogram(
            "jobpool_queue_wait_seconds",
            "From claimed to started; it eats lease time. Near the lease: lower queue_size.",
            "pool",
        )
        self.extensions = new.counter(
            "jobpool_lease_extensions_total",
            "Leases by the answer to their heartbeat. Errors: the store is slow or away.",
            "pool",
            "result",
        )
        self.lost = new.counter(
            "jobpool_leases_lost_total",
            "Claims lost by this pool. Not 0: it was paused, starved or cut off for longer than the lease.",
            "pool",
            "stage",
        )
        self.released_jobs = new.counter(
            "jobpool_jobs_released_total",
            "Claims given back unstarted. Not 0 in a quiet system: stops, or jobs that wait behind slow ones.",
            "pool",
        )


class StoreFamilies:
    """By operation of the store, and by component."""

    def __init__(self, new: Families) -> None:
        self.seconds = new.histogram(
            "jobpool_store_operation_seconds",
            "Duration of store operations. All slow: MongoDB or the network; one slow: its plan.",
            "operation",
        )
        self.errors = new.counter(
            "jobpool_store_errors_total",
            "Store operations that ended in an error. jobpool repeats them; look at MongoDB.",
            "operation",
            "error",
        )
        self.internal = new.counter(
            "jobpool_internal_errors_total",
            "Unforeseen errors that a thread survived. Not 0: please report the logged traceback.",
            "component",
        )


def pool_gauges(registry: CollectorRegistry) -> dict[str, Gauge]:
    """Declare what is read off a pool when scraped; by its name in `observer.PoolGauges`."""

    def gauge(name: str, help: str) -> Gauge:
        return Gauge(name, help, ["pool"], registry=registry)

    return {
        "threads": gauge("jobpool_threads", "Worker threads of the pool."),
        "busy": gauge("jobpool_threads_busy", "Worker threads that run an executor. All, for long: add some."),
        "queued": gauge("jobpool_queue_jobs", "Jobs claimed and waiting for a thread."),
        "queue_capacity": gauge("jobpool_queue_capacity_jobs", "The bound of the queue."),
        "longest_running": gauge(
            "jobpool_longest_running_job_seconds",
            "Run time of the longest running executor, 0 when idle. Growing without end: it hangs.",
        ),
        "stuck": gauge(
            "jobpool_threads_stuck",
            "Executors that run for longer than their limit. Not 0: read the stack in the log or the job.",
        ),
    }
