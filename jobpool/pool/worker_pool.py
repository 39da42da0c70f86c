"""WorkerPool: claims jobs and runs them on threads."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Unpack, overload

from ..config import PoolOptions, config_of
from ..errors import ForkedProcess, InvalidConfiguration, PoolStateError
from ..http import MetricsServer, checks
from ..observer import PoolGauges
from . import at_exit
from .attempt import run_attempt
from .coroutines import Coroutines
from .fetcher import Fetcher
from .giving_back import give_back
from .health import Health, health_of
from .heartbeat import Heartbeat
from .held import Held, HeldJobs, Stage
from .host import Host
from .pace import Pace
from .queue import ClaimedQueue
from .reaper import Reaper
from .recorder import Record, Recorder
from .service import Service
from .starter import Starter
from .waker import Listener, Waker
from .workers import Workers

logger = logging.getLogger(__name__)

#: What a stop may take beyond its deadline, all steps together: enough for a release and a last
#: record on a server that answers, and all that is waited for one that does not.
END_TIME = 2.0


@dataclass(frozen=True, slots=True)
class StopReport:
    """What a stop left behind; empty after a complete drain.

    Attributes:
        released: Ids of jobs given back unstarted; other pools may run them at once.
        abandoned: Ids of jobs whose executors still run, or whose outcome could
            not be recorded in time. Their leases run out, then they are reaped.
        threads: Names of threads that had not ended.
    """

    released: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
    threads: tuple[str, ...] = ()


class WorkerPool:
    """Runs the jobs of some types on threads, until it is stopped.

    One fetcher thread claims batches into a bounded queue, a starter marks
    them running, a ThreadPoolExecutor runs them, a recorder writes their
    outcomes; a heartbeat keeps their leases and a reaper takes back what dead
    pools held. It needs no main thread and touches no signal handler, logger
    configuration or registry of its host.

    Life: new -> started -> draining -> stopped. A stopped pool is not started
    again; make another one.

    Args:
        manager: The `JobManager` with the executors and the store.
        types: The types to run; all that have an executor at the start if None.
        options: The settings of `jobpool.config.PoolConfig`.

    Threads: every method from any thread. `_lock` guards `_state` and
    `_servers`; `_report`, `_stopper` and `_waker` are set while stopping; all else is immutable after `__init__`.
    """

    def __init__(self, manager: Host, types: Iterable[str] | None = None, **options: Unpack[PoolOptions]) -> None:
        self.config = config_of(options)
        if isinstance(types, str):
            raise InvalidConfiguration(f"types must be several names, not the str {types!r}")
        self.types = manager.executors.select(tuple(types or ()))
        self._manager = manager
        self._store = manager.store
        self._observer = manager.observer
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._state = "new"
        self._report = StopReport()
        self._stopped = threading.Event()
        self._servers: list[MetricsServer] = []
        self._waker: Waker | None = None
        self._stopper = 0
        self._build()

    def _build(self) -> None:
        config, store, observer = self.config, self._store, self._observer
        name = config.name
        self._held = HeldJobs()
        self._queue = ClaimedQueue()
        self._pace = Pace(config.threads)
        self._coroutines = Coroutines(name)
        self._workers = Workers(config.threads, name, self._run, self._thread_freed)
        self._recorder = Recorder(
            name, store, self._held, self._pace, observer, done=lambda: self._fetcher.make_room()
        )
        self._starter = Starter(
            name,
            store,
            self._manager.executors,
            self._held,
            self._queue,
            self._workers,
            self._pace,
            observer,
            room=lambda: self._fetcher.make_room(),
        )
        self._heartbeat = Heartbeat(name, store, self._held, config.lease, config.heartbeat_interval, observer)
        self._reaper = Reaper(name, store, config.reap_every, observer)
        self._fetcher = Fetcher(
            config,
            self.types,
            store,
            self._held,
            self._queue,
            self._workers,
            self._pace,
            observer,
            taken=self._taken,
            fenced=lambda: self._heartbeat.failing,
            fetched=self._starter.wake,
            idle=self._manager.wakeups.idle,
            pushed_since=self._manager.wakeups.pushing_since,
        )
        types = frozenset(self.types)
        self._local = Listener(types, lambda: self._fetcher.waiting, lambda: self._fetcher.wake("local"))
        self._pushed = Listener(types, lambda: self._fetcher.waiting, lambda: self._fetcher.wake("push"))
        #: In the order of their start: nobody claims before everything behind it runs.
        self._services: tuple[Service, ...] = (
            self._recorder,
            self._starter,
            self._heartbeat,
            self._reaper,
            self._fetcher,
        )

    # --- life ---------------------------------------------------------------------------

    def start(self) -> WorkerPool:
        """Connect, start the threads and return the pool.

        Raises:
            StoreUnavailable: MongoDB did not answer in time. Nothing was started.
            PoolStateError: It was started before.
            ForkedProcess: It was made in the parent of this process.
        """
        self._check_process()
        server = self._store.ready()
        with self._lock:
            if self._state != "new":
                raise PoolStateError(f"pool {self.config.name!r} is {self._state}; make a new one")
            self._state = "started"
        at_exit.end_with_main_thread(self)
        try:
            self._workers.start()
            for service in self._services:
                service.start()
            push = self._pushed if server.replicated and self.config.push else None
            self._manager.wakeups.add(self._local, push, self._store, self._observer)
            self._observer.pool_started(self.config.name, self.gauges)
        except BaseException:
            self.stop(timeout=0)
            raise
        if self._state != "started":  # somebody stopped it meanwhile, and may have missed the last two
            self._waker = self._manager.wakeups.remove(self._local) or self._waker
            self._observer.pool_stopped(self.config.name, self.gauges)
        logger.info("pool %s: %d threads for %s", self.config.name, self.config.threads, ", ".join(self.types))
        return self

    def drain(self, timeout: float | None = None) -> bool:
        """Stop claiming, run everything claimed, record it; return whether nothing is left in time.

        The pool does not claim again afterwards; `stop` ends its threads.

        Args:
            timeout: Seconds; None waits as long as it takes.
        """
        self._check_process()
        self._check_caller("drain")
        deadline = _deadline(timeout)
        with self._lock:
            if self._state == "started":
                self._state = "draining"
        self._waker = self._manager.wakeups.remove(self._local) or self._waker
        self._fetcher.stop()
        ended = not self._started or self._fetcher.join(_remaining(deadline))
        return ended and self._held.wait_empty(deadline)

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
        with self._lock:
            first = self._state not in ("stopping", "stopped")
            started = self._state != "new"
            if first:
                self._state = "stopping"
                self._stopper = threading.get_ident()
        if not first:
            if self._stopper == threading.get_ident() and not self._stopped.is_set():
                # A signal handler, above the frame that stops already: the error makes that one hurry.
                raise PoolStateError(f"pool {self.config.name!r} is being stopped by this very thread")
            self._stopped.wait()
            return self._report
        try:
            if started:
                self._report = self._stop(_deadline(self.config.stop_timeout if timeout is None else timeout))
        except BaseException:  # Ctrl-C while waiting: every step may be repeated, now without patience
            self._report = self._stop(time.monotonic())
            raise
        finally:
            self._finish_stop()
        return self._report

    def _finish_stop(self) -> None:
        at_exit.forget(self)
        self._state = "stopped"
        self._stopped.set()
        for server in self._servers:
            server.close()

    def _stop(self, deadline: float | None) -> StopReport:
        """End everything, senders before receivers, and the heartbeat after the last job.

        1. waker and fetcher: nothing new comes; a claim still in flight is
           released when it returns, because the queue refuses it;
        2. what is in flight runs and is recorded, until the deadline;
        3. queue, starter, ready jobs: what has not started is released;
        4. workers: those that still run are abandoned;
        5. recorder: outcomes that came meanwhile are written;
        6. heartbeat: now nothing is held but what is abandoned;
        7. the reaper holds nothing.
        """
        self.drain(_remaining(deadline))
        end = time.monotonic() + END_TIME
        queued = self._queue.close()
        self._starter.stop()
        starter_ended = self._starter.join(_remaining(end) / 2)
        unstarted = queued + self._workers.recall() + (self._starter.leftover() if starter_ended else [])
        stuck = give_back(self._store, self._held, unstarted, timeout=_remaining(end) / 2)
        workers_ended = self._workers.stop(deadline)
        self._coroutines.close(_remaining(end) if workers_ended else 0)
        self._recorder.stop()
        if self._recorder.join(_remaining(end) / 2):
            self._recorder.flush(end)
        self._observer.pool_stopped(self.config.name, self.gauges)
        given = [] if stuck else [held.claim.id for held in unstarted]
        abandoned = [held.claim.id for held in stuck + self._held.all() + self._workers.running()]
        return self._reported(given, abandoned, self._end_threads(end))

    def _end_threads(self, end: float) -> list[str]:
        """Tell every thread to end and return the names of those that have not by `end`."""
        threads = [*self._services, *([self._waker] if self._waker else [])]
        for service in threads:
            service.stop()
        return [service.name for service in threads if not service.join(_remaining(end))]

    def _reported(self, released: list[str], abandoned: list[str], threads: list[str]) -> StopReport:
        report = StopReport(tuple(released), tuple(dict.fromkeys(abandoned)), tuple(threads))
        if report.abandoned or report.threads:
            logger.warning(
                "pool %s stopped and left %d jobs to their leases: %s; threads still running: %s",
                self.config.name,
                len(report.abandoned),
                ", ".join(map(repr, report.abandoned[:10])) or "none",
                ", ".join(report.threads) or "none",
            )
        else:
            logger.info("pool %s stopped, %d jobs released", self.config.name, len(report.released))
        return report

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the pool has been stopped by somebody; return whether it has."""
        return self._stopped.wait(timeout)

    def wait_drained(self, timeout: float | None = None) -> bool:
        """Wait until a look for due jobs found none while nothing was in flight; return whether one did."""
        return self._fetcher.drained.wait(timeout)

    def __enter__(self) -> WorkerPool:
        return self if self._started else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def main_thread_ended(self) -> None:
        """Stop: the host forgot to, and the interpreter waits for the worker threads."""
        logger.warning("the main thread ended without stopping pool %s; stopping it", self.config.name)
        self.stop()

    # --- what others see ----------------------------------------------------------------

    @property
    def state(self) -> str:
        """new, started, draining, stopping or stopped."""
        return self._state

    def health(self) -> Health:
        """Return whether every thread lives and advances, and whether the pool can work now."""
        services = self._services if self._started else ()
        return health_of(self._state, services, self._workers, self.config, self._manager.wakeups.waker)

    def gauges(self) -> PoolGauges:
        """Return what the pool looks like now."""
        return PoolGauges(
            threads=self.config.threads,
            busy=self._workers.busy,
            queued=self._taken(unrecorded=False),
            queue_capacity=self.config.queue_size,
            busy_seconds=self._workers.busy_seconds(),
            longest_running=self._workers.longest_running(),
        )

    def serve_metrics(self, port: int, addr: str = "127.0.0.1") -> MetricsServer:
        """Serve ``/metrics``, ``/healthz`` and ``/readyz`` until the pool has stopped; return the server.

        Args:
            port: 0 takes a free one; ``.port`` and ``.url`` of the answer say which.
            addr: The local address to listen on; other machines need another one.

        Raises:
            InvalidConfiguration: The port cannot be bound.
        """
        server = MetricsServer(
            {
                "/metrics": lambda accept: (200, *self._manager.exposition(accept)),
                "/healthz": lambda _: checks(self.health().live),
                "/readyz": lambda _: checks({**self.health().live, **self.health().ready}),
            },
            port,
            addr,
        )
        with self._lock:
            self._servers.append(server)
        return server

    def __repr__(self) -> str:
        return (
            f"<WorkerPool {self.config.name!r} {self._state} held={len(self._held)} queued={len(self._queue)} "
            f"busy={self._workers.busy}/{self.config.threads}>"
        )

    # --- the path of a job through the worker threads -------------------------------------

    def _run(self, held: Held) -> None:
        """Run one job on the calling worker thread and hand its outcome to the recorder."""
        began = time.monotonic()
        if held.lost or began >= held.deadline:
            self._lost_before_running(held)
            return
        try:
            outcome = run_attempt(held, self._manager, self._coroutines)
            held.stage = Stage.FINISHING
            self._recorder.put(Record(held, outcome, time.monotonic() - began))
        except BaseException:  # out of memory, say: kept by the heartbeat it would be held for ever
            self._held.remove([held.claim])
            raise

    def _lost_before_running(self, held: Held) -> None:
        """Give back a job that is marked running: its executor was not called, so its attempt is not spent."""
        held.lost = True
        self._observer.leases_lost(self.config.name, "queued", 1)
        logger.info("job %r: its lease ran out before a thread was free; it is not run here", held.claim.id)
        give_back(self._store, self._held, [held])

    def _thread_freed(self) -> None:
        if self._workers.ready <= self._starter.low_water:
            self._starter.wake()

    def _taken(self, *, unrecorded: bool = True) -> int:
        """Return how many jobs take up room: claimed and not running, or run and not recorded."""
        waiting = len(self._queue) + self._starter.starting + self._workers.ready
        return waiting + self._recorder.backlog if unrecorded else waiting

    # --- guards ---------------------------------------------------------------------------

    @property
    def _started(self) -> bool:
        return self._state != "new"

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedProcess(
                f"pool {self.config.name!r} was made in process {self._pid} and cannot run in a fork of it; "
                "make a JobManager and a pool here"
            )

    def _check_caller(self, what: str) -> None:
        if self._workers.owns_current_thread() or self._coroutines.owns_current_thread():
            raise PoolStateError(
                f"an executor cannot {what} the pool it runs in: it would wait for itself; "
                "set an event and let another thread do it"
            )


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


@overload
def _remaining(deadline: float) -> float: ...
@overload
def _remaining(deadline: None) -> None: ...
def _remaining(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
