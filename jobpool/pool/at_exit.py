"""Stopping the pools of a host whose main thread ends without doing so."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

from ..hooks import logger_of

logger = logger_of(__name__)


class Running(Protocol):
    """Something with threads of its own."""

    def main_thread_ended(self) -> None:
        """End them."""


#: What runs in this process, and the process that started it: a fork inherits
#: this list and must not touch what is in it. The lock bears a signal handler that stops a
#: pool on top of the thread that starts one.
_running: WeakKeyDictionary[Running, int] = WeakKeyDictionary()
_lock = threading.RLock()
_registered = False


def end_with_main_thread(item: Running) -> None:
    """Call `item.main_thread_ended` when the main thread ends, unless `forget` comes first."""
    global _registered
    with _lock:
        _running[item] = os.getpid()
        first, _registered = not _registered, True
    if first:
        _before_threads_are_joined(_end_all)


def forget(item: Running) -> None:
    """Do nothing about `item` at the exit."""
    with _lock:
        _running.pop(item, None)


def _before_threads_are_joined(call: Callable[[], None]) -> None:
    """Have `call` run when the main thread ends, before anybody waits for worker threads.

    `atexit` is too late: the interpreter first joins the threads of every
    ThreadPoolExecutor, and ours end only when they are told to. What
    concurrent.futures itself uses is called last in, first out, so ours,
    registered after its import, runs before it. Nothing public does this;
    `Thread.is_alive` of the main thread is True until that join is over.
    """
    getattr(threading, "_register_atexit", atexit.register)(call)


def _end_all() -> None:
    with _lock:
        left = [item for item, pid in _running.items() if pid == os.getpid()]
    for item in left:
        try:
            item.main_thread_ended()
        except Exception:
            logger.exception("%r could not be ended", item)


def _unlock() -> None:
    global _lock
    _lock = threading.RLock()


# Another thread of the parent may have held it when it forked.
os.register_at_fork(after_in_child=_unlock)
