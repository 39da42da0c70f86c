"""The census: says that the pool lives, and counts the backlog of all pools for the metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf

from ..backlog import Backlog, View
from ..errors import StoreError
from ..logs import bounded_logger_of
from ..names import LISTED, shown
from ..observer import Observer
from ..store import Store
from ..store.cards import PoolCard
from ..store.driver import run
from .service import LONGEST_JITTER, Periodic, jitter

logger = bounded_logger_of(__name__)

#: Seconds between two words of a pool at the most, or less if it counts more often. Who looks calls it silent
#: soon after that. A word keeps the server busy for 0.6 ms, as some five jobs do: 7 % of a core for 1000 pools.
ANNOUNCE_EVERY = 10.0
#: Words that may get lost, as in an election, before a pool is not alive any more; see `_announce`.
MISSED = 3
#: A count that takes longer is given up: the view stays as it was, and its age tells.
COUNT_TIME = 5.0
#: Counting must not be what the server is busy with: it rests for so many times what it took.
REST = 20.0
#: Of the last word, in a stop.
GOODBYE = 1.0
_WORD = "its word that it lives"


class Census(Periodic):
    """Refreshes the cluster view. Whatever fails here is told once and disturbs nobody.

    Args:
        card: Returns what to say of the pool; None where there is none.
        interval: Seconds between two counts; 0 counts nothing.
        types: Returns those that are shown even when they have no jobs.
        owner: Returns the type of which one is an alias, or that one.

    Fields: all that change belong to the thread; `_say_at` and `_count_at` are when it
    speaks and counts next. `_changed` is set by others, and `view`, the last count, read by them.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        observer: Observer,
        *,
        card: Callable[[], PoolCard] | None,
        interval: float,
        types: Callable[[], tuple[str, ...]] = tuple,
        owner: Callable[[str], str] = str,
    ) -> None:
        self._say_every = min(interval or ANNOUNCE_EVERY, ANNOUNCE_EVERY)
        self._count_every = interval
        super().__init__(f"{name}-census", observer, store.trouble, self._say_every, at_once=True)
        self._store = store
        self._card = card
        self._types = types
        self._owner = owner
        self._say_at = -inf if card else inf
        self._count_at = -inf if interval > 0 else inf
        self._left: set[str] = set()
        self._changed = False
        self._announced = False
        self.view: View | None = None
        self._run_seconds: dict[str, float] = {}

    #: Seconds after which a step that has not returned hangs.
    longest_step = 2 * COUNT_TIME + 5.0

    @property
    def undone(self) -> set[str]:
        """What failed when it was last tried."""
        return set(self._left)

    def card_changed(self) -> None:
        """Say within a second or so what is on the card now. Threads: any."""
        self._changed = True

    def run_once(self) -> None:
        """As `Periodic.run_once`."""
        if self._changed:
            self._due_at = time.monotonic()
        super().run_once()

    def act(self) -> None:
        """Say that the pool lives, and count, whichever is due."""
        counting = time.monotonic() >= self._count_at  # which would keep a word waiting
        if self._card is not None and (
            self._changed or time.monotonic() >= self._say_at - (COUNT_TIME if counting else 0)
        ):
            self._changed = False
            self._say_at = _within(self._say_every)
            self._try(_WORD, partial(self._announce, self._card()))
        if time.monotonic() >= self._count_at:
            self._count_at = _within(self._count_every)
            self._try("the cluster view", self._count)

    def _next(self) -> float:
        return min(self._say_at, self._count_at)

    def _announce(self, card: PoolCard) -> None:
        self._announced = True  # even if the reply is lost
        # It speaks before a count that may last until the next word is due: so much later it is silent.
        said = replace(card, speaks_every=max(self._say_every, COUNT_TIME))
        self._store.presence.announce(said, MISSED * self._say_every + COUNT_TIME)

    def _count(self) -> None:
        began = time.monotonic()
        try:
            backlog = run(self._store.census.backlog(owner=self._owner, timeout=COUNT_TIME))
        finally:
            self._count_at = _within(max(self._count_every, REST * (time.monotonic() - began)))
        self.show(backlog)

    def show(self, backlog: Backlog) -> None:
        """Take `backlog` for the newest count. Threads: its own, or any before its start."""
        self._run_seconds |= {
            type: part.run_seconds for type, part in backlog.types.items() if part.run_seconds is not None
        }
        backlog = backlog.knowing(self._run_seconds)  # when all pools have ended, it is known how long jobs ran
        self.view = View(backlog, time.monotonic())
        self.observer.backlog_counted(self._store.name, backlog, self._types())

    def _try(self, what: str, do: Callable[[], None]) -> None:
        try:
            do()
        except StoreError as error:
            logger.debug("%s: %s failed: %s", self.name, what, error)
            if what not in self._left:
                self._left.add(what)
                name = shown(self.name.rpartition("-")[0], LISTED)
                logger.info("pool %s: %s failed, is tried again, and jobs run regardless: %s", name, what, error)
        else:
            self._left.discard(what)

    def _repeat(self) -> None:
        """Say at the end of the thread that the pool has ended; not if the store is away, a stop has no time."""
        super()._repeat()
        self.observer.backlog_ended(self._store.name)
        if self._announced and self._card is not None and _WORD not in self._left:
            goodbye = partial(self._store.presence.withdraw, self._card(), timeout=GOODBYE)
            self._try("its word that it ended", goodbye)


def _within(seconds: float) -> float:
    """Return an instant after 0.6 to 1 of `seconds`, as of every `Periodic`."""
    return time.monotonic() + seconds * jitter() / LONGEST_JITTER
