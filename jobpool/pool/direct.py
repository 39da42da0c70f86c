"""Running jobs in the calling thread: what `JobManager.run` does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ..errors import LeaseLost, StoreError, StoreUnavailable
from ..executors import Executor
from ..names import LISTED, shown
from ..outcome import Finish, Outcome
from ..store.claiming import Claimed, ClaimStrategy, Request, Turns
from . import at_exit
from .attempt import Engines, run_attempt
from .cancels import Cancels
from .completion import settle
from .desk import PoolDesk
from .giving_back import GivingBack
from .heartbeat import Heartbeat
from .held import Held, HeldJobs, Stage, finish_of, holding, lost_by_stage, start_of
from .host import Host
from .reaper import reap
from .reports import Reports
from .resolver import resolve_all
from .seating import Seated
from .service import FIRST_PAUSE, Service, jitter
from .time_limits import TimeLimits
from .watchdog import LOOK_EVERY, Watchdog

R = TypeVar("R")
NAME = "run"
LEASE = 30.0
REAP_INTERVAL = LEASE / 2
#: A heartbeat in a call to a server that does not answer is not waited for any longer.
END_TIME = 2.0
#: Seconds until gates are tried again that others have locked, at least and at most.
SHORTEST_WAIT, LONGEST_WAIT = 0.005, 0.1


class DirectRuns:
    """Claims, starts, runs and finishes one job at a time per calling thread, under a heartbeat.

    Threads: any, several at once: each call holds its own claim. `_lock`
    guards `_services` and `_reap_at`; a key of `_seats` is its thread's own, others only read.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._held = HeldJobs()
        self._engines = Engines.of(NAME)
        self._lock = threading.RLock()  # a signal handler may close it on top of the thread that runs
        self._services: tuple[Service, ...] = ()
        self._seats: dict[Held, Seated] = {}
        self._reports = Reports(host.store, timeout=END_TIME)
        self._desk = PoolDesk(host, self._reports.news)
        self._reap_at = 0.0

    def run_one(self, types: tuple[str, ...]) -> str | None:
        """Run one due job of `types` and return its id; None if none is due.

        Raises:
            StoreUnavailable: Before the executor was called: the job comes
                back by its lease. After it: the outcome could not be recorded
                while the lease lasted.
            LeaseLost: The outcome was refused; see the error.
        """
        request = Request(types, 1, NAME, LEASE)
        held = self._run_next(types, lambda: self._claim(self._host.store.strategy("single"), request))
        return None if held is None else held.claim.id

    def run_all(self, types: tuple[str, ...]) -> int:
        """Run due jobs of `types` until none is due, or none that its limits let through; return how many ran.

        Raises:
            As `run_one`.
        """
        backlog = _Backlog(self._host, types)
        ran = 0
        while (held := self._run_next(types, lambda: backlog.next(self._claim))) is not None:
            ran += 1
            backlog.freed(held)
        return ran

    def _run_next(self, types: tuple[str, ...], claim: Callable[[], Claimed]) -> Held | None:
        self._host.executors.check_isolated(types)
        self._host.tracing.look()
        self._keep_house()
        jobs = self._hold(claim) or self._look_again(claim)
        if not jobs:
            return None
        held = jobs[0]
        self._held.add(jobs)
        try:
            self._run(held)
        finally:
            self._drop(held)
        return held

    def _look_again(self, claim: Callable[[], Claimed]) -> list[Held]:
        """Claim once more before it is said that nothing is due, so that all that was due at the call is found.

        There may be no pool that lets go of what waits for others, and by our
        estimate of the server's time, which is behind it by a reply's way, what
        somebody else created a moment ago is not due yet: it is asked anew.
        """
        resolve_all(self._host.store)
        self._host.store.clock.forget()
        return self._hold(claim)

    def _hold(self, claim: Callable[[], Claimed]) -> list[Held]:
        """Claim until it is a job, or nothing: what somebody else wrote that is none stays to its lease."""
        while (claimed := claim()).documents:
            if jobs := holding(claimed, NAME):
                return jobs
            self._host.observer.leases_lost(NAME, "queued", len(claimed.documents))
        return []

    def _claim(self, strategy: ClaimStrategy, request: Request) -> Claimed:
        try:
            claimed = strategy.claim(request)
        except StoreError:
            self._host.observer.claimed(NAME, "error", 0, 0, strategy.factor)
            raise
        won = len(claimed.documents)
        self._host.observer.claimed(NAME, claimed.result(1), won, claimed.conflicts, strategy.factor)
        return claimed

    def _run(self, held: Held) -> None:
        """Start, run and finish one job. Its claim leaves what is held once: in `_give_back` or in `_finish`."""
        executor = self._host.executors[held.type]
        try:
            if self._host.middleware is not None:
                self._host.middleware.claimed([held])
            self._start(held, executor)
        except BaseException:
            GivingBack(NAME, self._host.store, self._held, self._host.observer)([held])
            raise
        began = held.running_since = time.monotonic()
        self._host.observer.started(NAME, held.type, self._waited(held), began - held.queued_at)
        held.desk = self._desk
        self._seats[held] = Seated(held, began, threading.current_thread())
        try:
            outcome = run_attempt(held, self._host, self._engines, ambient=True)
        finally:
            del self._seats[held]
        self._finish(held, outcome, time.monotonic() - began)
        if held.interrupted:
            raise KeyboardInterrupt  # Ctrl-C was meant for the caller as well

    def _start(self, held: Held, executor: Executor) -> None:
        start = start_of(held, executor)
        started = _until_known(held, lambda: bool(self._host.store.transitions.start([start])))
        if not started or time.monotonic() >= held.deadline or not self._held.begin(held):
            for stage, count in lost_by_stage(self._held.lose([held])).items():
                self._host.observer.leases_lost(NAME, stage, count)
            raise LeaseLost(f"job {shown(held.claim.id)}: its claim was lost before it started; it was not run")

    def _finish(self, held: Held, outcome: Outcome, duration: float) -> None:
        held.stage = Stage.FINISHING
        finish = finish_of(held, outcome, self._host.executors[held.type])
        applied = False
        try:
            finish, applied = _until_known(held, lambda: self._record(held, finish))
            outcome = finish.outcome
        finally:  # what could not be recorded is left to its lease, and so is lost
            self._count(held, outcome, duration, applied)
        if not applied:
            raise LeaseLost(
                f"job {shown(held.claim.id, LISTED)}: its claim was lost while attempt {held.attempt} ran; the "
                f"outcome ({outcome.name}) was not recorded, its effects stand, and another attempt may follow: "
                "guard your writes with current_job().fence"
            )

    def _record(self, held: Held, finish: Finish) -> tuple[Finish, bool]:
        """Record an outcome, and return what stands and whether it does."""
        store = self._host.store
        if held.completion is not None:
            return settle(store, held, finish, held.completion)
        return finish, bool(store.transitions.finish([finish]))

    def _count(self, held: Held, outcome: Outcome, duration: float, applied: bool) -> None:
        if not self._held.remove([held]):
            return
        error = outcome.error.type if outcome.error else None
        self._host.observer.finished(held.type, outcome.name if applied else "lost", duration, error)
        if held.span is not None:
            held.span.settled(outcome.name if applied else "lost")
        if applied and outcome.final:
            self._host.observer.completed(held.type, self._host.store.clock.since(held.due_at))
        if not applied and not held.lost:
            self._host.observer.leases_lost(NAME, "finishing", 1)
        if self._host.middleware is not None:
            self._host.middleware.finished(held, outcome, outcome.name if applied else "lost", duration)

    def _drop(self, held: Held) -> None:
        """Let go of what an interrupt between two steps has left: its lease ends it."""
        if not self._held.remove([held]):
            return
        called = held.stage is Stage.RUNNING
        if called:
            self._host.observer.finished(held.type, "lost", time.monotonic() - held.running_since, None)
        if not held.lost:
            self._host.observer.leases_lost(NAME, "running" if called else "queued", 1)

    def _waited(self, held: Held) -> float:
        waited: float = (self._host.store.clock.now() - held.document["run_at"]).total_seconds()
        return max(0.0, waited)

    def _keep_house(self) -> None:
        """Have a heartbeat running, and take back expired jobs now and then: there may be no pool that does."""
        with self._lock:
            if not self._services:
                self._start_services()
            due = time.monotonic() >= self._reap_at
            if due:
                self._reap_at = time.monotonic() + REAP_INTERVAL * jitter()
        if due:
            reap(self._host.store, self._host.observer)

    def _start_services(self) -> None:
        host, observer = self._host, self._host.observer
        limits = TimeLimits(NAME, host.executors, self._engines.coroutines, self._seated)
        cancels = Cancels(host.store, self._engines.coroutines)
        duties = (limits, cancels, self._reports)
        services = (
            Heartbeat(NAME, host.store, self._held, LEASE, LEASE / 3, observer),
            Watchdog(NAME, host.store, observer, self._seated, duties, lambda: LOOK_EVERY),
        )
        try:
            for service in services:
                service.start()
        except BaseException:  # the next run tries again if no thread could be started
            for service in services:
                service.stop()
            raise
        self._services = services
        at_exit.end_with_main_thread(self)

    def _seated(self) -> list[Seated]:
        return list(self._seats.copy().values())

    def close(self) -> None:
        """End heartbeat and watchdog, and the event loop."""
        with self._lock:
            services, self._services = self._services, ()
        for service in services:
            service.stop()
        for service in services:
            service.join(END_TIME)
        self._engines.coroutines.close(END_TIME)
        self._engines.children.close(END_TIME)
        at_exit.forget(self)

    def main_thread_ended(self) -> None:
        """End what would keep the process: a script that ran a job need not close its manager."""
        self.close()


class _Backlog:
    """Claims for one call of `run_all`, heeding limits. Threads: one."""

    def __init__(self, host: Host, types: tuple[str, ...]) -> None:
        self._host = host
        self._gates = {type: gate for type in types if (gate := host.executors.gate(type)) is not None}
        plain = tuple(type for type in types if type not in self._gates)
        self._request = Request(plain, 1, NAME, LEASE, None, self._gates or None)
        self._gated = host.store.gated()
        self._strategy = Turns(host.store.strategy("single"), self._gated)

    def next(self, claim: Callable[[ClaimStrategy, Request], Claimed]) -> Claimed:
        """Claim a job; wait while others have locked a gate, but not for the places and tokens of limits."""
        pause, gated, unknown = threading.Event(), self._gated, self._strategy.unknown
        while True:
            claimed = claim(self._strategy, self._request)
            if unknown:  # not what was looked for, and to be given back
                self._host.store.transitions.disown(unknown)
                unknown.clear()
            if claimed.documents or not self._gates:
                return claimed
            if gated.expired:
                gated.reopen()
                reap(self._host.store, self._host.observer)
            elif gated.busy or not claimed.drained:
                pause.wait(min(max(gated.again_in, SHORTEST_WAIT), LONGEST_WAIT))
            else:
                return claimed

    def freed(self, held: Held) -> None:
        """Take note that a job which `next` has claimed is held no more."""
        gate = self._gates.get(held.type)
        if gate is not None:
            self._gated.freed(gate.owner, held.document["key"])


def _until_known(held: Held, write: Callable[[], R]) -> R:
    """Repeat a write whose result is unknown until it is known, or the lease is over."""
    pause = threading.Event()
    while True:
        try:
            return write()
        except StoreUnavailable:
            if time.monotonic() >= held.deadline:
                raise
            pause.wait(FIRST_PAUSE * jitter())
