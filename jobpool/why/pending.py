"""Pending jobs: not due yet, paused, of a type that nobody runs, behind others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from ..backlog import AlivePool
from ..names import LISTED, shown
from ..phrases import duration, moment
from .answer import Reason
from .ended import argument, attempt_of, expires
from .limited import gate_locked, limits, unkeyed
from .phrasing import MOST, holder_facts, names, of_job, place, pool_facts, several
from .situation import Situation

#: Seconds after which a due job that nothing holds up should have been taken: pools look once a second if nobody
#: wakes them.
SOON = 5.0
_WORKER = "jobpool worker MODULE:MANAGER"


def pending(situation: Situation) -> Iterator[Reason]:
    """Yield what holds up a job that is pending, what does so first first; at least one."""
    first = malformed(situation)
    if first is not None:
        yield first
        return
    held_up = [
        reason
        for reason in (
            schema(situation),
            no_index(situation),
            not_due(situation),
            paused(situation),
            nobody(situation),
        )
        if reason is not None
    ]
    yield from held_up
    if not held_up:
        yield from _of_its_pools(situation)
    if (end := expires(situation)) is not None:
        yield end


def _of_its_pools(situation: Situation) -> Iterator[Reason]:
    """Yield what holds up a due job that there are pools for."""
    found = [reason for reason in (unkeyed(situation), *limits(situation)) if reason is not None]
    found += [reason for reason in (behind(situation), busy(situation)) if reason is not None]
    yield from found
    if not found:
        yield gate_locked(situation) or _nothing(situation)


def malformed(situation: Situation) -> Reason | None:
    """What a claim goes by is not there: somebody else wrote it."""
    wrong = dict(_wrong(situation.job))
    if not wrong:
        return None
    said = ", ".join(f"{name} {what}" for name, what in wrong.items())
    return Reason(
        "malformed",
        f"it is not as jobpool stores jobs, and no pool can run it: {said}",
        f"mend it in MongoDB, or remove it and create it anew: jobpool remove {argument(situation.id)}",
        {"wrong": wrong},
    )


def _wrong(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kinds: list[tuple[str, Any, str]] = [
        ("type", str, "text"),
        ("priority", int | float, "number"),
        ("run_at", datetime, "date"),
        ("created_at", datetime, "date"),
        ("attempts", int | float, "number"),
        ("fence", int | float, "number"),
    ]
    for name, kind, what in kinds:
        if name not in job:
            yield name, "is missing"
        elif not isinstance(job[name], kind) or isinstance(job[name], bool):
            yield name, f"is no {what}"
    most = job.get("max_attempts")
    if most is not None and (not isinstance(most, int) or isinstance(most, bool)):
        yield "max_attempts", "is no number"


def schema(situation: Situation) -> Reason | None:
    """This version is too old for the jobs here, and so are pools of the same."""
    required = situation.required
    if required is None or required <= situation.schema:
        return None
    facts = {
        "required": required,
        "schema": situation.schema,
        "version": situation.version,
        "pools": pool_facts(situation.knowing),
    }
    return Reason(
        "schema",
        f"the jobs here need a jobpool that stores schema {required}; {situation.version}, which this is, stores "
        f"{situation.schema}, and pools of such a version claim nothing",
        "upgrade jobpool where the pools run, and here",
        facts,
    )


def no_index(situation: Situation) -> Reason | None:
    """Pools find nothing without the index of claims."""
    trouble = situation.index_trouble
    if trouble is None:
        return None
    remedy = "pools make it again within a minute; at once, by hand: JobManager(...).ensure_indexes()"
    return Reason("no_index", f"pools cannot find it: {trouble}", remedy, {"trouble": trouble})


def not_due(situation: Situation) -> Reason | None:
    """Its time is to come."""
    run_at = situation.instant("run_at")
    if run_at is None or (left := -situation.since(run_at)) <= 0:
        return None
    cause, facts = _put_off(situation)
    return Reason(
        "not_due",
        f"it is not due for another {duration(left)}, until {moment(run_at)}: {cause}",
        f"to have it run now: jobpool retry {argument(situation.id)}" if facts["cause"] == "retry" else "",
        {"run_at": run_at, "seconds": left, **facts},
    )


def _put_off(situation: Situation) -> tuple[str, dict[str, Any]]:
    """Return why a job is due only later, in words and as facts.

    The token of the claim that put it off stays with it, and is among the tokens of its snoozes, or with its
    last error; a reaper takes the token away.
    """
    errors = [item for item in situation.items("errors") if isinstance(item, Mapping)]
    last, token = (errors[-1] if errors else {}), situation.text("claim")
    if token is not None and token in situation.items("snoozed_by"):
        snoozes = situation.number("snoozes")
        pool = situation.text("pool_id")
        times = "once" if snoozes == 1 else f"{snoozes:,} times"
        facts = {"cause": "snooze", "snoozes": snoozes, "pool_id": pool}
        return f"its executor has put it off, {times} so far", facts
    if last and (last.get("claim") == token if token is not None else last.get("type") == "WorkerLost"):
        name = str(last.get("type"))
        facts = {
            "cause": "retry",
            "error": name,
            "message": str(last.get("message", "")),
            "attempts": situation.number("attempts"),
            "max_attempts": situation.whole("max_attempts"),
        }
        return f"{attempt_of(situation)} failed with {shown(name, LISTED)[1:-1]}, and the next follows then", facts
    created = situation.instant("created_at")
    if created is not None and situation.number("attempts") == 0 and not errors:
        return f"it was created {duration(situation.since(created))} ago to run then, or put off since", {
            "cause": "created",
            "created_at": created,
        }
    return "it was put off", {"cause": "unknown"}


def paused(situation: Situation) -> Reason | None:
    """Somebody paused it."""
    pause = situation.pause_of(situation.type)
    if pause is None:
        return None
    for type in (situation.type, *situation.owners):
        if type in situation.paused.types:
            what = f"type {shown(type, LISTED)}"
            if type != situation.type:
                what += f", of which {shown(situation.type, LISTED)} is an alias,"
            scope, resume = type, f"jobpool resume {argument(type)}"
            pause = situation.paused.types[type]
            break
    else:
        what, scope, resume = "everything", None, "jobpool resume --all"
    both = scope is not None and situation.paused.everything is not None
    because = f": {shown(pause.reason)}" if pause.reason else ""
    text = f"{what} has been paused for {duration(situation.since(pause.since))}{because}"
    if both:
        text += "; so is everything"
        resume = "jobpool resume --all"
    return Reason(
        "paused",
        text,
        f"to go on: {resume}",
        {"type": scope, "everything": situation.paused.everything is not None, "since": pause.since}
        | {"reason": pause.reason},
    )


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
    rate = _rate(situation)
    seconds = ahead.jobs / rate if rate else None
    number = f"{'more than ' if ahead.more else ''}{several(ahead.jobs, 'due job')}"
    verb = "comes" if ahead.jobs == 1 and not ahead.more else "come"
    of_key = (
        "" if ahead.key is None else f" of its key {shown(ahead.key, LISTED)}" if ahead.key else " of its type"
    )
    text = f"{number}{of_key} {verb} before it, of higher priority or due earlier"
    if seconds is not None and rate is not None:
        least = "at least " if ahead.more else "about "
        text += f"; at {rate:,.3g} a second, as of late, that takes {least}{duration(seconds)}"
    return Reason(
        "behind",
        text,
        "wait, or have more pools or threads, or give it a higher priority when it is created",
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
    running = _running_in(situation, pools)
    if running < threads:
        return None
    facts: dict[str, Any] = {"threads": threads, "running": running, "pools": pool_facts(pools)}
    longest = ""
    held = [job for job in (situation.held.jobs if situation.held else ()) if job.started_at is not None]
    held = [job for job in held if any(_is_of(job.pool_id, job.pool, pool) for pool in pools)]
    if held:
        held.sort(key=lambda job: (job.started_at is None, job.started_at))
        first = held[0]
        facts["longest"] = holder_facts(situation, held)
        assert first.started_at is not None
        ran = duration(situation.since(first.started_at))
        longest = f"; job {of_job(first.id)} of type {shown(first.type, LISTED)} has run for {ran}"
    of = "pool that runs" if len(pools) == 1 else f"{len(pools)} pools that run"
    text = f"all {several(threads, 'thread')} of the {of} its type are taken{longest}"
    return Reason("busy", text, "wait until one is free, or have more threads or pools", facts)


def _running_in(situation: Situation, pools: tuple[AlivePool, ...]) -> int:
    """Return how many jobs run in these pools now; by their own word, which is older, if they are too many."""
    held = situation.held
    if held is None or not held.complete:
        return sum(pool.busy or 0 for pool in pools)
    return sum(
        any(_is_of(job.pool_id, job.pool, pool) for pool in pools) for job in held.jobs if job.state == "running"
    )


def _is_of(id: str | None, name: str | None, pool: AlivePool) -> bool:
    return pool.id == id if id is not None and pool.version is not None else pool.name == name


def _nothing(situation: Situation) -> Reason:
    """Nothing holds it up that can be seen."""
    run_at = situation.instant("run_at")
    since = 0.0 if run_at is None else max(0.0, situation.since(run_at))
    pools = situation.serving
    heard = min((situation.since(pool.seen_at) for pool in pools if pool.seen_at is not None), default=None)
    facts = {"run_at": run_at, "due_for": since, "heard_of": heard, "pools": pool_facts(pools)}
    by = f"{several(len(pools), 'pool')} with {several(sum(pool.threads for pool in pools), 'thread')}"
    if since < SOON:
        text = f"nothing holds it up: it has been due for {duration(since)}, and {by} should take it now"
        return Reason("just_due", text, "ask again in a moment", facts)
    text = (
        f"nothing that can be seen from here holds it up: it has been due for {duration(since)}, it is the next, "
        f"and {by} {'runs' if len(pools) == 1 else 'run'} its type"
    )
    if heard is not None:
        text += f", {'' if len(pools) == 1 else 'one of them '}heard of last {duration(max(0.0, heard))} ago"
    remedy = (
        "see whether these pools live and reach MongoDB: their /readyz, their logs. An open transaction may have "
        "written the job: MongoDB ends one after its transactionLifetimeLimitSeconds, a minute mostly"
    )
    if any(pool.version is None for pool in pools):
        remedy += ". Pools of older versions do not tell what limits they heed"
    return Reason("unclear", text, remedy, facts)
