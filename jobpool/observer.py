"""The events of a manager and its pools, as calls.

`Observer` does nothing; `metrics.Metrics` counts. Store and pool know only
this vocabulary, so they carry no metrics library. Every method may be called
from any thread, never under a lock, and must neither block nor raise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .backlog import Backlog


@dataclass(frozen=True, slots=True)
class PoolGauges:
    """What a pool looks like at one instant.

    Attributes:
        threads: Size of the pool.
        busy: Threads that run an executor.
        queued: Jobs claimed and waiting for a thread.
        queue_capacity: The bound of that.
        busy_seconds: Thread time spent in executors since the pool was made.
        longest_running: Seconds that the longest running executor has run; 0 when idle.
        stuck: Threads whose executor runs past its limit; 0 without limits.
    """

    threads: int
    busy: int
    queued: int
    queue_capacity: int
    busy_seconds: float
    longest_running: float
    stuck: int


class Observer:
    """Hears what happens, and does nothing about it."""

    def jobs_created(self, type: str, result: str, jobs: int) -> None:
        """`jobs` creates ended as `result`: inserted, duplicate, revived, dropped, full or error."""

    def schedule_fired(self, type: str, result: str) -> None:
        """A due time of a schedule was dealt with: fired, late, skipped or missed; see `metrics.FIRINGS`."""

    def store_operation(self, operation: str, seconds: float, error: str | None) -> None:
        """A store operation took `seconds`; `error` is its kind, None if it was answered."""

    def claimed(self, pool: str, result: str, won: int, conflicts: int, factor: int) -> None:
        """A claim call ended as `result`: full, partial, empty, contended or error."""

    def woken(self, pool: str, source: str, missed: int) -> None:
        """The fetcher stopped waiting: push, local or poll; `missed` jobs should have been pushed."""

    def rested(self, pool: str) -> None:
        """The fetcher had nothing to ask for: all that its pool runs is paused."""

    def fetcher_blocked(self, pool: str, seconds: float) -> None:
        """The fetcher waited `seconds` for room in the queue."""

    def started(self, pool: str, type: str, wait: float, queue_wait: float) -> None:
        """An executor is about to be called, `wait` seconds after its job was due."""

    def finished(self, type: str, outcome: str, duration: float, error: str | None) -> None:
        """An attempt ended as `Outcome.name` says and was recorded, or it is lost: its outcome was refused."""

    def completed(self, type: str, turnaround: float) -> None:
        """A job ended for good, `turnaround` seconds after it was due for the first time."""

    def leases_extended(self, pool: str, result: str, jobs: int) -> None:
        """A heartbeat's answer for `jobs` leases: extended, lost or error."""

    def leases_lost(self, pool: str, stage: str, jobs: int) -> None:
        """`jobs` claims are found lost while queued, running or finishing: each once, where it was first known."""

    def released(self, pool: str, jobs: int) -> None:
        """`jobs` claims were given back, their executors not called."""

    def reaped(self, type: str, result: str, jobs: int) -> None:
        """`jobs` expired claims were taken back: requeued, failed, or cancelled."""

    def backlog_counted(self, source: str, backlog: Backlog, types: tuple[str, ...]) -> None:
        """The jobs of the collection `source` were counted; `types` are to be shown even without any."""

    def backlog_ended(self, source: str) -> None:
        """One of those who count the jobs of `source` has ended."""

    def internal_error(self, component: str) -> None:
        """A thread survived an error that nobody foresaw."""

    def pool_started(self, pool: str, types: tuple[str, ...], gauges: Callable[[], PoolGauges]) -> None:
        """A pool that runs `types` is up; `gauges` may be called until `pool_stopped` with the same callable."""

    def types_added(self, types: tuple[str, ...]) -> None:
        """A pool that is up is about to run `types` as well."""

    def pool_stopped(self, pool: str, gauges: Callable[[], PoolGauges]) -> None:
        """A pool has ended."""
