"""Lines about recurring trouble, bounded for the whole process.

An outage must not fill a disk: whatever the number of pools, services and
jobs, at most `LINES` lines at INFO and above come in any minute. The next one
says how many were left out; details per event are at DEBUG.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from .hooks import HookLogger

#: Lines about trouble in any `SECONDS`. Ten lines are promised: a pool that stops then has two of its own.
LINES, SECONDS = 8, 60.0
#: So many of them are kept for what `trouble` says: whether the server is there explains all other lines.
KEPT = 3


class Budget:
    """Says whether one more line may be written: at most `lines` in any `seconds`.

    Threads: any; `_lock` guards the other two, and bears a signal handler on
    top of the thread that holds it.
    """

    def __init__(
        self, lines: int = LINES, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self.renew()
        self._written: deque[float] = deque(maxlen=lines)
        self._left_out = 0

    def take(self, *, again: bool = False, keep: int = 0) -> int | None:
        """Return how many lines were left out before this one; None if it has to be left out as well.

        Args:
            again: Whoever asks keeps the line and asks again, so it is not left out.
            keep: So many lines must still have room behind this one.
        """
        with self._lock:
            if not self.has_room(keep):
                self._left_out += not again
                return None
            self._written.append(self._clock())
            left_out, self._left_out = self._left_out, 0
            return left_out

    def has_room(self, keep: int = 0) -> bool:
        """Return whether there is room for a line, and `keep` more behind it."""
        with self._lock:
            since = self._clock() - self._seconds
            recent = sum(written > since for written in self._written)
            return recent + keep < (self._written.maxlen or 0)

    def renew(self) -> None:
        """Have a lock that nobody holds: in a forked child another thread of the parent may have held it."""
        self._lock = threading.RLock()

    def reset(self) -> None:
        """Forget what was written: for tests, which share a process."""
        with self._lock:
            self._written.clear()
            self._left_out = 0


#: That of the process.
BUDGET = Budget()
os.register_at_fork(after_in_child=BUDGET.renew)


class BoundedLogger(HookLogger):
    """A logger whose lines at INFO and above share the budget of the process. Never raises."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """As `HookLogger.log`, if the budget allows."""
        if level >= logging.INFO and self.isEnabledFor(level):
            left_out = BUDGET.take(keep=KEPT)
            if left_out is None:
                return
            msg = marked(msg, left_out)
        super().log(level, msg, *args, **{"stacklevel": 3, **kwargs})


def marked(text: object, left_out: int) -> object:
    """Return a line that tells how many were left out before it."""
    return f"{text} ({left_out} lines left out before)" if left_out else text


def bounded_logger_of(module: str) -> BoundedLogger:
    """Return the logger of a module of ours, for lines about trouble that may come again and again."""
    return BoundedLogger(logging.getLogger(module))
