"""The bounded queue inside one process, between fetcher and starter."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from .held import Held


class ClaimedQueue:
    """Claimed jobs that wait for a thread, in the order they were claimed.

    The fetcher keeps the bound: it asks for no more jobs than there is room
    for. The decision whether jobs are still taken is made under the lock, so
    nothing is left in a queue that nobody empties any more.

    Threads: any; `_lock` guards all fields.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: deque[Held] = deque()
        self._closed = False

    def put(self, jobs: list[Held]) -> bool:
        """Append `jobs` and return True; refuse all of them and return False once closed."""
        with self._lock:
            if not self._closed:
                self._jobs.extend(jobs)
            return not self._closed

    def pass_by(self, jobs: list[Held], hand: Callable[[list[Held]], None]) -> bool:
        """Call `hand` with `jobs` that need not wait and return True; refuse them and return False once closed.

        Under the lock, so that whoever closes the queue finds there what was
        handed over: `hand` must only compute.
        """
        with self._lock:
            if not self._closed:
                hand(jobs)
            return not self._closed

    def take(self, fits: Callable[[Held], bool]) -> list[Held]:
        """Remove and return jobs from the head for as long as `fits` says so; never waits.

        `fits` is called under the lock: it must only compute.
        """
        taken: list[Held] = []
        with self._lock:
            while self._jobs and fits(self._jobs[0]):
                taken.append(self._jobs.popleft())
        return taken

    def sift(self, fits: Callable[[Held], bool], more: Callable[[], list[Held]]) -> list[Held]:
        """Remove and return the jobs that do not fit, and what `more` returns; nothing once closed.

        Both are called under the lock, as in `pass_by`, and must only compute:
        whoever closes the queue finds everything that is to be released.
        """
        with self._lock:
            if self._closed:
                return []
            left = [held for held in self._jobs if not fits(held)]
            if left:
                self._jobs = deque(held for held in self._jobs if fits(held))
            return left + more()

    def close(self) -> list[Held]:
        """Refuse all further jobs; remove and return what is there."""
        with self._lock:
            self._closed = True
            left = list(self._jobs)
            self._jobs.clear()
            return left

    def __len__(self) -> int:
        return len(self._jobs)
