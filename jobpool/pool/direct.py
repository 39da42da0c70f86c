"""Running jobs in the calling thread: what `JobManager.run` does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import LeaseLost, StoreUnavailable
from ..executors import Executor
from ..outcome import Finish, Outcome
from ..store.claiming import Request
from ..store.transitions import Start
from . import at_exit
from .attempt import allowed_attempts, run_attempt
from .coroutines import Coroutines
from .giving_back import give_back
from .heartbeat import Heartbeat
from .held import Held, HeldJobs, Stage, holding
from .host import Host
from .reaper import reap
from .service import FIRST_PAUSE, jitter

NAME = "run"
LEASE = 30.0
REAP_INTERVAL = LEASE / 2
#: A heartbeat in a call to a server that does not answer is not waited for any longer.
END_TIME = 2.0


class DirectRuns:
    """Claims, starts, runs and finishes one job at a time per calling thread, under a heartbeat.

    Threads: any, several at once: each call holds its own claim. `_lock`
    guards `_heartbeat` and `_reap_at`.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._held = HeldJobs()
        self._coroutines = Coroutines(NAME)
        self._lock = threading.Lock()
        self._heartbeat: Heartbeat | None = None
        self._reap_at = 0.0

    def run_one(self, types: tuple[str, ...]) -> str | None:
        """Run one due job of `types` and return its id; None if none is due.

        Raises:
            StoreUnavailable: Before the executor was called: the job comes
                back by its lease. After it: the outcome could not be recorded
                while the lease lasted.
            LeaseLost: The outcome was refused; see the error.
        """
        store = self._host.store
        self._keep_house()
        claimed = store.strategy("single").claim(Request(types, 1, NAME, LEASE))
        jobs = holding(claimed)
        if not jobs:
            return None
        held = jobs[0]
        self._held.add(jobs)
        try:
            self._run(held)
        finally:
            self._held.remove([held.claim])
        return held.claim.id

    def _run(self, held: Held) -> None:
        executor = self._host.executors[held.type]
        try:
            self._start(held, executor)
        except BaseException:
            give_back(self._host.store, self._held, [held])
            raise
        held.stage = Stage.RUNNING
        began = time.monotonic()
        self._host.observer.started(NAME, held.type, self._waited(held), began - held.queued_at)
        outcome = run_attempt(held, self._host, self._coroutines)
        held.stage = Stage.FINISHING
        self._finish(held, outcome, time.monotonic() - began)
        if outcome.error is not None and outcome.error.type == KeyboardInterrupt.__name__:
            raise KeyboardInterrupt  # Ctrl-C was meant for the caller as well

    def _start(self, held: Held, executor: Executor) -> None:
        own = held.document["max_attempts"]
        backoff = executor.backoff if allowed_attempts(held, executor) > 1 else None
        start = Start(held.claim, executor.max_attempts if own is None else None, backoff)
        started = _until_known(held, lambda: bool(self._host.store.transitions.start([start])))
        if not started or held.lost or time.monotonic() >= held.deadline:
            raise LeaseLost(f"job {held.claim.id!r}: its claim was lost before it started; it was not run")

    def _finish(self, held: Held, outcome: Outcome, duration: float) -> None:
        finish = Finish(held.claim, outcome)
        applied = _until_known(held, lambda: bool(self._host.store.transitions.finish([finish])))
        error = outcome.error.type if outcome.error else None
        name = outcome.name if applied else "lost"
        self._host.observer.finished(held.type, name, duration, error)
        if not applied:
            self._host.observer.leases_lost(NAME, "finishing", 1)
            raise LeaseLost(
                f"job {held.claim.id!r}: its claim was lost while attempt {held.attempt} ran; the outcome "
                f"({outcome.name}) was not recorded, its effects stand, and another attempt may follow"
            )

    def _waited(self, held: Held) -> float:
        waited: float = (self._host.store.clock.now() - held.document["run_at"]).total_seconds()
        return max(0.0, waited)

    def _keep_house(self) -> None:
        """Have a heartbeat running, and take back expired jobs now and then: there may be no pool that does."""
        with self._lock:
            if self._heartbeat is None:
                observer = self._host.observer
                self._heartbeat = Heartbeat(NAME, self._host.store, self._held, LEASE, LEASE / 3, observer)
                self._heartbeat.start()
                at_exit.end_with_main_thread(self)
            due = time.monotonic() >= self._reap_at
            if due:
                self._reap_at = time.monotonic() + REAP_INTERVAL * jitter()
        if due:
            reap(self._host.store, self._host.observer)

    def close(self) -> None:
        """End the heartbeat and the event loop."""
        with self._lock:
            heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.stop()
            heartbeat.join(END_TIME)
        self._coroutines.close(END_TIME)
        at_exit.forget(self)

    def main_thread_ended(self) -> None:
        """End what would keep the process: a script that ran a job need not close its manager."""
        self.close()


def _until_known(held: Held, write: Callable[[], bool]) -> bool:
    """Repeat a write whose result is unknown until it is known, or the lease is over."""
    pause = threading.Event()
    while True:
        try:
            return write()
        except StoreUnavailable:
            if time.monotonic() >= held.deadline:
                raise
            pause.wait(FIRST_PAUSE * jitter())
