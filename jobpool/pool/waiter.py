"""Somebody who waits for jobs, as the notifier sees it."""

from __future__ import annotations

from collections import deque

from .flag import Flag


class Waiter:
    """The ids that one call still waits for, and the news of them.

    Fields: `ids` is a frozenset that the waiting thread replaces whole; `covered` is
    written by the notifier alone; `_news` is a deque, whose single steps need no lock.
    """

    def __init__(self, ids: frozenset[str]) -> None:
        self.ids = ids
        #: Whether an open change stream tells of all of them.
        self.covered = False
        self._news: deque[str | None] = deque()
        self._woken = Flag()

    def tell(self, id: str) -> None:
        """Say that a job ended, if it is waited for. Threads: the notifier's."""
        if id in self.ids:
            self._news.append(id)
            self._woken.set()

    def cover(self) -> None:
        """Say that all ends are told from now on; those before are to be looked for. Threads: the notifier's."""
        if not self.covered:
            self.covered = True
            self._news.append(None)
            self._woken.set()

    def uncover(self) -> None:
        """Say that not all is told any more. Threads: the notifier's."""
        if self.covered:
            self.covered = False
            self._woken.set()

    def wake(self) -> None:
        """Let the waiting thread look around."""
        self._woken.set()

    def wait(self, seconds: float) -> None:
        """Wait for news, or for so long. Threads: the waiting one."""
        self._woken.wait(seconds)

    def take(self) -> set[str | None]:
        """Return the news: ids of jobs that ended, None if any may have. Threads: the waiting one."""
        self._woken.clear()  # before the look, so that no word is lost in between
        news: set[str | None] = set()
        while self._news:
            news.add(self._news.popleft())
        return news
