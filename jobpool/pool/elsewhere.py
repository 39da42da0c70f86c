"""Work that holds locks of a pool is not done where a signal handler may come on top of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import PoolStateError
from .flag import Flag

R = TypeVar("R")

#: Seconds beyond what calls of the store may take: a thousand threads begin within one.
SLOWEST = 10.0


def elsewhere(name: str, work: Callable[[], R], patience: float = SLOWEST) -> R:
    """Call `work`, of the main thread on another one, and return its result or raise its error.

    A signal handler runs on top of the main thread: one that stops the pool
    would wait for threads that wait for what the frame below it holds. That
    frame only waits here. Should the handler raise, the work is done all the same.

    This may itself be called by a handler, above a frame that is logging, say: so `work`
    leaves to its caller what takes locks of the host, log lines and metrics. Of others that
    frame lets go when the handler returns, which it does after `patience` seconds.

    Raises:
        PoolStateError: It is not done yet, and is gone on with.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    done = _Done(work)
    try:
        threading.Thread(target=done.run, name=name).start()
    except RuntimeError:  # there can be no more threads
        return work()
    if not done.over.wait(patience):
        raise PoolStateError(
            f"not done within {patience:g} s, and still gone on with: this may be a signal handler above a frame "
            "that holds what is waited for, so it has to return first"
        )
    if done.error is not None:
        raise done.error
    (result,) = done.results
    return result


class _Done(Generic[R]):
    """What became of it."""

    def __init__(self, work: Callable[[], R]) -> None:
        self.over = Flag()
        self.results: list[R] = []
        self.error: BaseException | None = None
        self._work = work

    def run(self) -> None:
        try:
            self.results.append(self._work())
        except BaseException as error:  # noqa: BLE001  (it is the caller's)
            self.error = error
        finally:
            self.over.set()
