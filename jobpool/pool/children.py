"""The child processes of a pool, for executors with ``isolation="process"``."""

from __future__ import annotations

import atexit
import os
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from ..errors import PoolStateError, ProcessDied
from ..names import shown
from .answers import how_ended, opened
from .child_process import ChildProcess, Gone

#: Seconds until a new child is ready. Its parent's main module is imported on the way.
START_LIMIT = 60.0
#: Seconds from the end of its line to the end of a child.
LAST_WORDS = 1.0
#: Seconds for idle children at the exit of an interpreter whose host did not close them.
EXIT_TIME = 1.0

_GUARD = 'is what your main module does as a program behind `if __name__ == "__main__":`?'


class Children:
    """Runs executors in child processes: at most as many as threads call `run` at once.

    A child is a new interpreter, which imports the main module of this process
    (as ``__mp_main__``) and the module of the executor. It costs its start
    once: it is kept, and the next job goes to the one that was last in use. So
    module globals live on from job to job, as in a thread. A child that died,
    or was killed, is replaced when the next job needs one.

    Children end with this process, whatever ends it. Ctrl-C and SIGTERM, when
    they reach the whole group or service, do not end them: the pool drains.

    Args:
        name: Of the pool.
        max_tasks: How many jobs a child runs before another takes its place; None is no limit.

    Fields: `_idle`, `_busy` (a dict for its order) and `_closed` guarded by `_lock`,
    which a signal handler may take on top of its holder; else immutable.

    Threads: any.
    """

    def __init__(self, name: str, *, max_tasks: int | None = None) -> None:
        self._name = f"jobpool-{name}-child"
        self._max_tasks = max_tasks
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._idle: list[ChildProcess] = []
        self._busy: dict[ChildProcess, None] = {}
        self._closed = False
        _open.add(self)

    def run(
        self,
        fn: Callable[[Any], Any],
        data: Any,
        *,
        facts: dict[str, Any],
        limit: float | None,
        told: Callable[[], BaseException | None],
    ) -> Any:
        """Return ``fn(data)``, called in a child; a coroutine is run to its end there.

        Args:
            facts: What ``current_job()`` shows: id, type, attempt, fence,
                created_at and pool; trace_id and span_id if there are any.
            limit: Seconds from the moment the child takes the job; None is no limit.
            told: Asked at least every 0.05 s; what it returns is raised here.

        Raises:
            BaseException: What the executor raised, with its traceback as
                cause; what cannot be made again here is a `RuntimeError`.
            ProcessDied: The child ended before it had answered.
            TimeoutError: `limit` is over. As after `told`, the child and all in
                its process group are dead when this is raised.
            PoolStateError: The children are closed.
        """
        request = pickle.dumps((fn, data, facts), pickle.HIGHEST_PROTOCOL)
        child = self._take()
        answered = False
        try:
            child.wait_ready(_look(told, START_LIMIT, lambda: self._never_ready(facts)))
            answer = child.ask(request, _look(told, limit, lambda: TimeoutError(f"not done after {limit} s")))
            answered = True
        except Gone:
            raise self._died(child, facts) from None
        finally:
            self._put_back(child, answered)
        return opened(answer)

    def close(self, timeout: float) -> None:
        """End all children: idle ones end by themselves, for `timeout` seconds at most; the others are killed.

        Whoever waits for one of those gets `ProcessDied`. Repeated calls find nothing to do.
        """
        if os.getpid() != self._pid:  # they are the parent's
            return
        deadline = time.monotonic() + timeout
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for child in busy:
            child.kill()
        for child in idle:
            child.hang_up()
        for child in [*busy, *idle]:
            child.bury(max(0.0, deadline - time.monotonic()))
        _open.discard(self)

    @property
    def pids(self) -> list[int]:
        """The process ids of all children."""
        with self._lock:
            return [child.pid for child in [*self._busy, *self._idle]]

    def _take(self) -> ChildProcess:
        """Return a child that nobody uses, a new one if need be. It is the caller's until `_put_back`."""
        dead = []
        try:
            with self._lock:
                while self._idle and not self._closed:
                    child = self._idle.pop()
                    if child.exitcode is None:
                        self._busy[child] = None
                        return child
                    dead.append(child)
        finally:
            for child in dead:
                self._forget(child)
        return self._new()

    def _new(self) -> ChildProcess:
        child = None
        try:
            self._check_open()
            child = ChildProcess(self._name)
            with self._lock:
                self._check_open()  # decides: what comes behind a close is not seen by it
                self._busy[child] = None
            return child
        except BaseException:
            if child is not None:
                child.bury(0)
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise PoolStateError(f"the child processes of {self._name} are closed")

    def _put_back(self, child: ChildProcess, answered: bool) -> None:
        """Keep a child for the next job, or end it."""
        keep = answered and (self._max_tasks is None or child.answered < self._max_tasks)
        with self._lock:
            if keep and not self._closed:
                del self._busy[child]
                self._idle.append(child)
                return
        child.hang_up()
        self._forget(child, LAST_WORDS if answered else 0)

    def _forget(self, child: ChildProcess, patience: float = 0.0) -> None:
        child.bury(patience)
        with self._lock:
            self._busy.pop(child, None)

    def _died(self, child: ChildProcess, facts: dict[str, Any]) -> ProcessDied:
        code = child.bury(LAST_WORDS)
        text = f"job {shown(facts['id'])}: its child process {how_ended(code)}"
        if self._closed:
            return ProcessDied(f"job {shown(facts['id'])}: its child process was killed, because its pool stopped")
        return ProcessDied(text if child.ready else f"{text} before it was ready; its stderr says why; {_GUARD}")

    def _never_ready(self, facts: dict[str, Any]) -> ProcessDied:
        return ProcessDied(
            f"job {shown(facts['id'])}: its child process was not ready after {START_LIMIT:g} s; {_GUARD}"
        )


def _look(
    told: Callable[[], BaseException | None], limit: float | None, late: Callable[[], BaseException]
) -> Callable[[], None]:
    """Return what raises what `told` returns, or `late()` when `limit` seconds are over."""
    deadline = None if limit is None else time.monotonic() + limit

    def look() -> None:
        error = told()
        if error is None and deadline is not None and time.monotonic() >= deadline:
            error = late()
        if error is not None:
            raise error

    return look


#: Those of this process, and of its parent if it was forked.
_open: WeakSet[Children] = WeakSet()


def _end_all() -> None:
    """End what the host did not close: multiprocessing would send SIGTERM, which does nothing, and wait."""
    for children in list(_open):
        children.close(EXIT_TIME)


# After multiprocessing, imported above, has done the same: what is registered later is called sooner.
atexit.register(_end_all)
