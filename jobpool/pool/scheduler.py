"""The scheduler: fires what is due, in every pool, whichever comes first."""

from __future__ import annotations

import time

from ..chance import RANDOM
from .firing import Firings, Look
from .flag import Flag
from .host import Host
from .service import Service, jitter

#: Seconds between two looks while there are schedules: so late a change of another process is heard of.
LOOK_EVERY = 1.0
#: And while there are none.
LOOK_RARELY = 5.0
#: And while this user may not read them.
LOOK_REFUSED = 60.0
#: Of the pools that wait for the same instant, the first to wake spares the others their transaction.
SPREAD = 0.05
#: What could not be fired, as another pool's transaction held it, is looked at again so soon.
AGAIN = 0.2


class Scheduler(Service):
    """Looks for schedules that are due, at the instant when the next one is, and once a second.

    No pool leads: all of them look, and the store lets one fire. Without
    schedules it is one covered read of an empty collection every five seconds.

    Fields: `_look_at` belongs to the thread; `_woken` is set by anybody.
    """

    def __init__(self, name: str, host: Host) -> None:
        super().__init__(f"{name}-scheduler", host.observer, host.store.trouble)
        self._firings = Firings(host)
        self._look_at = time.monotonic()
        self._woken = Flag()

    def wake(self) -> None:
        """Look soon: a schedule was changed here."""
        self._woken.set()

    def run_once(self) -> None:
        """Wait for the next look, a second at most, and fire what is due."""
        if self._woken.wait(min(self._look_at - time.monotonic(), LOOK_EVERY)):
            self._woken.clear()  # before the look, so that a later change is seen by another
        elif time.monotonic() < self._look_at:
            return
        if self.stopping:
            return
        self._look_at = time.monotonic() + self._rest(self._firings.fire_due())

    def _rest(self, look: Look | None) -> float:
        """Return the seconds until the next look."""
        if look is None:
            return (LOOK_REFUSED if self._firings.unreadable else LOOK_RARELY) * jitter()
        if look.dealt:
            return 0.0  # a page may not be all, and one that is late may be due again
        wait = min(look.wait + SPREAD * RANDOM.random(), LOOK_EVERY)
        return min(wait, AGAIN * jitter()) if look.left else wait
