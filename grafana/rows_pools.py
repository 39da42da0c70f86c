"""The rows of the overview about pools: how busy they are, how they share the work, and their store."""

from __future__ import annotations

from .dashboard import Row, even, row
from .panels import Json, Query, timeseries
from .queries import (
    CLUSTER,
    INSTANCES,
    POOLS,
    TYPES,
    candidates_lost,
    mean,
    quantile,
    rate,
    saturation,
    silence,
    sum_rate,
)


def saturated() -> Row:
    """Return the row on whether there is enough to do, and enough to do it with."""
    return row(
        "Saturation",
        even(8, _busy(), _threads(), _queues()),
        even(8, _blocked(), _silences(), _wakeups()),
        even(8, _longest(), _stuck()),
    )


def _busy() -> Json:
    return timeseries(
        "Threads busy by pool",
        "Share of thread time in executors, exact and not sampled. At 100 % with jobs due: saturated. Near 0 "
        "with jobs due: starved.",
        "percentunit",
        Query(saturation("pool"), "{{pool}}"),
        limits=(0.95,),
    )


def _threads() -> Json:
    return timeseries(
        "Threads",
        "Size of the pools, and how many threads run an executor at the instant of the scrape. The size falls: a "
        "process is gone.",
        "short",
        Query(f"sum by (pool) (jobpool_threads{{{POOLS}}})", "{{pool}} size"),
        Query(f"sum by (pool) (jobpool_threads_busy{{{POOLS}}})", "{{pool}} busy"),
    )


def _queues() -> Json:
    return timeseries(
        "Jobs in the pools' queues",
        "Claimed and waiting for a thread, and the bound. Full for long: jobs wait here while other pools may be "
        "idle; lower queue_size, or add threads.",
        "short",
        Query(f"sum by (pool) (jobpool_queue_jobs{{{POOLS}}})", "{{pool}} queued"),
        Query(f"sum by (pool) (jobpool_queue_capacity_jobs{{{POOLS}}})", "{{pool}} bound"),
    )


def _blocked() -> Json:
    return timeseries(
        "Fetcher without room",
        "Share of time in which the fetcher could not claim for want of room, or for want of a confirmed "
        "heartbeat. Near 100 % with busy threads: saturated. Near 100 % with idle threads: the store does not "
        "answer heartbeats.",
        "percentunit",
        Query(f"avg by (pool) ({rate('jobpool_fetcher_blocked_seconds_total', POOLS)})", "{{pool}}"),
    )


def _silences() -> Json:
    return timeseries(
        "Silence by pool",
        "Time since a pool had an answer to a claim. An idle pool asks at least every poll_interval (1 s); one "
        "whose threads are all busy does not ask. A straight line upwards with idle threads: up but deaf. Look "
        "at its log, at Store, then restart it.",
        "s",
        Query(silence(), "{{pool}} {{instance}}"),
        limits=(30, 60),
    )


def _wakeups() -> Json:
    return timeseries(
        "What wakes the fetchers",
        "What ended their waits for news. Only poll: push does not work (a standalone server, or a dead change "
        "stream), and jobs start up to poll_interval late. missed: jobs that push should have announced.",
        "ops",
        Query(sum_rate("jobpool_wakeups_total", POOLS, "source"), "{{source}}"),
        stack=True,
    )


def _longest() -> Json:
    return timeseries(
        "Longest running job by pool",
        "Run time of the executor that runs for longest. A straight line upwards, far beyond the usual run time: "
        "it hangs.",
        "s",
        Query(
            f"max by (pool, instance) (jobpool_longest_running_job_seconds{{{POOLS}}})", "{{pool}} {{instance}}"
        ),
    )


def _stuck() -> Json:
    return timeseries(
        "Executors stuck by pool",
        "Executors that run for longer than they may. The stack of each is in the log and stored with its job.",
        "short",
        Query(f"sum by (pool, instance) (jobpool_threads_stuck{{{POOLS}}})", "{{pool}} {{instance}}"),
    )


def contention() -> Row:
    """Return the row on how pools share the work, and what they lose."""
    return row(
        "Contention and leases",
        even(8, _claimed(), _lost_candidates(), _claims(), _window()),
        even(8, _extensions(), _leases_lost(), _reaped(), _released()),
    )


def _claimed() -> Json:
    return timeseries(
        "Jobs claimed by pool",
        "Who gets the work. One pool far behind others of its kind: look at its silence and its saturation.",
        "ops",
        Query(sum_rate("jobpool_jobs_claimed_total", POOLS, "pool"), "{{pool}}"),
    )


def _lost_candidates() -> Json:
    return timeseries(
        "Candidates lost by pool",
        "Share of the jobs read in claims that another pool took first: wasted work, not an error. Over a tenth: "
        "use the window strategy, larger batches, or fewer pools with more threads.",
        "percentunit",
        Query(candidates_lost("pool"), "{{pool}}"),
        limits=(0.1, 0.3),
    )


def _claims() -> Json:
    return timeseries(
        "Claim calls by result",
        "Full and partial took jobs, empty found none, contended lost all it found, error had no answer. Mostly "
        "contended: pools fight. Errors: look at Store.",
        "ops",
        Query(sum_rate("jobpool_claims_total", POOLS, "result"), "{{result}}"),
        stack=True,
    )


def _window() -> Json:
    return timeseries(
        "Claim window and batch",
        "How many batches wide the claim looks (1 when alone; at 64 the pools fight), and how many jobs a call "
        "wins. A wide window with small batches: raise batch_size.",
        "short",
        Query(f"max by (pool) (jobpool_claim_window_factor{{{POOLS}}})", "{{pool}} window"),
        Query(mean("jobpool_claim_batch_jobs", POOLS, "pool"), "{{pool}} batch"),
    )


def _extensions() -> Json:
    return timeseries(
        "Leases by the heartbeat's answer",
        "Leases extended per second, lost, or without an answer. Errors for longer than a third of the lease: "
        "the pool stops starting jobs; look at Store.",
        "ops",
        Query(sum_rate("jobpool_lease_extensions_total", POOLS, "result"), "{{result}}"),
    )


def _leases_lost() -> Json:
    return timeseries(
        "Leases lost",
        "Claims that a pool lost, by the stage at which it learned so. Not 0: the process was paused, starved of "
        "CPU or cut off for longer than the lease. What ran may run again elsewhere.",
        "ops",
        Query(sum_rate("jobpool_leases_lost_total", POOLS, "pool, stage"), "{{pool}} {{stage}}"),
    )


def _reaped() -> Json:
    return timeseries(
        "Jobs taken back",
        "Jobs of pools that died or were cut off, by what became of them. Not 0: look for killed workers (out of "
        "memory, a deploy that does not wait for the drain).",
        "ops",
        Query(sum_rate("jobpool_jobs_reaped_total", TYPES, "type, result"), "{{type}} {{result}}"),
    )


def _released() -> Json:
    return timeseries(
        "Jobs given back unstarted",
        "Claims returned without a start, no attempt spent. Normal at stops; in a quiet system jobs wait behind "
        "slow ones: lower queue_size or part slow types from fast ones.",
        "ops",
        Query(sum_rate("jobpool_jobs_released_total", POOLS, "pool"), "{{pool}}"),
    )


def store() -> Row:
    """Return the row on what MongoDB is asked and how it answers."""
    return row(
        "Store",
        even(8, _operations(), _operation_times(), _store_errors()),
        even(8, _view(), _internal_errors(), _creates(), _versions()),
    )


def _operations() -> Json:
    return timeseries(
        "Store operations",
        "Calls to MongoDB per second. Calls carry many jobs each, so they grow more slowly than the jobs.",
        "ops",
        Query(sum_rate("jobpool_store_operation_seconds_count", INSTANCES, "operation"), "{{operation}}"),
        stack=True,
    )


def _operation_times() -> Json:
    return timeseries(
        "Store operations, 95 %",
        "How long MongoDB takes. All slow: the server, its disk or the network. One slow: its plan; look whether "
        "the indexes are there.",
        "s",
        Query(quantile(0.95, "jobpool_store_operation_seconds", INSTANCES, "operation"), "{{operation}}"),
    )


def _store_errors() -> Json:
    return timeseries(
        "Store errors",
        "Calls without a good answer, by kind. jobpool repeats them, so nothing is lost; while they last little "
        "gets done. timeout, network and not_primary pass with an outage or an election; others: see the log.",
        "ops",
        Query(sum_rate("jobpool_store_errors_total", INSTANCES, "operation, error"), "{{operation}}: {{error}}"),
    )


def _view() -> Json:
    refreshed = f"max(jobpool_backlog_last_refresh_timestamp_seconds{{{CLUSTER}}})"
    return timeseries(
        "Cluster view",
        "Age of the counts of the backlog, and what one count takes. Old: backlog, oldest due job and pools "
        "alive are not true any more; the store is slow or away.",
        "s",
        Query(f"time() - {refreshed}", "age"),
        Query(f"max(jobpool_backlog_refresh_seconds{{{CLUSTER}}})", "cost"),
    )


def _internal_errors() -> Json:
    return timeseries(
        "Internal errors",
        "Errors that nobody foresaw and that a thread survived. Not 0: please report the logged traceback.",
        "ops",
        Query(
            f"{sum_rate('jobpool_internal_errors_total', INSTANCES, 'component')} or vector(0)",
            "{{component}}",
        ),
    )


def _creates() -> Json:
    return timeseries(
        "Creates by result",
        "Inserted and revived are new work. Duplicates: producers repeat themselves. Errors: the producer was "
        "told, see its log.",
        "ops",
        Query(sum_rate("jobpool_jobs_created_total", TYPES, "result"), "{{result}}"),
    )


def _versions() -> Json:
    return timeseries(
        "Versions",
        "Processes by installed version. Two for long: a deploy that did not finish.",
        "short",
        Query(f"count by (version) (jobpool_build_info{{{INSTANCES}}})", "{{version}}"),
        stack=True,
    )
