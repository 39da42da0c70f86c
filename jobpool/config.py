"""The settings of a pool, checked when they are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from .errors import InvalidConfiguration
from .executors import LONGEST_LIMIT, SHORTEST_LIMIT
from .names import check_int, check_name, check_seconds, shown

DAY = 86400.0
MAX_THREADS = MAX_STUCK = 1000


class PoolOptions(TypedDict, total=False):
    """The settings of `PoolConfig` as keyword arguments; None means the default."""

    name: str | None
    threads: int | None
    queue_size: int | None
    batch_size: int | None
    strategy: str | None
    lease: float | None
    heartbeat: float | None
    reap_interval: float | None
    poll_interval: float | None
    stop_timeout: float | None
    longest_run: float | None
    stuck_after: float | None
    max_stuck: int | None
    push: bool | None
    backlog_interval: float | None


def config_of(options: Mapping[str, Any]) -> PoolConfig:
    """Return the configuration that keyword arguments spell out; raise `InvalidConfiguration` for unknown ones."""
    unknown = sorted(set(options) - set(PoolConfig.__dataclass_fields__))
    if unknown:
        known = ", ".join(PoolConfig.__dataclass_fields__)
        raise InvalidConfiguration(f"unknown pool options: {', '.join(unknown)}; known: {known}")
    return PoolConfig(**{name: value for name, value in options.items() if value is not None})


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """The settings of one `WorkerPool`. Durations are seconds.

    Args:
        name: Names the pool in the store, logs and metrics; several pools may share one.
        threads: Executors that run at once.
        queue_size: The most jobs claimed and waiting for a thread. How many
            really wait adapts to how fast jobs run, down to none for slow ones.
        batch_size: The most jobs taken by one claim call.
        strategy: The claim strategy: ``single``, ``batch`` or ``window``.
        lease: How long a claim lasts without a heartbeat.
        heartbeat: Between two extensions of the held leases; a third of the lease if None.
        reap_interval: Between two searches for expired leases; half the lease if None.
        poll_interval: The longest wait between two looks for due jobs when nobody wakes the pool.
        stop_timeout: How long leaving a ``with`` block, or the end of the main
            thread, waits for running executors.
        longest_run: The longest that an executor keeps its claim: the lease of one
            that runs longer is not extended any more, so that a job that never
            returns comes back to be tried elsewhere. Its thread stays taken. None: no limit.
        stuck_after: An executor that runs longer counts as stuck: a warning and `Job.stuck`
            say where it is, and it goes on. None: no limit, as only you know how long
            your jobs may take; a guess would cry wolf about every long job.
        max_stuck: How many threads may be replaced at a time whose executors did not end at
            their ``timeout``. One more, and the pool is unhealthy: a process cannot get rid
            of them, but can be restarted. As many as `threads` if None.
        push: Whether to wake up by change stream where the server has them.
        backlog_interval: Between two counts of the backlog of all pools, for the metrics;
            0 counts nothing. More if a count takes longer than a twentieth of it.
    """

    name: str = "default"
    threads: int = 16
    queue_size: int = 1000
    batch_size: int = 500
    strategy: str = "window"
    lease: float = 30.0
    heartbeat: float | None = None
    reap_interval: float | None = None
    poll_interval: float = 1.0
    stop_timeout: float = 30.0
    longest_run: float | None = None
    stuck_after: float | None = None
    max_stuck: int | None = None
    push: bool = True
    backlog_interval: float = 15.0

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "name", check_name(self.name, "pool name"))
        except ValueError as error:
            raise InvalidConfiguration(str(error)) from None
        check_int(self.threads, "threads", 1, MAX_THREADS)
        check_int(self.queue_size, "queue_size", 1, 100_000)
        check_int(self.batch_size, "batch_size", 1, 10_000)
        check_seconds(self.lease, "lease", 1, DAY)
        check_seconds(self.heartbeat_interval, "heartbeat", 0.05, DAY)
        check_seconds(self.reap_every, "reap_interval", 0.05, DAY)
        check_seconds(self.poll_interval, "poll_interval", 0.01, 3600)
        check_seconds(self.stop_timeout, "stop_timeout", 0, DAY)
        check_seconds(self.backlog_interval, "backlog_interval", 0, DAY)
        if self.longest_run is not None:
            check_seconds(self.longest_run, "longest_run", 0.1, 365 * DAY)
        if self.stuck_after is not None:
            check_seconds(self.stuck_after, "stuck_after", SHORTEST_LIMIT, LONGEST_LIMIT)
        check_int(self.most_stuck, "max_stuck", 0, MAX_STUCK)
        if not isinstance(self.strategy, str):
            raise InvalidConfiguration(f"strategy must be a str, not {type(self.strategy).__name__}")
        if not isinstance(self.push, bool):
            raise InvalidConfiguration(f"push must be True or False, not {shown(self.push)}")
        # Two heartbeats must fit in a lease, or one late reply loses every job.
        if self.heartbeat_interval > self.lease / 2:
            raise InvalidConfiguration(
                f"heartbeat ({self.heartbeat_interval:g} s) must be at most half the lease ({self.lease:g} s)"
            )

    @property
    def most_stuck(self) -> int:
        """How many threads may be replaced at a time."""
        return self.threads if self.max_stuck is None else self.max_stuck

    @property
    def heartbeat_interval(self) -> float:
        """Seconds between two extensions of the held leases."""
        return self.lease / 3 if self.heartbeat is None else self.heartbeat

    @property
    def reap_every(self) -> float:
        """Seconds between two searches for expired leases."""
        return self.lease / 2 if self.reap_interval is None else self.reap_interval
