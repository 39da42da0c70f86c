"""What pools do for a due job: none runs its type, they drain, others come first, no thread is free."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from ..backlog import AlivePool
from ..names import LISTED, shown
from ..phrases import duration, several
from .answer import Reason
from .phrasing import MOST, holder_facts, names, of_job, place, pool_facts
from .situation import Holding, Situation

#: Seconds after which a due job that nothing holds up should have been taken: pools look once a second if nobody
#: wakes them.
SOON = 5.0
_WORKER = "jobpool worker MODULE:MANAGER"
#: What helps where no thread is free, and where others come first.
MORE_THREADS = "wait, or have more threads or pools"
RUNNING = "running"


def nobody(situation: Situation) -> Reason | None:
    """No pool would take it, now or later."""
    if situation.serving:
        return None
    if situation.knowing:
        return _draining(situation)
    type = shown(situation.type, LISTED)
    died = [pool for pool in situation.pools if not pool.alive and situation.type in pool.types]
    facts: dict[str, Any] = {"pools": pool_facts(situation.alive), "died": pool_facts(died)}
    if not situation.alive:
        seen = max((pool.seen_at for pool in situation.pools if pool.seen_at is not None), default=None)
        last = "" if seen is None else f"; the last was heard of {duration(situation.since(seen))} ago"
        facts["last_seen_at"] = seen
        return Reason(
            "no_executor",
            f"no pool is alive, so nobody runs jobs of type {type}{last}",
            f"start one: {_WORKER}",
            facts,
        )
    known = sorted({type for pool in situation.alive for type in pool.types})
    similar = facts["similar"] = get_close_matches(situation.type, known, cutoff=0.7)
    others = names(known) if known else "nothing"
    text = f"none of the {len(situation.alive)} pools alive runs type {type}: they run {others}"
    if len(situation.alive) == 1:
        text = f"the only pool alive does not run type {type}: it runs {others}"
    remedy = f"start a pool with an executor for {type}: {_WORKER}"
    if similar:
        remedy = f"is it a typing error for {names(similar)}? else {remedy}"
    elif died:
        seen = died[0].seen_at
        ago = "" if seen is None else f" and was heard of last {duration(situation.since(seen))} ago"
        remedy = f"{place(died[0])} ran it{ago}; {remedy}"
    return Reason("no_executor", text, remedy, facts)


def _draining(situation: Situation) -> Reason:
    pools = situation.knowing
    one = len(pools) == 1
    return Reason(
        "draining",
        f"{'the only pool that runs' if one else f'all {len(pools)} pools that run'} its type "
        f"{'is' if one else 'are'} draining, and {'claims' if one else 'claim'} no more: "
        f"{place(pools[0])}{'' if one else ' and others'}",
        f"start another pool, if none is about to come: {_WORKER}",
        {"pools": pool_facts(pools)},
    )


def behind(situation: Situation) -> Reason | None:
    """Others come first."""
    ahead = situation.ahead
    if ahead is None or not ahead.jobs:
        return None
    limited = ahead.key is not None  # more threads begin no more of these
    rate = _rate(situation)
    seconds = ahead.jobs / rate if rate else None
    number = f"{'more than ' if ahead.more else ''}{several(ahead.jobs, 'due job')}"
    verb = "comes" if ahead.jobs == 1 and not ahead.more else "come"
    of_key = (
        "" if ahead.key is None else f" of its key {shown(ahead.key, LISTED)}" if ahead.key else " of its type"
    )
    text = f"{number}{of_key} {verb} before it, of higher priority or due earlier"
    if seconds is not None and rate is not None:
        least, lately = "at least" if ahead.more else "about", "" if limited else ", as of late,"
        text += f"; at {rate:,.3g} a second{lately} that takes {least} {duration(seconds)}"
    return Reason(
        "behind",
        text,
        "with a higher priority when it is created it would come earlier"
        if limited
        else f"{MORE_THREADS}, or give it a higher priority when it is created",
        {
            "ahead": ahead.jobs,
            "more": ahead.more,
            "types": list(ahead.types[:MOST]),
            "key": ahead.key,
            "per_second": rate,
            "seconds": seconds,
            "pools_alive": len(situation.serving),
            "threads": sum(pool.threads for pool in situation.serving),
        },
    )


def _rate(situation: Situation) -> float | None:
    """Return how many of the jobs before it, and it itself, are run in a second, as far as pools say."""
    ahead = situation.ahead
    types = (situation.type,) if ahead is None or ahead.key is not None else ahead.types
    rates = [pool.rates[type].per_second for pool in situation.serving for type in types if type in pool.rates]
    bounds = [
        usage.bound.rate.rate / usage.bound.rate.per
        for usage in situation.limits
        if usage.bound.rate is not None and usage.bound.rate.rate is not None
    ]
    if sum(rates) == 0:
        return min(bounds, default=None)
    return min([sum(rates), *bounds])


def busy(situation: Situation) -> Reason | None:
    """No thread is free for it."""
    pools = situation.serving
    threads = sum(pool.threads for pool in pools)
    running = running_in(situation, pools)
    if running < threads:
        return None
    ran_longest, longest = longest_running(situation, pools)
    of = "pool that runs" if len(pools) == 1 else f"{len(pools)} pools that run"
    all_of = "the only thread" if threads == 1 else f"all {threads:,} threads"
    text = f"{all_of} of the {of} its type {'is' if threads == 1 else 'are'} taken{ran_longest}"
    over = _over_in(situation, pools)
    if over:
        text += f"; the {'lease of one' if over == 1 else f'leases of {over:,}'} of these jobs "
        text += f"{'is' if over == 1 else 'are'} over, and who runs {'it' if over == 1 else 'them'} may be dead"
    facts = {"threads": threads, "running": running, "expired": over, "pools": pool_facts(pools), **longest}
    return Reason("busy", text, MORE_THREADS, facts)


def running_in(situation: Situation, pools: tuple[AlivePool, ...]) -> int:
    """Return how many jobs run in these pools now; by their own word, which is older, if they are too many."""
    if situation.held is None or not situation.held.complete:
        return sum(pool.busy or 0 for pool in pools)
    return len(_seen_in(situation, pools))


def longest_running(situation: Situation, pools: tuple[AlivePool, ...]) -> tuple[str, dict[str, Any]]:
    """Return which of the jobs that run in these pools runs longest, as the end of a sentence, and as facts."""
    running = [(job.started_at, job) for job in _seen_in(situation, pools) if job.started_at is not None]
    if not running:
        return "", {}
    running.sort(key=lambda pair: pair[0])
    since, first = running[0]
    ran = duration(situation.since(since))
    text = f"; job {of_job(first.id)} of type {shown(first.type, LISTED)} has run for {ran}"
    return text, {"longest": holder_facts(situation, [job for _, job in running])}


def _over_in(situation: Situation, pools: tuple[AlivePool, ...]) -> int:
    """Return of how many of the jobs that are seen running in these pools the lease is over."""
    ends = [job.lease_until for job in _seen_in(situation, pools)]
    return sum(end is not None and situation.since(end) > 0 for end in ends)


def _seen_in(situation: Situation, pools: tuple[AlivePool, ...]) -> list[Holding]:
    """Return the jobs that run in these pools, as far as those that are held were read."""
    held = situation.held.jobs if situation.held is not None else ()
    return [
        job for job in held if job.state == RUNNING and any(pool.holds(job.pool_id, job.pool) for pool in pools)
    ]


def nothing(situation: Situation) -> Reason:
    """Nothing holds it up that can be seen."""
    run_at = situation.instant("run_at")
    since = 0.0 if run_at is None else max(0.0, situation.since(run_at))
    pools = situation.serving
    heard = min((situation.since(pool.seen_at) for pool in pools if pool.seen_at is not None), default=None)
    late = bool(pools) and all(pool.silent for pool in pools)
    facts = {
        "run_at": run_at,
        "due_for": since,
        "heard_of": heard,
        "late": late,
        "pools": pool_facts(pools),
    }
    by = f"{several(len(pools), 'pool')} with {several(sum(pool.threads for pool in pools), 'thread')}"
    silent = f"{'it is' if len(pools) == 1 else 'they are'} silent, and may be dead"
    if since < SOON:
        text = f"nothing holds it up: it has been due for {duration(since)}, and {by} should take it now"
        text += f"; but {silent}" if late else ""
        return Reason("just_due", text, "ask again in a moment", facts)
    text = (
        f"nothing that can be seen from here holds it up: it has been due for {duration(since)}, it is the next, "
        f"and {by} {'runs' if len(pools) == 1 else 'run'} its type"
    )
    if heard is not None:
        text += f", {'' if len(pools) == 1 else 'one of them '}heard of last {duration(max(0.0, heard))} ago"
    if late:
        text += f"; {silent}: {'it' if len(pools) == 1 else 'they'} should have spoken since then"
    remedy = (
        "see whether these pools live and reach MongoDB: their /readyz, their logs. An open transaction may have "
        "written the job: MongoDB ends one after its transactionLifetimeLimitSeconds, a minute mostly"
    )
    if any(usage.bound.rate is not None and usage.next_in is None for usage in situation.limits):
        remedy += ". Its type has a rate, and this user may not read what is left of it: find on the gates"
    if any(pool.version is None for pool in pools):
        remedy += ". Pools of older versions do not tell what limits they heed"
    return Reason("unclear", text, remedy, facts)
