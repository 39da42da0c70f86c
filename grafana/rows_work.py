"""The rows of the overview about jobs: how they flow, how long they take, and which types there are."""

from __future__ import annotations

from .curves import quantiles
from .dashboard import Row, even, row
from .panels import Json, Query, over, table, timeseries
from .queries import (
    FOREVER,
    GOOD,
    POOLS,
    TYPES,
    backlog,
    backlog_by_state,
    drain_by_throughput,
    drain_by_trend,
    finished,
    held_back,
    increase,
    oldest_due,
    quantile,
    share_of,
    sum_rate,
)

IN_DEPTH = {
    "title": "This type in depth",
    "url": "/d/jobpool-types?var-type=${__value.raw}"
    "&${datasource:queryparam}&${job:queryparam}&${__url_time_range}",
    "targetBlank": False,
}


def flow() -> Row:
    """Return the row on what comes in and what gets done."""
    return row(
        "Flow",
        even(8, _in_and_out(), _due_by_type(), _time_to_drain()),
        even(8, _by_state(), _outcomes(), _errors()),
        even(8, _held_back(), _firings()),
    )


def _in_and_out() -> Json:
    return timeseries(
        "Jobs in and out",
        "Jobs created per second against attempts that ended and jobs that ended for good. In above out for "
        "long: the backlog grows. Ended above done for good: attempts fail and are repeated.",
        "ops",
        Query(sum_rate("jobpool_jobs_created_total", f'{TYPES},result=~"inserted|revived"'), "created"),
        Query(finished(), "attempts ended"),
        Query(sum_rate("jobpool_job_turnaround_seconds_count", TYPES), "done for good"),
    )


def _due_by_type() -> Json:
    return timeseries(
        "Jobs due by type",
        "Whose jobs wait. One type grows alone: its executor became slow, or no pool runs it.",
        "short",
        Query(backlog("due", "type"), "{{type}}"),
        stack=True,
    )


def _time_to_drain() -> Json:
    return timeseries(
        "Time to drain",
        "As above, over time. Rising: it gets worse; add threads or pools, or slow the producers down.",
        "s",
        Query(drain_by_trend(), "trend"),
        Query(drain_by_throughput(), "no more input"),
        mappings=(over(FOREVER, "does not drain"),),
    )


def _by_state() -> Json:
    return timeseries(
        "Jobs by state",
        "All jobs that are not done with. Scheduled grows: retries pile up. Claimed grows: pools take more than "
        "they run. Failed grows: look at the errors; failed jobs stay until they are revived or removed. Waiting "
        "grows: the jobs that these wait for do not end.",
        "short",
        Query(backlog_by_state(), "{{state}}"),
    )


def _outcomes() -> Json:
    return timeseries(
        "Attempts by outcome",
        "How attempts end. Retried and failed: the executor raised. Lost: the pool lost the lease under it, look "
        "at Contention and leases.",
        "ops",
        Query(finished("outcome"), "{{outcome}}"),
        stack=True,
    )


def _errors() -> Json:
    return timeseries(
        "Errors by class",
        "Which type fails and with what, the ten most frequent. The traceback is stored with each job: job.error "
        "and job.errors.",
        "ops",
        Query(f"topk(10, {sum_rate('jobpool_job_errors_total', TYPES, 'type, error')})", "{{type}}: {{error}}"),
    )


def _held_back() -> Json:
    return timeseries(
        "Due jobs held back",
        "Due jobs of types that are paused, and of types of which as many run as their limit lets. Pause: "
        "`jobpool pause` shows since when and why. Limit, for long: raise it, or have less created.",
        "short",
        Query(held_back(), "{{by}}"),
        stack=True,
    )


def _firings() -> Json:
    return timeseries(
        "Firings of schedules",
        "Due times of schedules. Late: fired over a minute after their time; missed: too late to be fired; no "
        "pool was there in time. Skipped: the job of the firing before had not ended.",
        "short",
        Query(increase("jobpool_schedule_firings_total", TYPES, "result"), "{{result}}"),
        stack=True,
    )


def latency() -> Row:
    """Return the row on how long it takes, from due to done."""
    return row(
        "Latency",
        even(8, _wait(), _duration(), _turnaround()),
        even(8, _age_by_type(), _queue_wait()),
    )


def _wait() -> Json:
    return timeseries(
        "Wait from due to started",
        "What the service level is about; a deliberate delay does not count. High while threads are busy: too "
        "few of them. High while they are idle: pools do not hear of new jobs, look at what wakes them.",
        "s",
        *quantiles("jobpool_job_wait_seconds", TYPES),
    )


def _duration() -> Json:
    return timeseries(
        "Run time of executors",
        "How long executors run. Rising: what they call became slow. A tail of minutes among jobs of "
        "milliseconds: split the long ones off into a pool of their own.",
        "s",
        *quantiles("jobpool_job_duration_seconds", TYPES),
    )


def _turnaround() -> Json:
    return timeseries(
        "Turnaround from due to done",
        "From first due to the end for good, waits and retries included: what a producer sees. Far above wait "
        "and run time together: retries and their backoff.",
        "s",
        *quantiles("jobpool_job_turnaround_seconds", TYPES),
    )


def _age_by_type() -> Json:
    return timeseries(
        "Oldest due job by type",
        "Age of the oldest job that could run. A straight line upwards: nobody takes jobs of this type.",
        "s",
        Query(oldest_due("type"), "{{type}}"),
        limits=(60, 300),
    )


def _queue_wait() -> Json:
    return timeseries(
        "Wait in the pool's queue, 95 %",
        "From claimed to started. It eats lease time and keeps jobs from other pools. Over a quarter of the "
        "lease: lower queue_size.",
        "s",
        Query(quantile(0.95, "jobpool_queue_wait_seconds", POOLS, "pool"), "{{pool}}"),
    )


def types() -> Row:
    """Return the row with a line per type."""
    good = sum_rate("jobpool_attempts_total", f'{TYPES},outcome=~"{GOOD}"', "type")
    per_type = table(
        "Types",
        "All types at a glance, the longest waiting on top; a click on a type shows it in depth. A type that is "
        "due and never runs has no executor in any pool. Waiting: for other jobs to end.",
        "type",
        Query(oldest_due("type"), "Oldest due", "s"),
        Query(backlog("due", "type"), "Due", "short"),
        Query(backlog("scheduled", "type"), "Scheduled", "short"),
        Query(backlog("waiting", "type"), "Waiting", "short"),
        Query(backlog("running", "type"), "Running", "short"),
        Query(backlog("failed", "type"), "Failed and kept", "short"),
        Query(finished("type"), "Attempts", "ops"),
        Query(share_of(good, finished("type")), "Succeed", "percentunit"),
        Query(quantile(0.95, "jobpool_job_wait_seconds", TYPES, "type"), "Wait 95 %", "s"),
        Query(quantile(0.95, "jobpool_job_duration_seconds", TYPES, "type"), "Run time 95 %", "s"),
        links=(IN_DEPTH,),
    )
    return row("Types", even(9, per_type))
