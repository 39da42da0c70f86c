"""What all of it looks like together: types, pools, what runs, what failed; for those who operate it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .backlog import AlivePool, Backlog, TypeBacklog, TypeLimits
from .pauses import Pause, Paused
from .progress import Progress


@dataclass(frozen=True, slots=True)
class Finished:
    """How many final jobs of a type are kept.

    Attributes:
        succeeded, failed, cancelled: Those in that state.
    """

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class Size:
    """What the collection of the jobs takes.

    Attributes:
        data_bytes: All jobs, uncompressed.
        storage_bytes: What they take on disk, free space in the file included.
        index_bytes: By name of the index, what it takes on disk.
    """

    data_bytes: int
    storage_bytes: int
    index_bytes: Mapping[str, int]

    @property
    def total_index_bytes(self) -> int:
        """What all indexes take on disk."""
        return sum(self.index_bytes.values())


@dataclass(frozen=True, slots=True)
class Stats:
    """One look at all of it. Numbers are counted one after the other while jobs move.

    Attributes:
        at: When it was counted (server time).
        seconds: How long the counting took.
        types: By type, the jobs that are not done with, and those that failed.
        total: All types together.
        pools_alive, threads_alive: Those that said lately that they live.
        suggested_pools: How many would work off the due jobs within a minute; see `Backlog.suggested_pools`.
        paused: What is paused.
        documents: How many jobs there are, whatever their state, as MongoDB keeps count (after a
            crash of the server it may be some off).
        finished: By type, those that are final; None if they were not asked for.
        size: What the collection takes; None if this user may not know: the right is `collStats`.
    """

    at: datetime
    seconds: float
    types: Mapping[str, TypeBacklog] = field(repr=False)
    total: TypeBacklog
    pools_alive: int
    threads_alive: int
    suggested_pools: int
    paused: Paused
    documents: int
    finished: Mapping[str, Finished] | None = field(default=None, repr=False)
    size: Size | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeOverview:
    """A type that has jobs that are not done with, or failed ones, or a pool that runs it, or that is paused.

    Attributes:
        type: The type.
        due, scheduled, waiting, claimed, running, failed: See `TypeBacklog`, as for the three below.
        oldest_due_age, throughput, run_seconds: Seconds, attempts per second, seconds.
        pools: How many pools alive run it, under this name or as an alias.
        threads: How many threads they have together; they may be busy with other types.
        paused: Whether none of its jobs is begun.
        pause: The pause that holds it, its own or that of everything; None if it is not paused.
        alias_of: The type of which a pool alive says that this is an alias; None if none does.
        aliases: Those that pools alive say it has.
        limits: What a pool alive heeds when it claims jobs of it; None if nothing.
        start_rate: Attempts of it that pools alive began per second, over about the last minute; None if one of
            those that run it is of a version that does not say.
    """

    type: str
    due: int = 0
    scheduled: int = 0
    waiting: int = 0
    claimed: int = 0
    running: int = 0
    failed: int = 0
    oldest_due_age: float = 0.0
    throughput: float = 0.0
    run_seconds: float | None = None
    pools: int = 0
    threads: int = 0
    paused: bool = False
    pause: Pause | None = None
    alias_of: str | None = None
    aliases: tuple[str, ...] = ()
    limits: TypeLimits | None = None
    start_rate: float | None = None

    @property
    def nobody_runs_it(self) -> bool:
        """Whether it has due jobs and no pool alive runs it."""
        return bool(self.due) and not self.pools


@dataclass(frozen=True, slots=True)
class Held:
    """What a pool holds of a type.

    Attributes:
        pool: The name of the pool.
        pool_id: Which pool of that name; None if an older version claimed them.
        type: Of the jobs.
        claimed: Those whose executor has not been called.
        running: Those whose executor has been called.
    """

    pool: str
    pool_id: str | None
    type: str
    claimed: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that runs, without its data.

    Attributes:
        id, type, key: The job's.
        pool, pool_id: The pool that runs it.
        started_at: When this attempt began (server time).
        seconds: For how long it has run when it was looked.
        attempt: Its number, from 1.
        progress: How far it is by its own word; None if it has said nothing.
        lease_until: When its pool is taken for dead if it does not extend that before.
        cancel_requested_at: When somebody asked it to end.
    """

    id: str
    type: str
    key: str | None
    pool: str | None
    pool_id: str | None
    started_at: datetime
    seconds: float
    attempt: int
    progress: Progress | None
    lease_until: datetime | None
    cancel_requested_at: datetime | None


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that failed for good, without its data.

    Attributes:
        id, type: The job's.
        finished_at: When it failed (server time).
        error: The exception class of its last attempt; empty if nothing is known of it.
        message: The beginning of its text, up to 200 characters; it may hold anything.
        attempts: How many it had.
    """

    id: str
    type: str
    finished_at: datetime
    error: str
    message: str = field(repr=False)
    attempts: int


@dataclass(frozen=True, slots=True)
class Activity:
    """What goes on, as far as it can be known cheaply: nothing here counts the backlog.

    Attributes:
        at: When it was looked (server time).
        server: Who answered, ``host:port``.
        replica_set: The name of its replica set; None of a standalone or a mongos.
        members: How many members that has, by the word of who answered, arbiters included; 1 of none.
        unreachable: Those of them, ``host:port``, that this process could not reach lately.
        documents: How many jobs there are, whatever their state, as MongoDB keeps count.
        removed: How many `server` has removed from the collection since it came up, by its own statistics: the
            difference of two looks counts, with that of `documents` it is what was created. None if this user may
            not know (the right is `collStats`), or if the server does not tell.
        failed: How many failed for good since the instant asked for; None if none was.
        pools: Those alive.
        held: What pools hold, those that died with it included.
        running: Jobs that run, those that began first in front.
        failures: Jobs that failed, the newest first.
        paused: What is paused.
    """

    at: datetime
    server: str
    replica_set: str | None
    members: int
    unreachable: tuple[str, ...]
    documents: int
    failed: int | None
    pools: tuple[AlivePool, ...] = field(repr=False)
    held: tuple[Held, ...] = field(repr=False)
    running: tuple[RunningJob, ...] = field(repr=False)
    failures: tuple[FailedJob, ...] = field(repr=False)
    paused: Paused
    removed: int | None = None

    def held_by(self, pool: AlivePool) -> tuple[int, int]:
        """Return how many jobs a pool has claimed, and how many it runs."""
        return held_by(pool, self.held)


def held_by(pool: AlivePool, held: Iterable[Held]) -> tuple[int, int]:
    """Return how many jobs a pool has claimed, and how many it runs.

    What an older version claimed has only a name: it counts for every pool of it.
    """
    theirs = [one for one in held if pool.holds(one.pool_id, one.pool)]
    return sum(one.claimed for one in theirs), sum(one.running for one in theirs)


def held_by_nobody(pools: Iterable[AlivePool], held: Iterable[Held]) -> tuple[Held, ...]:
    """Return what is held by none of `pools`: by those that died, or by what runs jobs without a pool."""
    pools = tuple(pools)
    return tuple(one for one in held if not any(pool.holds(one.pool_id, one.pool) for pool in pools))


def types_of(backlog: Backlog, pools: Iterable[AlivePool], paused: Paused) -> tuple[TypeOverview, ...]:
    """Return every type with jobs in `backlog`, or that one of `pools` runs, or that is paused by itself."""
    pools = tuple(pools)
    aliases = {alias: owner for pool in pools for alias, owner in pool.aliases.items()}
    named = {*backlog.types, *(type for pool in pools for type in pool.types), *paused.types}
    return tuple(_type_of(type, backlog.of(type), pools, paused, aliases) for type in sorted(named))


def _type_of(
    type: str, jobs: TypeBacklog, pools: tuple[AlivePool, ...], paused: Paused, aliases: Mapping[str, str]
) -> TypeOverview:
    running = [pool for pool in pools if type in pool.types]
    owner = aliases.get(type)
    pause = paused.why(type) or (paused.why(owner) if owner else None)
    return TypeOverview(
        type=type,
        due=jobs.due,
        scheduled=jobs.scheduled,
        waiting=jobs.waiting,
        claimed=jobs.claimed,
        running=jobs.running,
        failed=jobs.failed,
        oldest_due_age=jobs.oldest_due_age,
        throughput=jobs.throughput,
        run_seconds=jobs.run_seconds,
        pools=len(running),
        threads=sum(pool.threads for pool in running),
        paused=pause is not None or jobs.paused,
        pause=pause,
        alias_of=owner,
        aliases=tuple(sorted(alias for alias, other in aliases.items() if other == type)),
        limits=next((limits for pool in running if (limits := pool.limits_of(type)) is not None), None),
        start_rate=_start_rate(type, running),
    )


def _start_rate(type: str, pools: Iterable[AlivePool]) -> float | None:
    rates = [None if pool.start_rates is None else pool.start_rates.get(type, 0.0) for pool in pools]
    known = [rate for rate in rates if rate is not None]
    return sum(known, 0.0) if len(known) == len(rates) else None
