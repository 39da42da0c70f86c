"""Who waits for jobs: the waiting calls of one manager, and the notifier they share."""

from __future__ import annotations

import threading

from ..logs import bounded_logger_of
from . import at_exit
from .host import Host
from .notifier import Notifier
from .waiter import Waiter

logger = bounded_logger_of(__name__)

#: A notifier in a call to a server that does not answer is not waited for any longer.
END_TIME = 2.0


class Waits:
    """Knows who waits on a manager, and keeps a notifier while anybody does.

    Threads: any. `_lock` guards `_notifier` and `_over`, and bears a signal handler that closes
    the manager on top of a thread that begins to wait. `_waiters` is a dict whose single steps
    need no lock: a generator that a forked child inherited may end there.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.RLock()
        self._waiters: dict[Waiter, None] = {}
        self._notifier: Notifier | None = None
        self._over = False

    @property
    def waiters(self) -> tuple[Waiter, ...]:
        """All who wait."""
        return tuple(self._waiters)

    @property
    def notifier(self) -> Notifier | None:
        """The running notifier, if any."""
        return self._notifier

    def add(self, waiter: Waiter) -> None:
        """Tell a waiter what ends from when it is covered on, if that can be had."""
        with self._lock:
            if self._over:
                return
            self._waiters[waiter] = None
            notifier = self._notifier or self._started()
        if notifier is not None:
            notifier.wake()

    def remove(self, waiter: Waiter) -> None:
        """Tell a waiter nothing more."""
        self._waiters.pop(waiter, None)

    def _started(self) -> Notifier | None:
        """Return a new notifier; None if there can be no thread, as at the end of the interpreter."""
        notifier = Notifier("shared", self._host.store, self._host.observer, self)
        try:
            at_exit.end_with_main_thread(self)
            notifier.start()
        except RuntimeError as error:
            logger.debug("no push for those who wait (%s); they poll", error)
            return None
        self._notifier = notifier
        return notifier

    def unused(self, notifier: Notifier) -> bool:
        """Return whether nobody waits; then that notifier is nobody's any more."""
        with self._lock:
            if self._waiters:
                return False
            if self._notifier is notifier:
                self._notifier = None
                at_exit.forget(self)
            return True

    def close(self) -> None:
        """End the notifier for good, and let those who wait see that the manager is closed."""
        notifier = self._end()
        for waiter in self.waiters:
            waiter.wake()
        if notifier is not None:
            notifier.join(END_TIME)
        at_exit.forget(self)

    def main_thread_ended(self) -> None:
        """End what would keep the process. Another thread that waits goes on by polling."""
        self._end()

    def _end(self) -> Notifier | None:
        with self._lock:
            self._over = True
            notifier, self._notifier = self._notifier, None
        if notifier is not None:
            notifier.stop()
        return notifier
