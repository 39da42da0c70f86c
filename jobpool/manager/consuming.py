"""Consuming: executors are registered, and jobs run, here or in pools."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

from ..config import PoolOptions
from ..errors import PoolStateError
from ..executors import Executor, Rules
from ..job import Job
from ..pool import StopReport, WorkerPool
from .looking import Looking

_Fn = TypeVar("_Fn", bound=Callable[..., Any])


class Consuming(Looking):
    """Runs jobs."""

    def executor(self, type: str, **rules: Unpack[Rules]) -> Callable[[_Fn], _Fn]:
        """Register the decorated function as the executor of `type`; see `Executor` for the rules."""

        def register(fn: _Fn) -> _Fn:
            self.executors.register(type, Executor(fn, **rules))
            return fn

        return register

    def run(self, *types: str) -> Job | None:
        """Run one due job in the calling thread and return it finished; None if none was due when it was called.

        Whoever asks for it gets it: neither a pause nor a limit holds it back. A
        job that has a key takes up a place of its limits while it runs.

        What the executor raises fails the attempt and is in the answer; it is not raised here.

        Args:
            types: The types to look for; all that have an executor here if none are given.

        Raises:
            UnknownType: A type has no executor here. Nothing was claimed.
            LeaseLost: The job was taken back while it ran; its outcome was refused.
            StoreUnavailable: See `StoreUnavailable`; the job comes back by its lease.
        """
        chosen = self.executors.select(types)
        self.store.ready()
        id = self._direct.run_one(chosen)
        return None if id is None else self.get(id)

    def run_all(self, *types: str) -> int:
        """Run due jobs in the calling thread until none is due; return how many attempts ran.

        What was due when it was called, by the server's time, is found, whoever created it.

        A pause does not hold it back, but limits do, together with all pools: it
        does not wait for a place or for the time that a rate asks for, and leaves such jobs pending.

        Args, raises: as `run`. What ran before an error has run.
        """
        chosen = self.executors.select(types)
        self.store.ready()
        return self._direct.run_all(chosen)

    def start_watch(self, *types: str, **options: Unpack[PoolOptions]) -> WorkerPool:
        """Start a pool that runs jobs of `types` until `stop_watch`, and return it.

        Args:
            types: The types to run; all that have an executor here if none are given.
            options: See `jobpool.config.PoolConfig`.
        """
        pool = WorkerPool(self, types, **options)
        with self._lock:
            if self._closed:
                raise PoolStateError("the manager is closed")
            self._watches.append(pool)  # before its start, so that `close` does not miss it
        try:
            return pool.start()
        except BaseException:
            with self._lock:
                self._watches.remove(pool)
            raise

    def stop_watch(self, timeout: float | None = None) -> list[StopReport]:
        """Stop every pool that `start_watch` started; see `WorkerPool.stop`.

        Args:
            timeout: Seconds for all of them together; each pool's own if None.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        reports: list[StopReport] = []
        while True:
            with self._lock:
                pool = self._watches[0] if self._watches else None
            if pool is None:
                return reports
            reports.append(pool.stop(None if deadline is None else max(0.0, deadline - time.monotonic())))
            with self._lock:  # only now: a stop that raises can be called again
                if pool in self._watches:
                    self._watches.remove(pool)
