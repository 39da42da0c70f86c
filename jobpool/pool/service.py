"""A background thread of a pool: a thin loop around one step."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod

from ..chance import RANDOM
from ..errors import StoreError
from ..logs import bounded_logger_of
from ..names import shown
from ..observer import Observer
from ..trouble import REMIND_AFTER, Trouble
from .flag import Flag

logger = bounded_logger_of(__name__)

#: After an error a service waits this long, doubling to the longest: a server that
#: restarts is not met by every thread of every worker at once (the wait has jitter).
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
#: What an ending thread still does takes microseconds. The wait for it has a bound because
#: `Thread.join` never returns to a signal handler that runs on top of the same join.
LAST_LINES = 1.0
LONGEST_JITTER = 1.25


class Service(ABC):
    """A named thread that repeats `run_once` until it is told to stop, whatever that raises.

    Fields: `name`, `observer` and `_trouble` immutable; `_failing_since`, `_reminded_at`,
    `_pause` belong to the thread; `_stopping`, `advanced_at` and `failed_by` are read by
    anybody (an event, a float, and None or a text that names the last error).

    Threads: `start`, `stop` and `join` from any thread; each may be repeated.
    """

    def __init__(self, name: str, observer: Observer, trouble: Trouble) -> None:
        self.name = name
        self.observer = observer
        self._trouble = trouble
        self.advanced_at = time.monotonic()
        self._stopping = Flag()
        self._ended = Flag()
        self._thread = threading.Thread(target=self._run, name=f"jobpool-{name}")
        self._failing_since: float | None = None
        self.failed_by: str | None = None
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
        self.advanced_at = time.monotonic()  # it may have been made long ago
        self._thread.start()

    def stop(self) -> None:
        """Tell the thread to end after the step in hand."""
        self._stopping.set()
        self.wake()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread's end and return whether it ended in time."""
        if self._thread.ident is None:
            return True
        if not self._ended.wait(timeout):
            return False
        self._thread.join(LAST_LINES)
        return True

    @property
    def begun(self) -> bool:
        """Whether the thread was started."""
        return self._thread.ident is not None

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

    def at_end(self) -> None:
        """Leave nothing behind: called on the thread after its last step, whatever that was."""
        return

    def _run(self) -> None:
        try:
            self._repeat()
            self.at_end()
        except BaseException as error:  # noqa: BLE001  (the thread ends in any case)
            logger.debug("%s: %r at its end", self.name, error)
        finally:
            self._trouble.left(self)
            self._ended.set()

    def _repeat(self) -> None:
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
            self._survived(error)
        else:
            self._recovered()
            return True
        return False

    def _failed(self, error: StoreError) -> None:
        """Tell of a call that failed, together with all others of this store."""
        self._failing_since = self._failing_since or time.monotonic()
        self.failed_by = f"{error.operation or type(error).__name__} ({error.kind})"
        logger.debug("%s: %s; retrying", self.name, error)
        self._trouble.met(self, error)
        self._stopping.wait(self._pause_with_jitter())

    def _survived(self, error: BaseException) -> None:
        """Tell of an error that nobody foresaw, with its traceback: at first, then once a minute."""
        now = time.monotonic()
        if self._failing_since is None or now - self._reminded_at >= REMIND_AFTER:
            self._reminded_at = now
            logger.error(
                "%s: an error of jobpool itself, please report it: %s; the thread goes on",
                *(shown(self.name), type(error).__name__),
                exc_info=error,
            )
        self._failing_since = self._failing_since or now
        self.failed_by = type(error).__name__
        self._stopping.wait(self._pause_with_jitter())

    def _recovered(self) -> None:
        self.advanced_at = time.monotonic()
        if self._failing_since is not None:
            logger.debug("%s: works again after %.1f s", self.name, self.advanced_at - self._failing_since)
            self._failing_since = self.failed_by = None
            self._pause = FIRST_PAUSE
            self._trouble.over(self)
        elif self._trouble.pending:
            self._trouble.tell()

    def _pause_with_jitter(self) -> float:
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        return pause * jitter()


class Periodic(Service):
    """A service that acts once per interval: after 0.6 to 1 of it, at random, never later.

    Fields: `_due_at` belongs to the thread.
    """

    def __init__(self, name: str, observer: Observer, trouble: Trouble, interval: float, *, at_once: bool) -> None:
        super().__init__(name, observer, trouble)
        self._interval = interval
        self._due_at = time.monotonic() if at_once else self._next()
        self._woken = Flag()

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
        return time.monotonic() + self._interval * jitter() / LONGEST_JITTER


def jitter() -> float:
    """Return a factor between 0.75 and 1.25: services of many pools must not march in step."""
    return LONGEST_JITTER - RANDOM.random() / 2
