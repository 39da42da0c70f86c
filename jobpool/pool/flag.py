"""An event that a signal handler may touch."""

from __future__ import annotations

import threading
import time

#: Whoever waits looks again this often: a wait that an exception cut short must not cost another its word.
SLICE = 1.0


class Flag:
    """As `threading.Event`, but no frame ever holds a lock of it.

    A signal handler runs on top of whatever the main thread is doing. If that
    was inside an Event, and the handler stops the pool that the event belongs
    to, the thread waits for itself. Here every step on the lock is one call
    that either happened or not. The lock is a gate: free means open.

    Threads: any; `clear` only by the one thread that waits.
    """

    __slots__ = ("_gate", "_set")

    def __init__(self) -> None:
        self._set = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def is_set(self) -> bool:
        """Whether it was set and not cleared since."""
        return self._set

    def set(self) -> None:
        """Let all pass who wait, now and until it is cleared."""
        self._set = True
        self._open()

    def clear(self) -> None:
        """Let everybody wait from now on."""
        self._set = False  # in this order: a word that comes in between leaves it set
        self._gate.acquire(blocking=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or for `timeout` seconds; return whether it is set."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = SLICE if deadline is None else min(SLICE, deadline - time.monotonic())
            if left <= 0:
                break
            if self._gate.acquire(timeout=left) and self.is_set():
                self._open()  # for the others who wait
        return self._set

    def _open(self) -> None:
        try:
            self._gate.release()
        except RuntimeError:
            return  # it is open
