"""The waker: hears of new work by change stream and wakes waiting fetchers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ..observer import Observer
from ..store import Store
from ..store.watching import Watch
from .flag import Flag
from .service import Service
from .serving import Serving

#: How long the server holds an empty answer back: the longest that `stop` waits for this thread.
MAX_AWAIT = 0.25
#: A stream nobody read for longer may have a backlog of old news: a fresh one is cheaper.
STALE_AFTER = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class Listener:
    """A fetcher: what it claims, whether it waits for news, and how to wake it; and the scheduler beside it."""

    serving: Serving
    waiting: Callable[[], bool]
    wake: Callable[[], None]
    scheduled: Callable[[], None] = lambda: None

    @property
    def types(self) -> frozenset[str]:
        """Of which types it wants to hear now."""
        return self.serving.now.wanted


class Waker(Service):
    """One change stream for all pools of a manager, read only while one of them waits.

    A busy fetcher needs no news, and reading them would cost it the
    interpreter lock. Nothing depends on a message: opening a stream wakes
    everybody once, and fetchers poll besides.

    Fields: `_watch` belongs to the thread; `_listeners` is a tuple that is
    replaced whole; `pushing_since` is read by fetchers.
    """

    def __init__(self, name: str, store: Store, observer: Observer, listeners: tuple[Listener, ...]) -> None:
        super().__init__(f"{name}-waker", observer, store.trouble)
        self.pushing_since: datetime | None = None
        self.listeners = listeners
        self._store = store
        self._watch: Watch | None = None
        self._somebody_waits = Flag()

    def wake(self) -> None:
        """Say that a fetcher waits for news. Threads: any."""
        if not self._somebody_waits.is_set():
            self._somebody_waits.set()

    def run_once(self) -> None:
        """Read the stream if somebody waits for news, else wait a moment for that."""
        self._somebody_waits.clear()  # before the look, so that a fetcher that begins to wait is seen
        if not any(listener.waiting() for listener in self.listeners):
            self._somebody_waits.wait(0.5)
            return
        watch = self._fresh_watch()
        try:
            types = watch.next()
        except BaseException:
            self._close()
            raise
        if types:
            self._tell(types)

    def at_end(self) -> None:
        """Close the stream."""
        self._close()

    def _fresh_watch(self) -> Watch:
        if self._watch is not None and time.monotonic() - self._watch.read_at > STALE_AFTER:
            self._close()
        if self._watch is None:
            self._watch = self._store.watch(MAX_AWAIT)
            self.pushing_since = self._watch.opened_at
            self._tell({None})  # what came before the stream was open
        return self._watch

    def _tell(self, types: set[str | None]) -> None:
        for listener in self.listeners:
            if listener.waiting() and (None in types or not listener.types.isdisjoint(types)):
                listener.wake()

    def _close(self) -> None:
        self.pushing_since = None
        if self._watch is not None:
            watch, self._watch = self._watch, None
            watch.close()
