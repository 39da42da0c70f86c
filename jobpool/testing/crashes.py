"""Crashes: a job is left as by a process that was killed, and its lease ends at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import InvalidConfiguration
from ..job import HELD, Claim, Job
from ..names import shown
from ..pool.reaper import reap
from .running import PAGE
from .seams import end_leases, standing_before

if TYPE_CHECKING:
    from ..manager import JobManager
    from ..outcome import Finish, Outcome
    from ..store.transitions import Start

#: The steps of a job, in order; `reply` is the answer to the finish.
STEPS = ("claim", "start", "executor", "finish", "reply")
#: At which of the store's operations a process dies, and on which side of it.
_POINTS = {
    ("claim", "start"): ("start", "before"),
    ("start", "executor"): ("start", "after"),
    ("executor", "finish"): ("finish", "before"),
    ("finish", "reply"): ("finish", "after"),
}


class Killed(BaseException):
    """Stands for the death of a process at one point. `kill_between` raises it and catches it again."""


def kill_between(manager: JobManager, after: str, before: str) -> Kill:
    """Let what runs a job in the ``with`` block die between two steps, as if its process was killed there.

    ==================== =========================================================
    ``claim, start``     the job is claimed; no attempt is spent
    ``start, executor``  it is running, an attempt is spent, the executor was not called
    ``executor, finish`` the executor has had its effects, nothing is recorded (but what it completed itself)
    ``finish, reply``    the outcome is recorded, and who ran the job did not learn of it
    ==================== =========================================================

    Nothing is released or recorded behind that point: the claim stays in the
    store until its lease ends, 30 s later, or by `expire_leases`. (Metrics and
    middleware of `manager` live on, and hear that a claim was lost.) The first
    job that comes to the point is struck, and the block ends there::

        with kill_between(manager, "executor", "finish") as kill:
            manager.run()
        expire_leases(manager)
        assert manager.get(kill.id).state == "pending"  # it has attempts left

    The same manager can be used afterwards, as the next process would be.
    Struck is what the thread of the block runs, by `JobManager.run`,
    `JobManager.run_all` or `run_all`; pools are not.

    Raises:
        AssertionError: At the end of the block: no job came to that point.
        InvalidConfiguration: These are not two neighbours.
    """
    return Kill(manager, after, before)


class Kill:
    """A death that is to come; made by `kill_between`.

    Attributes:
        struck: Whether it has come.
        id: Of the job that it met; empty before.
        outcome: What was to be recorded of its attempt, if that had ended.

    Threads: that of its block.
    """

    def __init__(self, manager: JobManager, after: str, before: str) -> None:
        if (after, before) not in _POINTS:
            pairs = " or ".join(f"{first!r}, {second!r}" for first, second in _POINTS)
            raise InvalidConfiguration(f"kill_between takes two neighbours, {pairs}; not {after!r}, {before!r}")
        self.struck = False
        self.id = ""
        self.outcome: Outcome | None = None
        self._manager = manager
        self._between = f"{after!r} and {before!r}"
        self._point = _POINTS[after, before]
        self._death: Killed | None = None
        self._thread = 0
        self._standing: AbstractContextManager[None] | None = None

    def __enter__(self) -> Kill:
        if self._standing is not None:
            raise InvalidConfiguration("a kill_between is good for one block; make another one")
        self._thread = threading.get_ident()
        self._standing = standing_before(self._manager, lambda real: _Mortal(real, self))
        self._standing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        assert self._standing is not None
        self._standing.__exit__(None, None, None)
        if error is None and not self.struck:
            raise AssertionError(
                f"no job came to the point between {self._between}: was one due, and did this block run it in its "
                "own thread? Pools are not struck"
            )
        return error is not None and error is self._death

    def around(self, step: str, claims: Collection[Claim], call: Callable[[], Any]) -> Any:
        """Make the call of a step, or die before or after it."""
        self.check_alive()
        if threading.get_ident() != self._thread:
            return call()
        if self._point == (step, "before"):
            self._die(claims)
        answer = call()
        if self._point == (step, "after") and answer:  # what was refused has not come that far
            self._die(claims)
        return answer

    def ending(self, finishes: Collection[Finish]) -> None:
        """Hear of the outcome of an attempt."""
        if threading.get_ident() == self._thread and not self.struck:
            self.outcome = next(iter(finishes)).outcome

    def check_alive(self) -> None:
        """Die again: on its way out the dead thread releases and records nothing."""
        if self._death is not None and threading.get_ident() == self._thread:
            raise self._death

    def _die(self, claims: Collection[Claim]) -> None:
        self.struck, self.id = True, next(iter(claims)).id
        self._death = Killed(f"job {shown(self.id)}: killed between {self._between}")
        raise self._death

    def __repr__(self) -> str:
        return f"<Kill between {self._between}{f' struck {shown(self.id)}' if self.struck else ''}>"


class _Mortal:
    """Stands before writes of a store to held jobs, and makes them for as long as their caller lives."""

    def __init__(self, real: Any, kill: Kill) -> None:
        self._real = real
        self._kill = kill

    def start(self, starts: Collection[Start], **options: Any) -> Any:
        claims = [start.claim for start in starts]
        return self._kill.around("start", claims, lambda: self._real.start(starts, **options))

    def finish(self, finishes: Collection[Finish], **options: Any) -> Any:
        claims = [finish.claim for finish in finishes]
        self._kill.ending(finishes)
        return self._kill.around("finish", claims, lambda: self._real.finish(finishes, **options))

    def settle(self, finish: Finish, **options: Any) -> Any:
        """Of a job that its executor has completed: `Kill.outcome` is not known to anybody before."""
        return self._kill.around("finish", [finish.claim], lambda: self._real.settle(finish, **options))

    def __getattr__(self, name: str) -> Any:
        self._kill.check_alive()
        return getattr(self._real, name)


def expire_leases(manager: JobManager) -> list[Job]:
    """Let the leases of all held jobs end now, take the jobs back, and return them as they are then.

    As 30 s without a heartbeat, and the reaper behind them: a claimed job is
    pending again; a running one is pending after its backoff if it has
    attempts left, else failed with ``WorkerLost``. To run it again before that
    backoff is over, `travel`, or use ``run_all(manager, retries=True)``.

    All held jobs are meant, those that living pools run as well; the outcomes
    of these are refused.
    """
    manager.store.ready()
    held = [job.id for state in HELD for job in manager.find(state=state, limit=PAGE)]
    return expire(manager, held)


def expire(manager: JobManager, ids: list[str]) -> list[Job]:
    """Do for some jobs what `expire_leases` does for all."""
    if not ids:
        return []
    end_leases(manager, ids)
    reap(manager.store, manager.observer)
    manager.store.clock.forget()  # an estimate from before may be behind the `run_at` just written
    return manager.find(ids=ids, limit=PAGE, oldest_first=True)
