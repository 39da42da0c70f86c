"""The clock of a manager that travels."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..store import Store


class Distance(Protocol):
    """What moves a clock."""

    @property
    def ahead(self) -> timedelta:
        """By how much."""


class TravellingClock:
    """Stands in for the `ServerClock` of a store, and is ahead of it by the sum of its travels.

    Threads: any; `travels` is replaced whole, by one thread at a time.
    """

    def __init__(self, real: Any) -> None:
        self._real = real
        self.travels: tuple[Distance, ...] = ()

    def _ahead(self) -> timedelta:
        return sum((travel.ahead for travel in self.travels), timedelta())

    def now(self) -> datetime:
        """As `ServerClock.now`, later."""
        now: datetime = self._real.now()
        return now + self._ahead()

    def known(self) -> datetime | None:
        """As `ServerClock.known`, later."""
        known: datetime | None = self._real.known()
        return None if known is None else known + self._ahead()

    def learn(self, server_time: datetime) -> datetime:
        """As `ServerClock.learn`, later."""
        learned: datetime = self._real.learn(server_time)
        return learned + self._ahead()

    def since(self, instant: datetime) -> float:
        """As `ServerClock.since`, from the later now."""
        seconds: float = self._real.since(instant - self._ahead())
        return seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def travelling_clock(store: Store) -> TravellingClock:
    """Return the clock of a store, which is a travelling one from now on; without travels it is as before."""
    present: Any = store._connection.clock
    if isinstance(present, TravellingClock):
        return present
    clock = TravellingClock(present)
    # The two that hold it; everybody else asks one of them at each use.
    vars(store._connection)["clock"] = vars(store)["clock"] = clock
    return clock
