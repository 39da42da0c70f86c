"""Pieces of PromQL that the panels share.

Three rules hold for all of them. A ratio of nothing to nothing is 0 or
absent, never NaN. What every pool exports about all of them (the cluster
view) is read with ``max``, what each counts for itself is summed. And a
quantile over no observations is absent.
"""

from __future__ import annotations

#: Label matchers by what the variables of a dashboard select.
INSTANCES = 'job=~"$job",instance=~"$instance"'
POOLS = f'{INSTANCES},pool=~"$pool"'
TYPES = f'{INSTANCES},type=~"$type"'
#: The cluster view says the same on every instance.
CLUSTER = 'job=~"$job"'
VIEW = f'{CLUSTER},type=~"$type"'

#: Seconds; a view that was not refreshed for so long is not true any more (that of stopped pools, say).
FRESH_FOR = 300
FRESH = f"and on (job, instance) (time() - jobpool_backlog_last_refresh_timestamp_seconds < {FRESH_FOR})"

#: Outcomes of attempts that are no failure: those of a job that succeeded, or that wished to go on later.
GOOD = "succeeded|snoozed|cancelled"
#: Seconds; a backlog that does not shrink would take forever, and a panel shows a year as "does not drain".
FOREVER = 365 * 86400
#: Little enough not to change a quotient, and more than nothing.
ALMOST_NOTHING = "1e-9"
#: Seconds; a backlog that is done in less is work on its way, and its trend chance.
ON_ITS_WAY = 10
#: Jobs per second; below, two pools that are woken by the same job lose one to the other without harm.
CONTENDED = 10


def rate(metric: str, labels: str) -> str:
    """Return the increase per second of a counter."""
    return f"rate({metric}{{{labels}}}[$__rate_interval])"


def sum_rate(metric: str, labels: str, by: str = "") -> str:
    """Return the increase per second, summed over all but the labels `by`."""
    return f"sum{_by(by)} ({rate(metric, labels)})"


def increase(metric: str, labels: str, by: str = "") -> str:
    """Return by how much a counter rose between two points of a panel, summed over all but the labels `by`."""
    return f"sum{_by(by)} (increase({metric}{{{labels}}}[$__rate_interval]))"


def ratio(part: str, whole: str) -> str:
    """Return `part` of `whole`; 0 where there is nothing."""
    return f"({part}) / ({whole} > 0) or {whole} * 0"


def share_of(part: str, whole: str) -> str:
    """Return `part` of `whole`; 0 if no part is there, absent where there is no whole."""
    return f"({part} or {whole} * 0) / ({whole} > 0)"


def quantile(fraction: float, metric: str, labels: str, by: str = "") -> str:
    """Return a quantile of a histogram; the comparison drops the NaN of no observations."""
    kept = f"le, {by}" if by else "le"
    return f"histogram_quantile({fraction}, {sum_rate(f'{metric}_bucket', labels, kept)}) >= 0"


def mean(metric: str, labels: str, by: str = "") -> str:
    """Return the mean of a histogram; 0 where nothing was observed."""
    return ratio(sum_rate(f"{metric}_sum", labels, by), sum_rate(f"{metric}_count", labels, by))


def backlog(state: str, by: str = "") -> str:
    """Return how many jobs are in a state, of the types selected."""
    return f'sum{_by(by)} (max by (type) (jobpool_backlog_jobs{{{VIEW},state="{state}"}} {FRESH}))'


def backlog_by_state() -> str:
    """Return how many jobs are in each state, of the types selected."""
    return f"sum by (state) (max by (type, state) (jobpool_backlog_jobs{{{VIEW}}} {FRESH}))"


def held_back() -> str:
    """Return how many due jobs are held back, by what."""
    return f"sum by (by) (max by (type, by) (jobpool_backlog_held_back_jobs{{{VIEW}}} {FRESH}))"


def oldest_due(by: str = "") -> str:
    """Return for how long the oldest due job has waited."""
    return f"max{_by(by)} (jobpool_oldest_due_age_seconds{{{VIEW}}} {FRESH})"


def pools_alive() -> str:
    """Return how many pools there are, scraped or not."""
    return f"max(jobpool_pools_alive{{{CLUSTER}}} {FRESH})"


def finished(by: str = "") -> str:
    """Return how many attempts end per second."""
    return sum_rate("jobpool_attempts_total", TYPES, by)


def success() -> str:
    """Return the share of attempts that did not fail."""
    return share_of(sum_rate("jobpool_attempts_total", f'{TYPES},outcome=~"{GOOD}"'), finished())


def drain_by_trend() -> str:
    """Return when the backlog is gone if it goes on as in the last ten minutes; 0 if it is no backlog yet."""
    shrinks = f"clamp_min(-deriv({backlog('due')}[10m:10s]), {ALMOST_NOTHING})"
    worth_it = f"({backlog('due')} > bool {ON_ITS_WAY} * clamp_min({finished()}, 1))"
    return f"clamp_max({backlog('due')} / {shrinks}, {FOREVER}) * {worth_it}"


def drain_by_throughput() -> str:
    """Return when the backlog is gone if no job came in any more."""
    return f"clamp_max({backlog('due')} / clamp_min({finished()}, {ALMOST_NOTHING}), {FOREVER})"


def saturation(by: str = "") -> str:
    """Return the share of thread time that executors use."""
    busy = sum_rate("jobpool_threads_busy_seconds_total", POOLS, by)
    return ratio(busy, f"sum{_by(by)} (jobpool_threads{{{POOLS}}})")


def candidates_lost(by: str = "") -> str:
    """Return the share of the jobs read in claims that another pool got first."""
    lost = sum_rate("jobpool_claim_conflicts_total", POOLS, by)
    return f"{lost} / clamp_min({lost} + {sum_rate('jobpool_jobs_claimed_total', POOLS, by)}, {ALMOST_NOTHING})"


def pools_fight() -> str:
    """Return the same, as 0 where so few jobs are claimed that it costs nothing."""
    claimed = sum_rate("jobpool_jobs_claimed_total", POOLS)
    return f"({candidates_lost()}) * ({claimed} > bool {CONTENDED})"


def silence() -> str:
    """Return for how long each running pool has not had an answer to a claim."""
    last = f"jobpool_fetcher_last_poll_timestamp_seconds{{{POOLS}}}"
    return f"(time() - {last}) and on (job, instance, pool) (jobpool_threads > 0)"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
