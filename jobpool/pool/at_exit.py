"""Stopping the pools of a host whose main thread ends without doing so."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

logger = logging.getLogger(__name__)


class Stoppable(Protocol):
    """A pool."""

    def stop(self) -> object:
        """Stop it."""


#: The running pools of this process, and the process that started them: a fork
#: inherits this list and must not touch what is in it.
_pools: WeakKeyDictionary[Stoppable, int] = WeakKeyDictionary()
_lock = threading.Lock()
_registered = False


def stop_at_exit(pool: Stoppable) -> None:
    """Stop `pool` when the main thread ends, unless `forget` comes first."""
    global _registered
    with _lock:
        _pools[pool] = os.getpid()
        first, _registered = not _registered, True
    if first:
        _before_threads_are_joined(_stop_all)


def forget(pool: Stoppable) -> None:
    """Do nothing about `pool` at the exit."""
    with _lock:
        _pools.pop(pool, None)


def _before_threads_are_joined(call: Callable[[], None]) -> None:
    """Have `call` run when the main thread ends, before anybody waits for worker threads.

    `atexit` is too late: the interpreter first joins the threads of every
    ThreadPoolExecutor, and ours end only when they are told to. What
    concurrent.futures itself uses is called last in, first out, so ours,
    registered after its import, runs before it. Nothing public does this;
    `Thread.is_alive` of the main thread is True until that join is over.
    """
    getattr(threading, "_register_atexit", atexit.register)(call)


def _stop_all() -> None:
    with _lock:
        left = [pool for pool, pid in _pools.items() if pid == os.getpid()]
    for pool in left:
        logger.warning("the main thread ended without stopping %r; stopping it", pool)
        pool.stop()
