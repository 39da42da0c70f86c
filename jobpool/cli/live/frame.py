"""What is known at one moment, and how fast things move between two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...backlog import AlivePool, Backlog
    from ...overview import Activity, FailedJob, RunningJob, TypeOverview
    from ...pauses import Paused

#: Jobs that are not done with, held ones left out: what is before the pools.
_BEFORE = ("due", "scheduled", "waiting")


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast things move, per second. None where it is not known yet.

    Attributes:
        seconds: Between the two looks that `growth` compares.
        growth: Jobs that came into the collection, less those that were removed from it.
        ended: Attempts that ended, by the pools' own word, over about the last minute.
        failed: Jobs that failed for good.
        backlog: How the jobs that are due, scheduled or waiting become more, between the last two counts.
        created: Jobs that came into the collection, between these two looks as well.
        removed: Jobs that were removed from it, by anybody or because their time was over.
        started: Attempts that were begun, by the pools' own word, over about the last minute; None as well if
            one of them is of a version that does not say.
    """

    seconds: float | None
    growth: float | None
    ended: float
    failed: float | None
    backlog: float | None
    created: float | None = None
    removed: float | None = None
    started: float | None = None


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """A pool alive, and what it holds.

    Attributes:
        name, id, host, pid, threads, state, version: See `AlivePool`.
        running: Jobs whose executor it has called.
        claimed: Jobs that wait there for a thread.
        ended: Attempts that ended there per second, over about the last minute.
        started: Attempts that were begun there per second; None if it is of a version that does not say.
        silent, heard_ago: See `AlivePool`.
    """

    name: str
    id: str | None
    host: str
    pid: int
    state: str | None
    version: str | None
    threads: int
    running: int
    claimed: int
    ended: float
    started: float | None = None
    silent: bool = False
    heard_ago: float | None = None


@dataclass(frozen=True, slots=True)
class FailedAlike:
    """Of the jobs that failed last, those of one type and exception class.

    Attributes:
        type, error: The type, and the class; empty if nothing is known of it.
        jobs: How many of them there are among those that failed last.
        last_at, last_id, message: When the newest of them failed, its id, and how its error's text begins.
    """

    type: str
    error: str
    jobs: int
    last_at: datetime
    last_id: str
    message: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What is known at one moment.

    Attributes:
        collection: The jobs'.
        at: When it was looked (server time).
        server, replica_set, members, unreachable: Who answered, and the others; see `Activity`.
        documents: How many jobs there are, whatever their state.
        pools_alive, threads, busy: Pools, their threads, and how many of these have a job.
        rates: How fast things move.
        counted_at: When `types` were counted: counting rests for twenty times as long as it took.
        types: The types; None if they have not been counted yet.
        pools: The pools alive.
        running: The jobs that have run longest.
        failures: The jobs that failed last, by type and class.
        paused: What is paused.
        trouble, trouble_since: Why nothing newer is known, and since when (by this machine's clock); None
            if all is well.
        uncounted: Why the jobs could not be counted when that was tried last; None if they were.
    """

    collection: str
    at: datetime
    server: str
    replica_set: str | None
    members: int
    unreachable: tuple[str, ...]
    documents: int
    pools_alive: int
    threads: int
    busy: int
    rates: Rates
    counted_at: datetime | None
    types: tuple[TypeOverview, ...] | None = field(repr=False)
    pools: tuple[PoolLoad, ...] = field(repr=False)
    running: tuple[RunningJob, ...] = field(repr=False)
    failures: tuple[FailedAlike, ...] = field(repr=False)
    paused: Paused
    trouble: str | None = None
    trouble_since: datetime | None = None
    uncounted: str | None = None


def rates_of(now: Activity, before: Activity | None, since: datetime, counts: tuple[Backlog, ...]) -> Rates:
    """Return how fast things move.

    Args:
        now, before: The last look and the one before it.
        since: Since when `now` counted what failed.
        counts: The last two counts, or fewer.
    """
    seconds = (now.at - since).total_seconds()
    lately = None if before is None else (now.at - before.at).total_seconds()
    known = before is not None and lately is not None and lately > 0
    growth = (now.documents - before.documents) / lately if before and lately and known else None
    removed = _removed(now, before)
    removed_rate = removed / lately if removed is not None and lately and known else None
    return Rates(
        seconds=lately,
        growth=growth,
        ended=sum((pool.ended_per_second for pool in now.pools), 0.0),
        failed=None if now.failed is None or seconds <= 0 else now.failed / seconds,
        backlog=_growth(counts),
        # A job that comes or goes while MongoDB tells of both may be in one of them only.
        created=None if growth is None or removed_rate is None else max(0.0, growth + removed_rate),
        removed=removed_rate,
        started=_started(now),
    )


def _removed(now: Activity, before: Activity | None) -> int | None:
    """Return how many jobs were removed between two looks; None if it is another server, or it was restarted."""
    if before is None or now.removed is None or before.removed is None or now.server != before.server:
        return None
    return now.removed - before.removed if now.removed >= before.removed else None


def _started(activity: Activity) -> float | None:
    rates = [pool.started_per_second for pool in activity.pools]
    known = [rate for rate in rates if rate is not None]
    return sum(known, 0.0) if len(known) == len(rates) else None


def _growth(counts: tuple[Backlog, ...]) -> float | None:
    if len(counts) < 2:
        return None
    first, last = counts[-2:]
    seconds = (last.at - first.at).total_seconds()
    return (_before(last) - _before(first)) / seconds if seconds > 0 else None


def _before(backlog: Backlog) -> int:
    return sum(getattr(backlog.total, state) for state in _BEFORE)


def load_of(pool: AlivePool, activity: Activity) -> PoolLoad:
    """Return a pool with what it holds."""
    claimed, running = activity.held_by(pool)
    return PoolLoad(
        name=pool.name,
        id=pool.id,
        host=pool.host,
        pid=pool.pid,
        state=pool.state,
        version=pool.version,
        threads=pool.threads,
        running=running,
        claimed=claimed,
        ended=pool.ended_per_second,
        started=pool.started_per_second,
        silent=pool.silent,
        heard_ago=pool.heard_ago,
    )


def alike(failures: Iterable[FailedJob]) -> tuple[FailedAlike, ...]:
    """Return failures by type and class, those with the newest one first."""
    groups: dict[tuple[str, str], list[FailedJob]] = {}
    for job in failures:
        groups.setdefault((job.type, job.error), []).append(job)
    found = []
    for (type, error), jobs in groups.items():
        newest = max(jobs, key=lambda job: job.finished_at)
        found.append(FailedAlike(type, error, len(jobs), newest.finished_at, newest.id, newest.message))
    return tuple(sorted(found, key=lambda one: one.last_at, reverse=True))
