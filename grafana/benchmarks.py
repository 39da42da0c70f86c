"""The dashboard of a run of ``python -m benchmarks``: speed, contention, and what the store bears."""

from __future__ import annotations

from .curves import quantiles
from .dashboard import dashboard, even, row, variables
from .panels import Json, Query, heatmap, stat, timeseries
from .queries import INSTANCES, POOLS, TYPES, finished, mean, quantile, ratio, saturation, sum_rate

#: How the benchmarks name their pools.
NAMES = "bench.*"
CLAIMED = "jobpool_jobs_claimed_total"
CLAIM_TIME = f'{INSTANCES},operation="claim"'
#: A pool of each process is one for itself: that is who competes.
COMPETITORS = "instance, pool"


def _conflicts(by: str = "") -> str:
    return ratio(sum_rate("jobpool_claim_conflicts_total", POOLS, by), sum_rate(CLAIMED, POOLS, by))


def _fairness() -> str:
    rates = sum_rate(CLAIMED, POOLS, COMPETITORS)
    return ratio(f"min({rates})", f"max({rates})")


NOW = row(
    "Now",
    even(
        4,
        stat(
            "Jobs done",
            "Attempts that ended per second: the speed of the whole.",
            "ops",
            Query(finished(), "jobs"),
        ),
        stat(
            "Jobs claimed",
            "Jobs won per second, of all pools. Far above jobs done: pools claim ahead.",
            "ops",
            Query(sum_rate(CLAIMED, POOLS), "claimed"),
        ),
        stat(
            "Claim, 95 %",
            "Time of 19 of 20 claims, however many jobs they win. High for single jobs: a slow disk.",
            "s",
            Query(quantile(0.95, "jobpool_store_operation_seconds", CLAIM_TIME), "p95"),
            empty="no claims",
        ),
        stat(
            "Conflicts per job",
            "Candidates lost to another pool for each job won. Over 0.1: compare strategies and batch sizes.",
            "none",
            Query(_conflicts(), "conflicts"),
            limits=(0.1, 1),
        ),
        stat(
            "Fairness",
            "The slowest pool's claims over the fastest one's: 1 is even, 0 means that one starves. Low with "
            "equal pools: look at the window.",
            "percentunit",
            Query(_fairness(), "min / max"),
            limits=(0.5, 0.8),
            low_is_bad=True,
        ),
        stat(
            "Threads busy",
            "Share of thread time in executors. Near 0 with no-op jobs is right: the store is the limit.",
            "percentunit",
            Query(saturation(), "busy"),
        ),
    ),
)

SPEED = row(
    "Speed",
    even(
        8,
        timeseries(
            "Jobs per second",
            "Created, and ended by outcome. In a benchmark of draining nothing is created meanwhile.",
            "ops",
            Query(sum_rate("jobpool_jobs_created_total", TYPES), "created"),
            Query(finished("outcome"), "{{outcome}}"),
        ),
        timeseries(
            "Jobs claimed by pool",
            "Who gets the work. Equal pools should have equal curves.",
            "ops",
            Query(sum_rate(CLAIMED, POOLS, COMPETITORS), "{{pool}} {{instance}}"),
        ),
        timeseries(
            "Claims per second",
            "Claim calls by result. Many that are empty or contended: wasted trips.",
            "ops",
            Query(sum_rate("jobpool_claims_total", POOLS, "result"), "{{result}}"),
            stack=True,
        ),
    ),
    even(
        8,
        timeseries(
            "Claim latency",
            "How long a claim takes. The tail grows with contention; the median with the batch.",
            "s",
            *quantiles("jobpool_store_operation_seconds", CLAIM_TIME),
        ),
        timeseries(
            "Wait from due to started",
            "What one job waits. In a benchmark of draining it is the age of the backlog.",
            "s",
            *quantiles("jobpool_job_wait_seconds", TYPES),
        ),
        heatmap(
            "Spread of claim times",
            "Claims per second by how long they took; darker is more. Two bands: single and batched claims.",
            "s",
            Query(sum_rate("jobpool_store_operation_seconds_bucket", CLAIM_TIME, "le"), "{{le}}"),
        ),
    ),
)

CONTENTION = row(
    "Contention",
    even(
        8,
        timeseries(
            "Conflicts per claimed job",
            "Candidates lost to another pool for each job won. The figure to compare strategies by; high: "
            "wider windows or larger batches.",
            "none",
            Query(_conflicts("pool"), "{{pool}}"),
        ),
        timeseries(
            "Fairness",
            "The slowest pool's claims over the fastest one's. Falls far below 1 with equal pools: one starves.",
            "percentunit",
            Query(_fairness(), "min / max"),
        ),
        timeseries(
            "Window factor",
            "How many batches wide claims look: 1 when alone. At 64 for long: the pools fight.",
            "none",
            Query(f"max by ({COMPETITORS}) (jobpool_claim_window_factor{{{POOLS}}})", "{{pool}} {{instance}}"),
        ),
        timeseries(
            "Batch size",
            "Jobs won per claim that won any. Far below batch_size with a backlog: contention, or a small queue.",
            "none",
            Query(mean("jobpool_claim_batch_jobs", POOLS, "pool"), "{{pool}} mean"),
            Query(quantile(0.5, "jobpool_claim_batch_jobs", POOLS, "pool"), "{{pool}} p50"),
        ),
    ),
)

STORE = row(
    "Store",
    even(
        8,
        timeseries(
            "Store operations",
            "Calls to MongoDB per second. Calls carry many jobs each; per job they should be far below one.",
            "ops",
            Query(sum_rate("jobpool_store_operation_seconds_count", INSTANCES, "operation"), "{{operation}}"),
            stack=True,
        ),
        timeseries(
            "Store operations, 50 %",
            "The usual time of a call. All slow: the disk, as each write waits for the journal.",
            "s",
            Query(quantile(0.5, "jobpool_store_operation_seconds", INSTANCES, "operation"), "{{operation}}"),
        ),
        timeseries(
            "Store operations, 99 %",
            "The tail. Far above the median: checkpoints, elections, or a machine that does too much besides.",
            "s",
            Query(quantile(0.99, "jobpool_store_operation_seconds", INSTANCES, "operation"), "{{operation}}"),
        ),
    ),
)


def benchmarks() -> Json:
    """Return the dashboard."""
    made = dashboard(
        "jobpool-benchmarks",
        "jobpool / Benchmarks",
        "Runs of python -m benchmarks while they run: jobs and claims per second, how long claims take, what "
        "pools lose to each other, and whether they share fairly.",
        variables(pools=NAMES),
        [NOW, SPEED, CONTENTION, STORE],
    )
    return {**made, "refresh": "5s", "time": {"from": "now-15m", "to": "now"}}
