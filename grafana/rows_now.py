"""The first row of the overview: one number for each question of an operator in a hurry."""

from __future__ import annotations

from .dashboard import Row, even, row
from .panels import Query, over, stat
from .queries import (
    FOREVER,
    POOLS,
    TYPES,
    backlog,
    drain_by_throughput,
    drain_by_trend,
    oldest_due,
    pools_alive,
    pools_fight,
    quantile,
    saturation,
    silence,
    success,
)

NEVER = over(FOREVER, "does not drain")

WORK_PANELS = [
    stat(
        "Oldest due job",
        "How long the job that is due for the longest time has waited. Grows: nobody takes it. Look in Types "
        "which type it is and in Saturation whether all threads are busy; if none is, no pool has an "
        "executor for that type, or it is deaf.",
        "s",
        Query(oldest_due(), "age"),
        limits=(60, 300),
    ),
    stat(
        "Jobs due",
        "Jobs that could run now and that no pool has taken. Some are normal under load; what counts is "
        "whether they become fewer (time to drain) and how old they are.",
        "short",
        Query(backlog("due"), "due"),
    ),
    stat(
        "Time to drain",
        "When the backlog is gone: by the trend of the last ten minutes, and if nothing came in any more. "
        "Only the first does not drain: more comes in than gets done, add threads or pools. Neither: nothing "
        "runs.",
        "s",
        Query(drain_by_trend(), "trend"),
        Query(drain_by_throughput(), "no more input"),
        mappings=(NEVER,),
    ),
    stat(
        "Attempts that succeed",
        "Share of attempts without a failure. Low: Types says which type, Errors by class says with what; "
        "the traceback is stored with the job.",
        "percentunit",
        Query(success(), "succeeded"),
        limits=(0.9, 0.99),
        low_is_bad=True,
        empty="no attempts",
    ),
    stat(
        "Wait, 95 %",
        "19 of 20 jobs started within this time from when they were due. High: too few threads or pools for "
        "what comes in, or pools that are deaf.",
        "s",
        Query(quantile(0.95, "jobpool_job_wait_seconds", TYPES), "p95"),
        limits=(10, 30),
        empty="none started",
    ),
    stat(
        "Pools alive",
        "Pools of all processes that said lately in the store that they live. Fewer than you run: look which "
        "process is gone. 0: nothing gets done.",
        "short",
        Query(pools_alive(), "pools"),
        limits=(1,),
        low_is_bad=True,
    ),
]

POOL_PANELS = [
    stat(
        "Threads busy",
        "Share of thread time in executors. Near 100 % with jobs due: saturated, add threads or pools. Near "
        "0 with jobs due: starved, look at the silence of pools and at the store.",
        "percentunit",
        Query(saturation(), "busy"),
        limits=(0.8, 0.95),
    ),
    stat(
        "Candidates lost",
        "Share of jobs read in claims that another pool took first. Over a tenth: pools fight over jobs; use "
        "the window strategy, larger batches, or fewer pools with more threads. 0 under 10 jobs/s.",
        "percentunit",
        Query(pools_fight(), "lost"),
        limits=(0.1, 0.3),
    ),
    stat(
        "Leases lost in the last hour",
        "Claims that pools lost while they held them. Not 0: a process was paused, starved or cut off for "
        "longer than its lease. Contention and leases says which pool and at which stage.",
        "short",
        Query(f"round(sum(increase(jobpool_leases_lost_total{{{POOLS}}}[1h])))", "lost"),
        limits=(0.5, 10),
    ),
    stat(
        "Longest silence of a pool",
        "Time since the pool that is silent for longest had an answer to a claim. An idle pool asks every "
        "second; one whose threads are all busy does not ask. Grows while threads are idle: it is up but "
        "deaf, look at its log and at Store.",
        "s",
        Query(f"max({silence()})", "silence"),
        limits=(30, 60),
        empty="no pool runs",
    ),
    stat(
        "Longest running job",
        "Run time of the executor that runs for longest, 0 when idle. Grows without end: it hangs.",
        "s",
        Query(f"max(jobpool_longest_running_job_seconds{{{POOLS}}})", "longest"),
    ),
    stat(
        "Executors stuck",
        "Executors that run for longer than they may. Not 0: the log and the job have the stack of the "
        "thread, which says where it hangs; the thread is lost until the process restarts or the executor "
        "returns.",
        "short",
        Query(f"sum(jobpool_threads_stuck{{{POOLS}}})", "stuck"),
        limits=(1,),
    ),
]


def now() -> Row:
    """Return the row."""
    return row("Now", even(4, *WORK_PANELS), even(4, *POOL_PANELS))
