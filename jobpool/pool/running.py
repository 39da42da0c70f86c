"""The path of a job through the worker threads."""

from __future__ import annotations

import time
from dataclasses import replace

from ..current import log_fields
from ..job import Stuck
from ..logs import bounded_logger_of
from ..names import shown
from ..outcome import Outcome
from ..signals import JobCancelled, TimedOut
from .attempt import Engines, run_attempt
from .desk import PoolDesk
from .ending import timed_out
from .giving_back import GivingBack
from .held import Held, HeldJobs, finish_of
from .host import Host
from .recorder import Record, Recorder

recurring = bounded_logger_of(__name__)


class Running:
    """Runs started jobs. Threads: the workers, each with a job of its own; no state."""

    def __init__(
        self,
        name: str,
        host: Host,
        held: HeldJobs,
        give_back: GivingBack,
        engines: Engines,
        recorder: Recorder,
    ) -> None:
        self._desk = PoolDesk(host, recorder.reports.news)
        self._pool = name
        self._host = host
        self._held = held
        self._give_back = give_back
        self._engines = engines
        self._recorder = recorder

    def __call__(self, held: Held) -> None:
        """Run one job on the calling worker thread and hand its outcome to the recorder."""
        began = held.running_since
        if began >= held.deadline or not self._held.begin(held):
            self._lost_before(held)
            return
        held.desk = self._desk
        try:
            self._settle(held, run_attempt(held, self._host, self._engines))
        except BaseException:  # out of memory, say: kept by the heartbeat it would be held for ever
            if self._held.remove([held]):
                self._host.observer.finished(held.type, "lost", time.monotonic() - began, None)
                if not held.lost:
                    self._host.observer.leases_lost(self._pool, "running", 1)
            raise

    def _settle(self, held: Held, outcome: Outcome) -> bool:
        """Hand over the outcome, unless the attempt was given up before."""
        if not self._held.settle(held):
            recurring.info(
                "job %s: attempt %d has ended after it was given up; that it %s is not recorded",
                *(shown(held.claim.id), held.attempt, outcome.name),
                extra=log_fields(held),
            )
            return False
        duration = time.monotonic() - held.running_since
        self._recorder.put(Record(held, finish_of(held, outcome, self._host.executors[held.type]), duration))
        return True

    def give_up(self, held: Held, told: TimedOut, stack: str) -> bool:
        """Settle an attempt without its thread, which did not end when it was told; False if it just has.

        Threads: the watchdog.
        """
        executor = self._host.executors[held.type]
        outcome = timed_out(told, told, held, executor)
        if isinstance(held.told, JobCancelled):
            outcome = replace(outcome, cancelled="", retry_after=None)
        seconds = time.monotonic() - held.running_since
        return self._settle(held, replace(outcome, stuck=Stuck(held.attempt, seconds, stack)))

    def _lost_before(self, held: Held) -> None:
        """Give back a job that is marked running: its executor was not called, so its attempt is not spent."""
        if self._held.lose([held]):
            self._host.observer.leases_lost(self._pool, "queued", 1)
            recurring.warning(
                "job %s: its lease ran out before a thread was free; not run here",
                shown(held.claim.id),
                extra=log_fields(held),
            )
        self._give_back([held])
