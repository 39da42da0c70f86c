"""A background thread of a pool: a thin loop around one step."""

from __future__ import annotations

import logging
import random
import threading
import time
from abc import ABC, abstractmethod

from ..errors import StoreError
from ..observer import Observer

logger = logging.getLogger(__name__)

#: After an error a service waits this long, doubling to the longest: a server that
#: restarts is not met by every thread of every worker at once (the wait has jitter).
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
#: While the store is away each service says so once a minute.
REMIND_AFTER = 60.0


class Service(ABC):
    """A named thread that repeats `run_once` until it is told to stop, whatever that raises.

    Fields: `name`, `observer` immutable; `_failing_since`, `_reminded_at`,
    `_pause` belong to the thread; `_stopping` and `advanced_at` are read by
    anybody (an event and a float).

    Threads: `start`, `stop` and `join` from any thread; each may be repeated.
    """

    def __init__(self, name: str, observer: Observer) -> None:
        self.name = name
        self.observer = observer
        self.advanced_at = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"jobpool-{name}")
        self._failing_since: float | None = None
        self._reminded_at = 0.0
        self._pause = FIRST_PAUSE

    @abstractmethod
    def run_once(self) -> None:
        """Do one step; wait on an event inside, never longer than about a second at a time."""

    def wake(self) -> None:
        """Make a waiting `run_once` return soon."""
        return

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Tell the thread to end after the step in hand."""
        self._stopping.set()
        self.wake()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread's end and return whether it ended in time."""
        if self._thread.ident is not None:
            self._thread.join(None if timeout is None else max(0.0, timeout))
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    @property
    def failing(self) -> bool:
        """Whether the last step ended in an error."""
        return self._failing_since is not None

    @property
    def stopping(self) -> bool:
        """Whether the thread was told to end."""
        return self._stopping.is_set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step()
            except BaseException:  # noqa: BLE001  (not even the report of an error, say a logging filter, ends it)
                self._stopping.wait(LONGEST_PAUSE)

    def step(self) -> bool:
        """Run `run_once`, survive its error, and return whether it had none."""
        try:
            self.run_once()
        except StoreError as error:
            self._failed(error)
        except BaseException as error:  # noqa: BLE001  (a dead service would be a deaf pool)
            self.observer.internal_error(self.name.rpartition("-")[2])
            self._failed(error)
        else:
            self._recovered()
            return True
        return False

    def _failed(self, error: BaseException) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since, self._reminded_at = now, now
            self._say(error, "retrying")
        elif now - self._reminded_at >= REMIND_AFTER:
            self._reminded_at = now
            self._say(error, f"failing for {now - self._failing_since:.0f} s, still retrying")
        self._stopping.wait(self._pause_with_jitter())

    def _say(self, error: BaseException, then: str) -> None:
        foreseen = isinstance(error, StoreError)
        logger.log(
            logging.WARNING if foreseen else logging.ERROR,
            "%s: %s; %s",
            self.name,
            error if foreseen else type(error).__name__,
            then,
            exc_info=None if foreseen else error,
        )

    def _recovered(self) -> None:
        self.advanced_at = time.monotonic()
        if self._failing_since is not None:
            logger.info("%s: works again after %.1f s", self.name, self.advanced_at - self._failing_since)
            self._failing_since = None
            self._pause = FIRST_PAUSE

    def _pause_with_jitter(self) -> float:
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        return pause * jitter()


class Periodic(Service):
    """A service that acts once per interval: after 0.6 to 1 of it, at random, never later.

    Fields: `_due_at` belongs to the thread.
    """

    def __init__(self, name: str, observer: Observer, interval: float, *, at_once: bool) -> None:
        super().__init__(name, observer)
        self._interval = interval
        self._due_at = time.monotonic() if at_once else self._next()
        self._woken = threading.Event()

    @abstractmethod
    def act(self) -> None:
        """Do what is due; an error leaves it due."""

    def wake(self) -> None:
        """Let a waiting step return."""
        self._woken.set()

    def run_once(self) -> None:
        """Wait for the next time, in slices of a second, and act."""
        left = self._due_at - time.monotonic()
        if left > 0:
            self._woken.wait(min(left, 1.0))
        if time.monotonic() >= self._due_at:
            self.act()
            self._due_at = self._next()

    def _next(self) -> float:
        return time.monotonic() + self._interval * jitter() / 1.25


def jitter() -> float:
    """Return a factor between 0.75 and 1.25: services of many pools must not march in step."""
    return 0.75 + random.random() / 2
