"""Settings: what holds for all pools is looked at all the time, so that a change reaches them within a second."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import StoreRefused
from ..logs import bounded_logger_of
from ..names import LISTED, listed, shown
from ..observer import Observer
from ..pauses import Paused
from ..store import Store
from ..store.driver import run
from .service import Periodic
from .serving import Served, Serving

logger = bounded_logger_of(__name__)

#: Seconds between two looks at the most: half of what a pause may take.
LOOK_EVERY = 0.5
#: Of one look.
STORE_TIME = 2.0
#: Who may not look asks again after so many seconds.
REFUSED_EVERY = 30.0


class Settings(Periodic):
    """Looks at what is paused, and has the pool obey. A thread of its own: no work of others may hold it up.

    While the store does not answer, what was read last holds.

    Args:
        changed: Called after others are to be claimed than before.

    Fields: `refused`, whether the last look was, belongs to the thread, and to who starts it; others read it.
    """

    def __init__(
        self, pool: str, store: Store, observer: Observer, serving: Serving, changed: Callable[[], None]
    ) -> None:
        super().__init__(f"{pool}-settings", observer, store.trouble, LOOK_EVERY, at_once=False)
        self._pool = shown(pool, LISTED)
        self._store = store
        self._serving = serving
        self._changed = changed
        self.refused = False

    def act(self) -> None:
        """Look once, with little patience: the next look is near."""
        self.look(STORE_TIME)

    def look(self, timeout: float | None = None) -> None:
        """Look once; give it up after so many seconds, the store's own time limit if None.

        Raises:
            StoreUnavailable: Nobody answered in time. What was read last holds.
            StoreRefused: For want of something else than the right to look: nobody pauses or resumes
                who lacks that, and it is no error.
        """
        try:
            paused = run(self._store.settings.paused(timeout=timeout))
        except StoreRefused as error:
            if error.kind != "rights":
                raise
            self._interval = REFUSED_EVERY
            if not self.refused:
                logger.warning(
                    "pool %s may not read what is paused, and goes on with what it read last, which is %s: %s",
                    *(self._pool, listed(sorted(self._rests())) or "nothing", error),
                )
            self.refused = True
            return
        self._interval, self.refused = LOOK_EVERY, False
        self._obey(paused)

    def _rests(self) -> set[str]:
        now = self._serving.now
        return set(now.types) - now.wanted

    def _obey(self, paused: Paused) -> None:
        before = self._serving.now
        if paused == before.paused:
            return
        self._serving.pause(paused)
        now = self._serving.now
        self._say(before, now)
        if now.wanted != before.wanted:
            self._changed()

    def _say(self, before: Served, now: Served) -> None:
        rests = [type for type in before.claimed if type not in now.wanted and type in now.types]
        works = [type for type in now.claimed if type not in before.wanted and type in before.types]
        if rests:
            why = self._serving.why(rests[0], now.paused)
            reason = f": {shown(why.reason)}" if why is not None and why.reason else ""
            logger.info("pool %s: %s paused%s", self._pool, listed(rests), reason)
        if works:
            logger.info("pool %s: %s resumed", self._pool, listed(works))
