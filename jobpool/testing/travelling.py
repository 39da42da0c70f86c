"""Travelling in time: what is scheduled becomes due, for one manager.

Whose time: creation and claims of a manager go by its `ServerClock`, an
estimate of the server's time, and that is what travels. Leases run by the
server's own ``$$NOW``, and so do `started_at` and `finished_at`; nothing here
touches those (see `expire_leases`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import InvalidConfiguration
from ..names import check_instant, check_seconds
from .clock import travelling_clock

if TYPE_CHECKING:
    from ..manager import JobManager

#: Seconds: a thousand years are still far from the last datetime.
FARTHEST = 1000 * 365 * 86400.0
_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}

#: All travels that have not ended, whoever's.
_active: tuple[Travel, ...] = ()


def travel(
    manager: JobManager, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0
) -> Travel:
    """Let `manager` live that much later, and return the `Travel`, to go on with or to end.

    Jobs that are due by then are due now, for `manager` and for the pools
    started from it, sooner or later; jobs it creates have the later time, and
    their delays and those of retries count from there. Other managers and
    processes stay where they are.

    Leases are not touched: they run by the server's own clock. Nor is what a
    `run_at` was made of: compute it from `Travel.now`, or use ``delay=``.

    It ends with its ``with`` block, also when that raises. Without a block it
    lasts until `Travel.back`, or until the end of the test if the plugin is there::

        with travel(manager, hours=2):
            manager.run_all()

        clock = travel(manager)
        clock.forward(3600)

    Several travels of one manager add up.

    Raises:
        InvalidConfiguration: A distance is negative: the server would refuse claims of the past.
    """
    distance = _distance(seconds, minutes, hours, days)  # refused before anything has begun
    travel = Travel(manager)
    travel._go(distance)
    return travel


class Travel:
    """How far a manager is ahead of the server's time; made by `travel`.

    Attributes:
        ahead: By this travel alone.

    Threads: one at a time, while any read the clock.
    """

    def __init__(self, manager: JobManager) -> None:
        global _active
        self.ahead = timedelta()
        self._manager = manager
        self._in_block = False
        self._clock = travelling_clock(manager.store)
        self._clock.travels = (*self._clock.travels, self)
        _active = (*_active, self)

    def forward(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Go that much farther. Pools of the manager look for work at once."""
        self._go(_distance(seconds, minutes, hours, days))

    def _go(self, distance: timedelta) -> None:
        if self not in _active:
            raise InvalidConfiguration("this travel has ended; begin another one with travel(manager)")
        self.ahead += distance
        if distance:
            self._manager.told(set(self._manager.executors))
            self._manager.scheduled()

    def to(self, instant: datetime) -> None:
        """Go to an aware datetime, a job's `run_at` for instance; stay if it is past."""
        self._go(max(timedelta(), check_instant(instant, "instant") - self.now()))

    def now(self) -> datetime:
        """Return what time it is for the manager."""
        return self._clock.now()

    def back(self) -> None:
        """End the travel: the manager is where it was, if it does not travel otherwise. May be repeated."""
        global _active
        _active = tuple(travel for travel in _active if travel is not self)
        self._clock.travels = tuple(travel for travel in self._clock.travels if travel is not self)

    @property
    def in_block(self) -> bool:
        """Whether a ``with`` block ends it."""
        return self._in_block

    def __enter__(self) -> Travel:
        self._in_block = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.back()

    def __repr__(self) -> str:
        return f"<Travel {self.ahead} ahead>"


def _distance(seconds: float, minutes: float, hours: float, days: float) -> timedelta:
    given = {"seconds": seconds, "minutes": minutes, "hours": hours, "days": days}
    return sum(
        (
            timedelta(seconds=_UNITS[unit] * check_seconds(value, unit, 0, FARTHEST / _UNITS[unit]))
            for unit, value in given.items()
        ),
        timedelta(),
    )


def active() -> tuple[Travel, ...]:
    """Return the travels that have not ended."""
    return _active


def end_of_test() -> None:
    """End what was begun without a block: a block may be a fixture's that outlasts the test."""
    for travel in _active:
        if not travel.in_block:
            travel.back()
