"""The notifier: hears by change stream which jobs became final and tells those who wait for them."""

from __future__ import annotations

import time
from math import inf
from typing import Protocol

from ..observer import Observer
from ..store import Store
from ..store.watching import FinalWatch
from .flag import Flag
from .service import Service, jitter
from .waiter import Waiter

#: How long the server holds an empty answer back: the longest that a new waiter waits for its stream, by polling.
MAX_AWAIT = 0.1
#: A stream of other ids is another stream. With waiters that come and go all the time, one is opened this often.
REOPEN_AFTER = 0.1
#: Ids that one stream tells of. Who waits for more polls until so few are left.
MOST_IDS = 1000
#: Writes a second on the server, of all collections, from which on those who wait poll. A stream costs the server
#: some 8 us for each, whoever it is that reads it: as much as a fifth of what a job that is run costs it.
BUSY = 4000.0
#: Seconds after which a busy server is looked at again, by a stream of a tenth of a second or two.
BUSY_FOR = 5.0
#: When nobody waits any more the stream is closed at once, and the thread ends after so many seconds.
IDLE = 5.0
#: One whose streams fail stays for so long: the next would tell the log of the same trouble again.
IDLE_FAILING = 600.0


class Waiters(Protocol):
    """Who waits."""

    @property
    def waiters(self) -> tuple[Waiter, ...]:
        """All of them."""

    def unused(self, notifier: Notifier) -> bool:
        """Return whether nobody waits, and nobody will ask this notifier any more."""


class Notifier(Service):
    """One change stream for all who wait on a manager.

    The server picks the ids (see `FinalWatch`), so the set of them is the
    stream's: it is replaced by one that goes on where it was when others are
    waited for. Nothing depends on a message: whom a stream begins to cover
    looks once, and looks now and then.

    While the server is busy with writes there is no stream: it would have to
    look at each.

    Fields: all belong to the thread, `_woken` aside.
    """

    def __init__(self, name: str, store: Store, observer: Observer, waits: Waiters) -> None:
        super().__init__(f"{name}-notifier", observer, store.trouble)
        self._store = store
        self._waits = waits
        self._watch: FinalWatch | None = None
        self._woken = Flag()
        self._used_at = time.monotonic()
        self._busy_until = -inf

    def wake(self) -> None:
        """Say that somebody begins to wait. Threads: any."""
        self._woken.set()

    def run_once(self) -> None:
        """Read the stream if somebody waits, else wait a moment for that."""
        self._woken.clear()  # before the look, so that a waiter who comes now is seen
        ids = chosen(self._waits.waiters)
        if not ids:
            self._rest()
            return
        self._used_at = time.monotonic()
        if self._used_at < self._busy_until:
            self._stopping.wait(0.5)
            return
        try:
            watch = self._watch_of(ids)
            id = watch.next()
        except BaseException:
            self._close()
            raise
        if id is not None:
            self._tell(id)
        if watch.writes > BUSY:
            self._busy_until = time.monotonic() + BUSY_FOR * jitter()
            self._close()

    def at_end(self) -> None:
        """Close the stream; who waits goes on by polling."""
        self._close()

    def _recovered(self) -> None:
        if self._watch is not None or not self.failing:  # a rest does not show that streams work again
            super()._recovered()

    def _rest(self) -> None:
        self._close()
        if time.monotonic() - self._used_at < (IDLE_FAILING if self.failing else IDLE):
            self._woken.wait(0.5)
        elif self._waits.unused(self):
            self.stop()

    def _watch_of(self, ids: frozenset[str]) -> FinalWatch:
        """Return a stream of these ids; the one there is while it is too new to be replaced."""
        watch = self._watch
        if watch is None or (not ids <= watch.ids and time.monotonic() - watch.opened_at >= REOPEN_AFTER):
            self._watch = None  # it is closed, also if the next one cannot be opened
            watch = self._watch = self._store.watch_finals(ids, MAX_AWAIT, watch)
        for waiter in self._waits.waiters:
            if waiter.ids and waiter.ids <= watch.ids:
                waiter.cover()
            else:
                waiter.uncover()
        return watch

    def _tell(self, id: str) -> None:
        for waiter in self._waits.waiters:
            waiter.tell(id)

    def _close(self) -> None:
        watch, self._watch = self._watch, None
        for waiter in self._waits.waiters:
            waiter.uncover()
        if watch is not None:
            watch.close()


def chosen(waiters: tuple[Waiter, ...]) -> frozenset[str]:
    """Return the ids that one stream is to tell of: of those who wait for few first, as many as have room."""
    chosen: set[str] = set()
    for ids in sorted((waiter.ids for waiter in waiters), key=len):
        if len(chosen) + len(ids) > MOST_IDS:
            break
        chosen |= ids
    return frozenset(chosen)
