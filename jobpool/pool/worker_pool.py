"""WorkerPool: claims jobs and runs them on threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Unpack

from ..backlog import View
from ..config import PoolConfig, PoolOptions, config_of
from ..errors import ForkedProcess, InvalidConfiguration, PoolStateError
from ..hooks import logger_of
from ..logs import bounded_logger_of
from ..names import LISTED, listed, shown
from ..observer import PoolGauges
from ..pauses import Paused
from . import at_exit
from .adjusting import Adjusting
from .endpoint import Endpoint
from .flag import Flag
from .health import Health, health_in_fork, health_of
from .held import Held
from .host import Host
from .parts import Parts
from .stopping import END_TIME, StopReport, deadline_of, remaining, reported

logger = logger_of(__name__)
recurring = bounded_logger_of(__name__)


class _Call:
    """Who called first."""

    __slots__ = ("thread",)

    def __init__(self) -> None:
        self.thread = threading.get_ident()


class WorkerPool(Endpoint):
    """Runs the jobs of some types on threads, until it is stopped.

    One fetcher thread claims batches into a bounded queue, a starter marks
    them running (the claim itself does with those that begin at once), a
    ThreadPoolExecutor runs them, a recorder writes their outcomes; a heartbeat
    keeps their leases and a reaper takes back what dead pools held. It needs
    no main thread and touches no signal handler, logger configuration or
    registry of its host.

    Life: new -> started -> draining -> stopped. A stopped pool is not started
    again; make another one.

    Args:
        manager: The `JobManager` with the executors and the store.
        types: The types to run; all that have an executor at the start if None.
        options: The settings of `jobpool.config.PoolConfig`.

    Threads: every method from any thread, and from a signal handler on top of
    any of them: no lock is held, the first call of `start` and of `stop` is
    found out by one atomic `setdefault` on `_calls`. `_life` goes from new to
    started to draining, `_running` turns True when all threads are there;
    `_report`, `_given` and `_stuck` are set while stopping; all
    else is immutable after `__init__`. Threads and types change in the parts.
    """

    def __init__(self, manager: Host, types: Iterable[str] | None = None, **options: Unpack[PoolOptions]) -> None:
        super().__init__()
        config = config_of(options)
        if isinstance(types, str):
            raise InvalidConfiguration(f"types must be several names, not the str {types!r}")
        self._manager = manager
        self._store = manager.store
        self._observer = manager.observer
        self._pid = os.getpid()
        self._calls: dict[str, _Call] = {}
        self._life = "new"
        self._running = False
        self._report = StopReport()
        self._given: list[Held] = []
        self._stuck: list[Held] = []
        self._stopped = Flag()
        self._parts = Parts(manager, config, manager.executors.select(tuple(types or ())))
        self._adjusting = Adjusting(manager, self._parts)

    # --- life ---------------------------------------------------------------------------

    def start(self) -> WorkerPool:
        """Connect, start the threads and return the pool.

        Raises:
            StoreUnavailable: MongoDB did not answer in time. Nothing was started.
            PoolStateError: It was started before, or stopped before its threads were started.
            ForkedProcess: It was made in the parent of this process.
        """
        self._check_process()
        self._manager.executors.check_isolated(self.types)
        self._manager.tracing.look()
        server = self._store.ready()
        self._parts.settings.look()
        mine = _Call()
        if self.state != "new" or self._calls.setdefault("start", mine) is not mine:
            raise PoolStateError(f"pool {self.config.name!r} is {self.state}; make a new one")
        self._life = "started"
        if "stop" in self._calls:  # it may have missed the line above, and seen nothing to stop
            raise PoolStateError(f"pool {self.config.name!r} is {self.state}; make a new one")
        try:
            at_exit.end_with_main_thread(self)
            self._start_threads(server.replicated)
        except BaseException as error:
            stopped = "stop" in self._calls
            self.stop(timeout=0)
            self._end_what_came_late()
            if stopped and isinstance(error, RuntimeError):  # the workers refuse to start after their end
                raise PoolStateError(f"pool {self.config.name!r} was stopped while it started") from error
            raise
        if self.state in ("stopping", "stopped"):
            self._end_what_came_late()
        name, types = shown(self.config.name, LISTED), listed(self.types)
        logger.info("pool %s: %d threads for %s", name, self.config.threads, types)
        return self

    def _end_what_came_late(self) -> None:
        """End what a stop, on another thread, may have missed because it was started behind it."""
        at_exit.forget(self)
        self._manager.wakeups.remove(self._parts.listener)
        self._end_threads(time.monotonic() + END_TIME)
        self._observer.pool_stopped(self.config.name, self.gauges)

    def _start_threads(self, replicated: bool) -> None:
        self._parts.workers.start()
        for service in self._parts.services[:-1]:
            service.start()
        push = self._parts.pushed if replicated and self.config.push else None
        self._manager.wakeups.add(self._parts.listener, push, self._store, self._observer)
        self._observer.pool_started(self.config.name, self.types, self.gauges)
        self._parts.fetcher.start()  # the last: what fails before it fails before anything was claimed
        self._running = True

    def drain(self, timeout: float | None = None) -> bool:
        """Stop claiming, run everything claimed, record it; return whether nothing is left in time.

        The pool does not claim again afterwards; `stop` ends its threads.

        Args:
            timeout: Seconds; None waits as long as it takes.
        """
        self._check_process()
        self._check_caller("drain")
        self._check_not_stopping_here("drain")
        return self._drain(deadline_of(timeout))

    def _drain(self, deadline: float | None) -> bool:
        if self._started:
            self._life = "draining"
        self._manager.wakeups.remove(self._parts.listener)
        self._parts.fetcher.stop()
        self._parts.census.card_changed()
        ended = not self._started or self._parts.fetcher.join(remaining(deadline))
        return ended and self._parts.held.wait_empty(deadline)

    def stop(self, timeout: float | None = None) -> StopReport:
        """Drain until the deadline, release what has not started, abandon what still runs, end the threads.

        Repeated and concurrent calls wait for the first one and return its report.

        Args:
            timeout: Seconds until the deadline; the pool's ``stop_timeout`` if None.

        Raises:
            PoolStateError: Called by an executor of this pool, which would wait for itself.
        """
        self._check_process()
        self._check_caller("stop")
        mine = _Call()
        try:
            if self._calls.setdefault("stop", mine) is not mine:
                self._await_stop()
            elif self._started:
                self._report = self._stop(
                    time.monotonic() + (self.config.stop_timeout if timeout is None else timeout)
                )
        except BaseException:  # Ctrl-C while waiting: every step may be repeated, now without patience
            if self._calls.get("stop") is mine and self._started:
                self._report = self._stop(time.monotonic())
            raise
        finally:
            if self._calls.get("stop") is mine:
                self._finish_stop()
        return self._report

    def _await_stop(self) -> None:
        self._check_not_stopping_here("stop")
        self._stopped.wait()

    def _finish_stop(self) -> None:
        at_exit.forget(self)
        self._stopped.set()
        self._close_servers()

    def _stop(self, deadline: float) -> StopReport:
        """End everything, senders before receivers, and the heartbeat after the last job.

        1. waker and fetcher: nothing new comes; a claim still in flight is
           released when it returns, because the queue refuses it;
        2. what is in flight runs and is recorded, until the deadline;
        3. queue, starter, ready jobs: what has not started is released;
        4. workers: those that still run are abandoned;
        5. recorder: outcomes that came meanwhile are written;
        6. heartbeat: now nothing is held but what is abandoned;
        7. reaper and scheduler hold nothing and have been told at the beginning.
        """
        self._drain(deadline)
        parts, end = self._parts, time.monotonic() + END_TIME
        parts.reaper.stop()
        parts.scheduler.stop()
        queued = parts.queue.close()
        parts.starter.stop()
        starter_ended = parts.starter.join(remaining(end) / 2)
        unstarted = queued + parts.workers.recall() + (parts.starter.leftover() if starter_ended else [])
        given, stuck = parts.give_back.try_to(unstarted, timeout=remaining(end) / 2)
        self._given += given
        self._stuck += stuck
        workers_ended = parts.workers.stop(deadline)
        # No drain waits for lost jobs: it may be over long before their threads are free.
        end = max(end, min(time.monotonic(), deadline) + END_TIME)
        parts.coroutines.close(remaining(end) if workers_ended else 0)
        parts.engines.children.close(remaining(end) / 2)  # whoever waits for one gets that as its error
        parts.recorder.stop()
        if parts.recorder.join(remaining(end) / 2):
            parts.recorder.flush(end - END_TIME / 4)  # the others have to return from the same server
        self._observer.pool_stopped(self.config.name, self.gauges)
        abandoned = self._stuck + parts.held.abandon()
        threads = [*self._end_threads(end), *parts.workers.stuck_threads()]
        return reported(self.config.name, self._given, abandoned, threads)

    def _end_threads(self, end: float) -> list[str]:
        """Tell every thread to end and return the names of those that have not by `end`."""
        threads = [*self._parts.services, *self._manager.wakeups.ending]
        for service in threads:
            service.stop()
        left = [service.name for service in threads if not service.join(remaining(end))]
        for service in threads:
            self._store.trouble.left(service)  # also those that still wait for an answer
        return left

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the pool has been stopped by somebody; return whether it has."""
        return self._stopped.wait(timeout)

    def wait_drained(self, timeout: float | None = None) -> bool:
        """Wait until a look for due jobs found none while nothing was in flight; return whether one did.

        While all that the pool runs is paused, or it runs nothing, there is nothing to look for: drained as well.
        """
        return self._parts.fetcher.drained.wait(timeout)

    def __enter__(self) -> WorkerPool:
        return self if self._started else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os.getpid() == self._pid:  # a fork that leaves the parent's block must not be kept from it by an error
            self.stop()

    def main_thread_ended(self) -> None:
        """Stop: the host forgot to, and the interpreter waits for the worker threads."""
        logger.warning("the main thread ended without stopping pool %s; stopping it", shown(self.config.name))
        self.stop()

    # --- changes while it runs ----------------------------------------------------------

    def resize(self, threads: int) -> None:
        """Have so many threads from now on, 1 to 1000.

        More begin at once. Of fewer, those that are too many end when they
        have no job in hand; until then more jobs run than there should be
        threads. No job is interrupted. An executor may call it.

        Raises:
            PoolStateError: The pool does not run, or stops; or so many threads cannot be
                started, and it has as many as could be: see `config`; or it is called by a signal
                handler above a frame that holds what it waits for, and is gone on with when that returns.
        """
        self._check_process()
        if not self._running:
            raise PoolStateError(
                f"cannot resize pool {self.config.name!r}: it is {self.state} and its threads are not there"
            )
        self._adjusting.resize(threads)

    def add_types(self, *types: str) -> tuple[str, ...]:
        """Run these types as well, from now on; return all that it runs.

        Each needs an executor: register one that is missing with
        `JobManager.executor`. What it runs already stays as it is. Aliases go with
        their type, here and in `remove_types`. An executor may call it.

        Raises:
            UnknownType: One has no executor here. Nothing was changed.
            PoolStateError: The pool drains or stops, or has; or as for `resize`, called by a signal handler.
        """
        self._check_claims("add_types to")
        return self._adjusting.add(types)

    def remove_types(self, *types: str) -> tuple[str, ...]:
        """Claim no jobs of these types any more; return what it still runs, which may be nothing.

        What runs goes on. What waits here for a thread is given back, no
        attempt spent: when this returns or, of a claim that was on its way, when that is
        answered. Other pools are not told. An executor may call it.

        Raises:
            UnknownType: One has no executor here. Nothing was changed.
            PoolStateError: The pool drains or stops, or has; or as for `resize`, called by a signal handler.
        """
        self._check_claims("remove_types from")
        return self._adjusting.remove(types)

    # --- what others see ----------------------------------------------------------------

    @property
    def state(self) -> str:
        """new, started, draining, stopping or stopped."""
        if self._stopped.is_set():
            return "stopped"
        return "stopping" if "stop" in self._calls else self._life

    @property
    def id(self) -> str:
        """Random, of this very pool: under it others find it; see `JobManager.pools` and `Job.pool_id`."""
        return self._parts.id

    @property
    def config(self) -> PoolConfig:
        """Its settings, with the threads that it has now."""
        return self._adjusting.config

    @property
    def types(self) -> tuple[str, ...]:
        """The types it runs, those that are paused included."""
        return self._parts.serving.now.types

    @property
    def paused(self) -> Paused:
        """What is paused, of any type, as far as the pool knows: it looks more than twice a second."""
        return self._parts.serving.now.paused

    def health(self) -> Health:
        """Return whether every thread lives and advances, and whether the pool can work now."""
        if os.getpid() != self._pid:  # locks may be held by threads that are not here
            return health_in_fork()
        state = self.state
        return health_of("starting" if state == "started" and not self._running else state, self._parts)

    def gauges(self) -> PoolGauges:
        """Return what the pool looks like now."""
        return self._parts.gauges()

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and body of a scrape."""
        return self._manager.exposition(accept)

    def backlog_view(self) -> View | None:
        """Return what the pool counted last of all jobs; None before the first count, or if it does not count."""
        return self._parts.census.view

    def __repr__(self) -> str:
        parts = self._parts
        return (
            f"<WorkerPool {self.config.name!r} {self.state} held={len(parts.held)} queued={len(parts.queue)} "
            f"busy={parts.workers.busy}/{self.config.threads}>"
        )

    # --- guards ---------------------------------------------------------------------------

    @property
    def _started(self) -> bool:
        return self._life != "new"

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedProcess(
                f"pool {self.config.name!r} was made in process {self._pid} and cannot run in a fork of it; "
                "make a JobManager and a pool here"
            )

    def _check_claims(self, what: str) -> None:
        self._check_process()
        if self.state not in ("new", "started"):
            raise PoolStateError(f"cannot {what} pool {self.config.name!r}: it is {self.state}")

    def _check_not_stopping_here(self, what: str) -> None:
        """Refuse a signal handler above the frame that stops already: the error makes that one hurry."""
        stopper = self._calls.get("stop")
        if stopper is not None and stopper.thread == threading.get_ident() and not self._stopped.is_set():
            raise PoolStateError(
                f"a signal handler cannot {what} pool {self.config.name!r}: this very thread is stopping it"
            )

    def _check_caller(self, what: str) -> None:
        if self._parts.workers.owns_current_thread() or self._parts.coroutines.owns_current_thread():
            raise PoolStateError(
                f"an executor cannot {what} the pool it runs in: it would wait for itself; "
                "set an event and let another thread do it"
            )
