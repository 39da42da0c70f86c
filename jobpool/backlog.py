"""The cluster view: how many jobs of which type are where, how old the oldest due one is, how fast they run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from .capacity import pools_for
from .names import check_int, check_name, check_seconds

if TYPE_CHECKING:
    from .limits import Limit

#: What a pool says of itself when it claims no more.
DRAINING = "draining"
#: Threads of a pool that nobody has seen alive: the default of `PoolConfig.threads`.
THREADS = 16
#: Seconds in which the due jobs are to be worked off, if nobody says otherwise.
TARGET = 60.0
#: Sums of floats that should be whole are not; this is below a hundredth of a thread in the largest pool.
_ALMOST = 1e-6


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast jobs of a type are run.

    Attributes:
        per_second: Attempts that ended, and were recorded, per second, over about the last minute.
        run_seconds: How long an executor ran, on average; of earlier ones if none ended lately.
    """

    per_second: float
    run_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeLimits:
    """What a pool heeds when it claims jobs of a type; see `Executor`.

    Attributes:
        limit: Of all jobs of the type, its aliases included.
        key_limit: Of those of each key.
        keyed: Whether its jobs have keys that take turns.
    """

    limit: Limit | None = None
    key_limit: Limit | None = None
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """What has come and gone in a pool since it was made, as of its last word.

    Attributes:
        claimed: Jobs that it claimed, those included that it gave back.
        started: Attempts that were begun: marked running, and handed to the threads.
        ended: Attempts that ended, and were recorded.
    """

    claimed: int
    started: int
    ended: int


@dataclass(frozen=True, slots=True)
class AlivePool:
    """A pool, by its own word: it says now and then that it lives, and what it runs.

    What it does not say of itself is None or empty: older versions say less.

    Attributes:
        name: The name its user gave it; several may share one.
        host: The machine's name.
        pid: The process on it.
        types: What it runs, aliases and what is paused included.
        threads: How many at once.
        rates: By type, how fast it runs them; only what it has run.
        id: Random, of this very pool; `Job.pool_id` of what it holds.
        since: When it spoke first, soon after its start (server time).
        seen_at: When it spoke last: what is here was true then.
        fresh_until: Until when that may be taken for a sign of life.
        alive: Whether that was to come when it was looked.
        version: That of its jobpool.
        state: ``running``, or ``draining`` when it claims no more.
        aliases: By alias of a type that it runs, that type.
        limits: By type (not by alias), what it heeds; only types that have any.
        busy: Threads that ran an executor at `seen_at`.
        queued: Jobs that it had claimed and that waited there for a thread.
        lease: Seconds that its claims last without a heartbeat.
        speaks_every: Seconds within which it speaks again, if all is well with it.
        heard_ago: Seconds since it spoke last, when it was looked.
        silent: Whether it counts as alive, and should have spoken again since: it was killed or is suspended,
            does not reach MongoDB, or is about to speak on a machine that is very busy.
        counts: What has come and gone there.
        start_rates: By type, how many attempts were begun there per second, over about the last minute.
    """

    name: str
    host: str
    pid: int
    types: frozenset[str] = field(repr=False)
    threads: int
    rates: Mapping[str, Rate] = field(repr=False)
    id: str | None = None
    since: datetime | None = None
    seen_at: datetime | None = None
    fresh_until: datetime | None = None
    alive: bool = True
    version: str | None = None
    state: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict, repr=False)
    limits: Mapping[str, TypeLimits] = field(default_factory=dict, repr=False)
    busy: int | None = None
    queued: int | None = None
    lease: float | None = None
    speaks_every: float | None = None
    heard_ago: float | None = None
    silent: bool = False
    counts: PoolCounts | None = None
    start_rates: Mapping[str, float] | None = field(default=None, repr=False)

    @property
    def claims(self) -> bool:
        """Whether it takes more jobs, if it lives."""
        return self.state != DRAINING

    @property
    def ended_per_second(self) -> float:
        """How many attempts ended there per second, of all types, over about the last minute."""
        return sum((rate.per_second for rate in self.rates.values()), 0.0)

    @property
    def started_per_second(self) -> float | None:
        """How many attempts were begun there per second, of all types; None if it does not say."""
        return None if self.start_rates is None else sum(self.start_rates.values(), 0.0)

    def holds(self, id: str | None, name: str | None) -> bool:
        """Say whether a claim is its own that has this id and this name of a pool: one of an older has no id."""
        return self.id == id if id and self.id else self.name == name

    def owner(self, type: str) -> str:
        """Return the type of which `type` is an alias there; `type` itself if it is none."""
        return self.aliases.get(type, type)

    def limits_of(self, type: str) -> TypeLimits | None:
        """Return what the pool heeds when it claims jobs of `type`; None if nothing."""
        return self.limits.get(self.owner(type))


@dataclass(frozen=True, slots=True)
class TypeBacklog:
    """The jobs of one type that are not done with, and how fast they are worked off.

    Attributes:
        due: Pending, and may be claimed now.
        scheduled: Pending with a later `run_at`: created so, or waiting for a retry.
        claimed: Held by a pool, executor not called.
        running: Held by a pool, executor called.
        failed: Failed and kept.
        waiting: Waiting for other jobs to end.
        oldest_due_age: Seconds since the first of the due ones became due; 0 if there are none.
        throughput: Attempts that the pools alive finished per second, over about the last
            minute; a job that is tried again counts again, as it is due again. What
            `JobManager.run` runs is not in it.
        run_seconds: How long their executors ran, on average; None if none of these pools has run one.
        paused: Whether the type is paused, so that none of the due ones is begun.
    """

    due: int = 0
    scheduled: int = 0
    claimed: int = 0
    running: int = 0
    failed: int = 0
    waiting: int = 0
    oldest_due_age: float = 0.0
    throughput: float = 0.0
    run_seconds: float | None = None
    paused: bool = False


STATES = ("due", "scheduled", "claimed", "running", "failed", "waiting")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What all pools together have before them, as of one look at the store.

    The numbers are counted one after the other while jobs move, so a job that
    moves meanwhile may be counted twice or not at all.

    Attributes:
        types: By type; every type that has such jobs, or that a pool alive has run.
        pools: Those, of all processes and hosts, that said lately that they live.
        at: When it was counted (server time).
        seconds: How long the counting took.
    """

    types: Mapping[str, TypeBacklog] = field(repr=False)
    pools: tuple[AlivePool, ...] = field(repr=False)
    at: datetime
    seconds: float

    def of(self, type: str) -> TypeBacklog:
        """Return the backlog of one type."""
        return self.types.get(type, TypeBacklog())

    def knowing(self, run_seconds: Mapping[str, float]) -> Backlog:
        """Return the same with the run times of types of which it knows none, from earlier counts."""
        types = {
            type: replace(part, run_seconds=run_seconds.get(type)) if part.run_seconds is None else part
            for type, part in self.types.items()
        }
        return replace(self, types=types)

    @property
    def total(self) -> TypeBacklog:
        """All types together, and the oldest age among them."""
        return merged(self.types.values())

    @property
    def pools_alive(self) -> int:
        """How many pools said lately that they live."""
        return len(self.pools)

    def pools_of(self, types: Iterable[str]) -> tuple[AlivePool, ...]:
        """Return the pools alive that run any of `types`; all if there are none."""
        wanted = frozenset(types)
        return tuple(pool for pool in self.pools if not wanted or not wanted.isdisjoint(pool.types))

    def suggested_pools(
        self,
        *types: str,
        target: float = TARGET,
        threads: int | None = None,
        minimum: int = 0,
        maximum: int | None = None,
    ) -> int:
        """Return how many pools would work off the due jobs within `target` seconds.

        By Little's law (J. D. C. Little, "A Proof for the Queuing Formula: L = λW",
        Operations Research 9 (3), 1961): to run `due` jobs within `target` seconds, that
        is λ = due / target jobs per second which take W = `run_seconds` each, L = λW
        threads are busy all the time. To these come those that are busy now, with
        what keeps arriving. So, rounded up to whole pools,

            sum over types of  (due + claimed) / target * W / threads  +  running / threads

        where a job costs a pool no less than 50 us, whatever its threads. A type that
        none of the pools alive has run gets a thread for each due job: nothing is known of
        it, except to who counts all the time (a pool, ``jobpool metrics``) and remembers.
        Due jobs of a paused type count as none. Of a type whose pools all heed a `Limit`, more
        pools than its places fill are not asked for, nor faster ones than its rate: they would
        wait. Of keys nobody knows here how many there are: give a `maximum` if those are limited.

        It is a snapshot: how slowly to follow it downwards is for the autoscaler to say.

        Args:
            types: Those that the pools to be scaled run; all if none are given.
            target: Seconds.
            threads: Of each pool; as many as those alive that run these types have on
                average if None, and 16 if there are none.
            minimum, maximum: Bounds of the answer; no upper one if None.
        """
        check_seconds(target, "target", 1, 365 * 86400.0)
        check_int(minimum, "minimum", 0, 1_000_000)
        if maximum is not None:
            check_int(maximum, "maximum", minimum, 1_000_000)
        each = self._threads(types) if threads is None else check_int(threads, "threads", 1, 1000)
        wanted = [self._checked(type) for type in types] or list(self.types)
        owners = {type: self._owner(type) for type in wanted}
        needed = sum(
            self._pools_for(owner, [type for type in wanted if owners[type] == owner], target, each)
            for owner in dict.fromkeys(owners.values())
        )
        pools = max(minimum, math.ceil(needed - _ALMOST))
        return pools if maximum is None else min(pools, maximum)

    def _owner(self, type: str) -> str:
        """Return the type of which `type` is an alias, by the word of a pool alive."""
        return next((pool.owner(type) for pool in self.pools if type in pool.types), type)

    def _pools_for(self, owner: str, types: list[str], target: float, threads: float) -> float:
        """Return how many pools the jobs of a type and its aliases need, as a fraction."""
        said = [pool.limits_of(owner) for pool in self.pools if not pool.types.isdisjoint(types)]
        limits = [None if limits is None else limits.limit for limits in said]
        return pools_for(map(self.of, types), limits, target, threads)

    def _checked(self, type: str) -> str:
        """Return a name that is one; what was counted counts, even if somebody else wrote a name that is none."""
        return type if isinstance(type, str) and type in self.types else check_name(type, "type")

    def _threads(self, types: Iterable[str]) -> float:
        pools = self.pools_of(types)
        return sum(pool.threads for pool in pools) / len(pools) if pools else THREADS


@dataclass(frozen=True, slots=True)
class View:
    """A backlog that was counted here some time ago.

    Attributes:
        backlog: What was counted.
        counted: When, by this process's monotonic clock.
    """

    backlog: Backlog
    counted: float


def merged(parts: Iterable[TypeBacklog]) -> TypeBacklog:
    """Return the sums of `parts`, their oldest age, the mean run time, and whether all of them are paused."""
    parts = list(parts)
    sums = {state: sum(getattr(part, state) for part in parts) for state in STATES}
    rates = [Rate(part.throughput, part.run_seconds) for part in parts if part.run_seconds is not None]
    rate = mean_rate(rates)
    return TypeBacklog(
        **sums,
        oldest_due_age=max((part.oldest_due_age for part in parts), default=0.0),
        throughput=rate.per_second if rate else 0.0,
        run_seconds=rate.run_seconds if rate else None,
        paused=bool(parts) and all(part.paused for part in parts),
    )


def mean_rate(rates: Iterable[Rate]) -> Rate | None:
    """Return the rate of all together, None of none: run times by how many jobs ran so, if any did lately."""
    rates = list(rates)
    if not rates:
        return None
    per_second = sum(rate.per_second for rate in rates)
    if per_second == 0:
        return Rate(0.0, sum(rate.run_seconds for rate in rates) / len(rates))
    return Rate(per_second, sum(rate.per_second * rate.run_seconds for rate in rates) / per_second)
