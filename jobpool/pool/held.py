"""The claims a pool holds, from the claim to the recorded outcome."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ..current import Alarm, Desk
from ..errors import JobpoolError
from ..executors import Executor
from ..job import Claim
from ..outcome import Finish, Outcome
from ..progress import Reporter
from ..store.claiming import Claimed, Rule, as_claimed
from ..store.transitions import Start
from ..tracing import Attempt
from .coroutines import Coroutines
from .flag import Flag

if TYPE_CHECKING:
    from .completion import Completion

#: Two who wait may take the word from each other; it then comes this many seconds late.
LOOK_AGAIN = 0.1


class Stage(StrEnum):
    """Where a held job is inside the pool.

    QUEUED --starter--> STARTED --worker--> RUNNING --worker--> FINISHING

    Up to STARTED nobody has called its executor. What the claim started as
    well begins there.
    """

    QUEUED = "queued"
    STARTED = "started"  # marked running in the store, waiting for a thread
    RUNNING = "running"
    FINISHING = "finishing"


class Held:
    """One job under a claim of this pool.

    Fields: `document`, `claim`, `pool`, `queued_at` immutable. `stage` is written by
    whoever has the job in hand (fetcher, starter, worker in turn: a job is in
    one queue at a time), `running_since` by the worker, before RUNNING, and `span`
    as well, which is None unless the attempt is traced.
    `deadline` is written by the heartbeat only; `lost` turns True once and
    stays, `lost_while` says in which stage: both by `HeldJobs`, under its lock.
    `told` and `told_at` are written by the watchdog, once. `completion` is written by the
    executor, each time that it calls `complete`, before its look at `told`. `coroutine` and `interrupted` (by
    Ctrl-C) are the attempt's own; `reporter` and `alarm` are there when it has asked for them.
    """

    __slots__ = (
        *(
            "alarm",
            "attempt",
            "claim",
            "completion",
            "coroutine",
            "desk",
            "deadline",
            "document",
            "interrupted",
            "lost",
        ),
        *("lost_while", "pool", "queued_at", "reporter", "running_since", "span", "stage", "told", "told_at"),
    )

    def __init__(
        self,
        document: dict[str, Any],
        token: str,
        deadline: float,
        queued_at: float,
        pool: str = "-",
        *,
        started: bool = False,
    ) -> None:
        self.document = document
        self.claim = Claim(document["_id"], token, document["fence"])
        self.attempt: int = document["attempts"] + (not started)
        self.deadline = deadline
        self.pool = pool
        self.span: Attempt | None = None
        self.queued_at = queued_at
        self.stage = Stage.STARTED if started else Stage.QUEUED
        self.running_since = queued_at
        self.lost = False
        self.lost_while: Stage | None = None
        self.told: JobpoolError | None = None
        self.told_at = 0.0
        self.coroutine: Coroutine[Any, Any, Any] | None = None
        self.interrupted = False
        self.reporter: Reporter | None = None
        self.alarm: Alarm | None = None
        self.desk: Desk | None = None
        self.completion: Completion | None = None

    def tell(self, error: JobpoolError) -> bool:
        """Let the executor know that it is to end, and why; False if it was told before."""
        if self.told is not None:
            return False
        self.told_at = time.monotonic()
        self.told = error
        if (alarm := self.alarm) is not None:  # made before its maker looks at `told`: one of both sees the other
            alarm.set()
        return True

    @property
    def type(self) -> str:
        """The job's type."""
        type: str = self.document["type"]
        return type

    @property
    def due_at(self) -> datetime:
        """When the job was due for the first time (server time)."""
        due_at: datetime = self.document.get("due_at") or self.document["run_at"]
        return due_at


def holding(claimed: Claimed, pool: str = "-") -> list[Held]:
    """Return the jobs of a claim as held jobs, without what somebody else wrote that is none.

    That stays claimed until its lease ends: given back, it would be claimed again at once, for ever.
    """
    now = time.monotonic()
    token, deadline, started = claimed.token, claimed.deadline, claimed.started
    return [
        Held(document, token, deadline, now, pool, started=started)
        for found in claimed.documents
        if (document := as_claimed(found)) is not None
    ]


class HeldJobs:
    """All claims of a pool. Every accepted claim leaves exactly once, and whoever lets it go counts it.

    Ways out: `remove` after its outcome was recorded or for its release,
    `lose` before its executor was called, `abandon` at the end of a stop. A
    claim that is lost while its executor runs is extended no more and nobody
    waits for it, but it leaves only when its outcome has been tried.

    Kept by claim, not by id: a pool may claim a job again that it holds under
    an older claim and does not know to be lost yet.

    Threads: any; `_lock` guards `_held`, `_overdue` (dicts for their order,
    their values mean nothing) and `_abandoned`. Waiting takes no lock: a
    signal handler may stop the pool on top of the thread that waits.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Held, None] = {}
        self._overdue: dict[Held, None] = {}
        self._abandoned: list[Held] = []
        self._emptied = Flag()
        #: Hears what is held no more, outside of the lock; set before the first job comes.
        self.on_gone: Callable[[list[Held]], None] | None = None

    def add(self, jobs: Iterable[Held]) -> None:
        """Take `jobs` in."""
        with self._lock:
            self._held.update(dict.fromkeys(jobs))

    def begin(self, held: Held) -> bool:
        """Note that the executor is about to be called; False if it must not be: the claim is gone.

        Under the lock, so that a claim lost at this instant was lost either
        before its executor was called or while it runs, and counts as that.
        """
        with self._lock:
            if held not in self._held:
                return False
            held.stage = Stage.RUNNING
            return True

    def settle(self, held: Held) -> bool:
        """Note that its attempt is over; False if somebody did before: of two outcomes the first one counts."""
        with self._lock:
            if held.stage is not Stage.RUNNING:
                return False
            held.stage = Stage.FINISHING
            return True

    def remove(self, jobs: Iterable[Held]) -> list[Held]:
        """Let `jobs` go and return those that were there still."""
        gone = []
        with self._lock:
            for held in jobs:
                if held in self._held:
                    del self._held[held]
                elif held in self._overdue:
                    del self._overdue[held]
                else:
                    continue
                gone.append(held)
            self._tell_if_empty_locked()
        if gone and self.on_gone is not None:
            self.on_gone(gone)
        return gone

    def lose(self, jobs: Iterable[Held]) -> list[Held]:
        """Mark held jobs as lost and return those for which it is news, but for those being recorded.

        For those the recorder learns the truth: their lease may have ended
        because their finish just applied.
        """
        lost = []
        with self._lock:
            for held in jobs:
                stage = held.stage  # read once: its worker may be about to finish it
                if held not in self._held or stage is Stage.FINISHING:
                    continue
                held.lost, held.lost_while = True, stage
                del self._held[held]
                if stage is Stage.RUNNING:
                    self._overdue[held] = None
                lost.append(held)
            self._tell_if_empty_locked()
        if lost and self.on_gone is not None:
            self.on_gone(lost)
        return lost

    def abandon(self) -> list[Held]:
        """Let everything go that is there still; return it and what earlier calls returned."""
        with self._lock:
            self._abandoned += [*self._held, *self._overdue]
            self._held.clear()
            self._overdue.clear()
            self._tell_if_empty_locked()
            return list(self._abandoned)

    def all(self) -> list[Held]:
        """Return the jobs whose leases are to be kept."""
        with self._lock:
            return list(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def wait_empty(self, deadline: float | None) -> bool:
        """Wait until no lease is kept, or until the monotonic `deadline`; return whether none is."""
        while self._held:
            self._emptied.clear()
            left = LOOK_AGAIN if deadline is None else min(LOOK_AGAIN, deadline - time.monotonic())
            if left <= 0:
                return False
            if self._held:
                self._emptied.wait(left)
        return True

    def _tell_if_empty_locked(self) -> None:
        if not self._held:
            self._emptied.set()


def tell_to_end(held: Held, error: JobpoolError, coroutines: Coroutines) -> bool:
    """Let an executor that runs know that it is to end, and cancel it if it is a coroutine; False if it knew.

    A coroutine that comes after the word is cancelled by its attempt.
    """
    if held.stage is not Stage.RUNNING or not held.tell(error):
        return False
    if (coroutine := held.coroutine) is not None:
        coroutines.cancel(coroutine)
    return True


def start_of(held: Held, executor: Executor) -> Start:
    """Return what is to be written when the executor of `held` is about to be called."""
    own: int | None = held.document.get("max_attempts")
    rule = Rule.of(executor)
    return Start(
        held.claim,
        max_attempts=rule.max_attempts if own is None else None,
        backoff=rule.backoff if (own or rule.max_attempts) > 1 else None,
        keep_failed=rule.keep_failed,
        keep_cancelled=rule.keep_cancelled,
    )


def finish_of(held: Held, outcome: Outcome, executor: Executor) -> Finish:
    """Return what is to be written of an attempt that has ended, its last words included."""
    reporter = held.reporter
    report = None if reporter is None else reporter.take()
    return Finish(held.claim, outcome, held.due_at, executor.retention, report)


def lost_by_stage(jobs: Iterable[Held]) -> Counter[str]:
    """Return how many of lost jobs count for which stage of `Observer.leases_lost`."""
    return Counter("running" if held.lost_while is Stage.RUNNING else "queued" for held in jobs)
