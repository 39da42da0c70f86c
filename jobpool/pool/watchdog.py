"""The watchdog: looks after running executors, twice a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..observer import Observer
from ..store import Store
from .seating import Seated
from .service import Periodic

#: Seconds between two looks; a limit of less than twice that is looked for more often.
LOOK_EVERY = 0.5


class Duty(Protocol):
    """What the watchdog looks for. Threads: the watchdog."""

    def look(self, seated: Sequence[Seated]) -> None:
        """Do what is to be done about the executors that run now."""


class Watchdog(Periodic):
    """Does its duties one after the other. What one of them wants of the store takes 2 s at most.

    Args:
        seated: Who runs what.
        shortest: Returns the shortest limit in seconds that a duty looks for.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        observer: Observer,
        seated: Callable[[], Sequence[Seated]],
        duties: Sequence[Duty],
        shortest: Callable[[], float],
    ) -> None:
        self._shortest = shortest
        super().__init__(f"{name}-watchdog", observer, store.trouble, LOOK_EVERY, at_once=False)
        self._seated = seated
        self._duties = tuple(duties)

    def act(self) -> None:
        """Look once; an error of one duty does not keep the others from theirs."""
        seated, errors = self._seated(), []
        for duty in self._duties:
            try:
                duty.look(seated)
            except Exception as error:  # noqa: BLE001
                errors.append(error)
        if errors:
            raise errors[0]

    def _next(self) -> float:
        self._interval = min(LOOK_EVERY, self._shortest() / 2)
        return super()._next()
