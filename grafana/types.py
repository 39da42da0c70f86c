"""The dashboard of one type in depth, or of several side by side."""

from __future__ import annotations

from .curves import quantiles
from .dashboard import dashboard, even, row, variables
from .panels import Json, Query, heatmap, stat, timeseries
from .queries import (
    TYPES,
    backlog,
    backlog_by_state,
    finished,
    oldest_due,
    quantile,
    ratio,
    success,
    sum_rate,
)


def _spread(title: str, metric: str, reading: str) -> Json:
    query = Query(sum_rate(f"{metric}_bucket", TYPES, "le"), "{{le}}")
    return heatmap(title, f"Jobs per second by how long they took; darker is more. {reading}", "s", query)


NOW = row(
    "Now",
    even(
        4,
        stat(
            "Oldest due job",
            "How long the job that is due for the longest time has waited. Grows: nobody takes this type; "
            "look whether a pool has an executor for it.",
            "s",
            Query(oldest_due(), "age"),
            limits=(60, 300),
        ),
        stat(
            "Jobs due",
            "Jobs that could run now and that no pool has taken. Grows: more is created than done.",
            "short",
            Query(backlog("due"), "due"),
        ),
        stat(
            "Attempts that succeed",
            "Share of attempts without a failure. Low: the row below says with what errors.",
            "percentunit",
            Query(success(), "succeeded"),
            limits=(0.9, 0.99),
            low_is_bad=True,
            empty="no attempts",
        ),
        stat(
            "Attempts per job",
            "How many attempts a job takes until it is done for good. Far above 1: most work is repeated; "
            "mend the cause, or lower max_attempts.",
            "short",
            Query(ratio(finished(), sum_rate("jobpool_job_turnaround_seconds_count", TYPES)), "attempts"),
        ),
        stat(
            "Failed and kept",
            "Jobs that failed for good. They stay until they are revived (create with on_duplicate=revive) "
            "or removed.",
            "short",
            Query(backlog("failed"), "failed"),
        ),
        stat(
            "Threads used",
            "Threads that this type keeps busy on average. Near the size of the pools: it needs more of "
            "them, or a pool of its own.",
            "short",
            Query(sum_rate("jobpool_job_duration_seconds_sum", TYPES), "threads"),
        ),
    ),
)

ATTEMPTS = row(
    "Attempts and errors",
    even(
        8,
        timeseries(
            "Attempts by outcome",
            "How attempts end. Retried: they failed and come back after a backoff. Lost: the pool lost the lease.",
            "ops",
            Query(finished("type, outcome"), "{{type}} {{outcome}}"),
            stack=True,
        ),
        timeseries(
            "Errors by class",
            "With what attempts fail. The traceback is stored with each job: job.error and job.errors. "
            "_other: beyond 20 classes of a type.",
            "ops",
            Query(sum_rate("jobpool_job_errors_total", TYPES, "type, error"), "{{type}}: {{error}}"),
        ),
        timeseries(
            "Jobs created",
            "New jobs, duplicates and revived ones. Many duplicates: producers repeat themselves.",
            "ops",
            Query(sum_rate("jobpool_jobs_created_total", TYPES, "type, result"), "{{type}} {{result}}"),
        ),
        timeseries(
            "Jobs taken back",
            "Jobs whose worker died or was cut off. One type only: its executor may be what kills the worker "
            "(memory, a crash in C code).",
            "ops",
            Query(sum_rate("jobpool_jobs_reaped_total", TYPES, "type, result"), "{{type}} {{result}}"),
        ),
    ),
)

LATENCY = row(
    "Latency",
    even(
        8,
        timeseries(
            "Wait from due to started",
            "A deliberate delay does not count. High: too few threads for what comes in.",
            "s",
            *quantiles("jobpool_job_wait_seconds", TYPES),
        ),
        timeseries(
            "Run time of executors",
            "How long executors run. Rising: what they call became slow.",
            "s",
            *quantiles("jobpool_job_duration_seconds", TYPES),
        ),
        timeseries(
            "Turnaround from due to done",
            "From first due to the end for good, retries included: what a producer sees.",
            "s",
            *quantiles("jobpool_job_turnaround_seconds", TYPES),
        ),
    ),
    even(
        9,
        _spread("Spread of waits", "jobpool_job_wait_seconds", "Two bands: some jobs wait for a poll or a retry."),
        _spread(
            "Spread of run times", "jobpool_job_duration_seconds", "Two bands: two kinds of jobs in one type."
        ),
    ),
    even(
        8,
        timeseries(
            "Run time by type, 95 %",
            "Which type is slow. Long ones among short ones: give them a pool of their own.",
            "s",
            Query(quantile(0.95, "jobpool_job_duration_seconds", TYPES, "type"), "{{type}}"),
        ),
        timeseries(
            "Wait by type, 95 %",
            "Which type waits. One waits and others do not: its pools are full, or few run it.",
            "s",
            Query(quantile(0.95, "jobpool_job_wait_seconds", TYPES, "type"), "{{type}}"),
        ),
    ),
)

BACKLOG = row(
    "Backlog",
    even(
        8,
        timeseries(
            "Jobs by state",
            "Where the jobs are that are not done with. Scheduled grows: retries pile up. Waiting grows: the jobs "
            "that these wait for do not end.",
            "short",
            Query(backlog_by_state(), "{{state}}"),
        ),
        timeseries(
            "Jobs due by type",
            "Jobs that could run now. One type grows alone: its executor became slow, or no pool runs it.",
            "short",
            Query(backlog("due", "type"), "{{type}}"),
            stack=True,
        ),
        timeseries(
            "Oldest due job by type",
            "Age of the oldest job that could run. A straight line upwards: nobody takes jobs of this type.",
            "s",
            Query(oldest_due("type"), "{{type}}"),
            limits=(60, 300),
        ),
    ),
)


def types() -> Json:
    """Return the dashboard."""
    return dashboard(
        "jobpool-types",
        "jobpool / Types",
        "How the attempts of a type end and with what errors, how long its jobs wait and run, what lies before "
        "it. Choose the type above; the table of the overview leads here.",
        variables(),
        [NOW, ATTEMPTS, LATENCY, BACKLOG],
    )
