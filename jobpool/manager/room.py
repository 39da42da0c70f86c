"""Back-pressure: types whose pending jobs are bounded, and what becomes of jobs for which there is no room.

How many are pending is counted in the store, and not at every create: after a
count a manager may create a tenth of the room it saw, at most a portion and
for `FRESH` seconds, without counting again. A portion is `MOST` jobs, or a
hundredth of the bound if that is more: a count takes 1 s for a million jobs.

How far the bound is overshot: a manager alone never does so, as it knows what
it has on its way itself. Of the last count that allowed anything, all that was
pending and its own is within the bound. What others make later comes from
counts before: at most one portion (or a tenth of the bound, if that is less) on its way
for each of their threads or tasks that create, one that is left, and one from
a count that was under way. So it is at most (threads + 2) * portion for each
other manager that creates at the same time.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from ..chance import RANDOM
from ..errors import InvalidConfiguration, InvalidJob, QueueFull, StoreRefused
from ..executors import MAX_PENDING, Executors
from ..names import check_int, check_name, check_seconds, shown
from ..request import JobRequest
from ..store.core import Core
from ..store.creation import REVIVE

RAISE, WAIT, DROP = "raise", "wait", "drop"
ON_FULL = (RAISE, WAIT, DROP)
#: Jobs that may be created after a count, if the bound is below ten thousand, and for how many seconds.
MOST, FRESH = 100, 1.0
#: Who was told that there is no room takes that for true for so many seconds.
FULL = 0.1
#: Both last so many times as long as the count took, if that is longer: producers are not to live from counting.
AS_LONG = 10
#: Seconds until jobs on their way are stored or nearly so.
ARRIVAL = 0.002
#: Seconds between two looks of who waits for room: the first pause, which doubles, and the longest.
FIRST_LOOK, LAST_LOOK = 0.05, 1.0
#: A year, in seconds.
LONGEST_WAIT = 365 * 86400.0


@dataclass(frozen=True, slots=True)
class OnFull:
    """What is to be done with jobs for which there is no room: checked arguments of `JobManager.create`."""

    what: str = RAISE
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.what not in ON_FULL:
            raise InvalidJob(f"on_full must be one of {', '.join(ON_FULL)}, not {shown(self.what)}")
        if self.timeout is not None:
            if self.what != WAIT:
                raise InvalidJob(f"full_timeout is for on_full='wait', not for {shown(self.what)}")
            check_seconds(self.timeout, "full_timeout", 0, LONGEST_WAIT, error=InvalidJob)


class Allowance:
    """What a manager may create of one type without counting again.

    A count does not see the jobs on their way, those that arrived while it was
    under way, and those that are left to be created. It allows no more than
    the room beside all of these, and nothing if another one has allowed
    something since it began.

    Threads: any; `_lock` guards everything, and no count is made under it.
    """

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.portion = max(MOST, bound // 100)
        self._lock = threading.RLock()  # a signal handler may create a job on top of this
        self._left = 0
        self._fresh_until = 0.0
        self._full_until = 0.0
        self._on_way = 0
        self._arrived = 0
        self._portions = 0
        self.seen = 0

    def take(self) -> bool:
        """Take a place, if one is left; whoever has one gives it back when its job is stored or was not."""
        with self._lock:
            if not self._left or time.monotonic() >= self._fresh_until:
                return False
            self._left -= 1
            self._on_way += 1
            return True

    def give_back(self, places: int) -> None:
        """The jobs in these places have arrived, or will not."""
        with self._lock:
            self._on_way -= places
            self._arrived += places

    @property
    def known_full(self) -> bool:
        """Whether a count said just now that there is no room."""
        return time.monotonic() < self._full_until

    @property
    def mark(self) -> tuple[int, int]:
        """What `counted` wants to know from before a count."""
        return self._arrived, self._portions

    def counted(self, pending: int, mark: tuple[int, int], took: float = 0.0) -> bool:
        """Learn from a count that was begun at `mark` and took so many seconds, unless it is overtaken.

        Returns: False if there is room, and jobs on their way, which may be counted already, might take it.
        """
        arrived, portions = mark
        with self._lock:
            if portions != self._portions:
                return True
            self.seen = pending
            now = time.monotonic()
            left = self._left if now < self._fresh_until else 0
            room = self.bound - pending - self._on_way - (self._arrived - arrived) - left
            if pending >= self.bound and not left:
                self._full_until = now + max(FULL, AS_LONG * took)
            elif room > 0 and not left:
                self._left = min(self.portion, max(1, room // 10))
                self._fresh_until = now + max(FRESH, AS_LONG * took)
                self._portions += 1
            else:
                return bool(left)
            return True


class Room:
    """The bounds of a manager's types. Threads: any; a type's allowance is made once.

    Args:
        bounds: By type; they go before those of executors.
    """

    def __init__(self, executors: Executors, bounds: Mapping[str, int] | None) -> None:
        self._executors = executors
        if bounds is not None and not isinstance(bounds, Mapping):
            raise InvalidConfiguration(
                f"max_pending must be a mapping of types to numbers, not {type(bounds).__name__}"
            )
        self._bounds = {
            check_name(type, "type"): check_int(bound, f"max_pending of {shown(type)}", 1, MAX_PENDING)
            for type, bound in (bounds or {}).items()
        }
        self._allowances: dict[str, Allowance] = {}

    @property
    def bounded(self) -> bool:
        """Whether any type is; most programs have none."""
        return bool(self._bounds) or self._executors.bounded

    def of(self, request: JobRequest) -> Allowance | None:
        """Return what may be created of the type of `request`; None if it needs no room.

        One that waits for others is not pending yet.
        """
        bound = self._bounds.get(request.type) or self._executors.max_pending(request.type)
        if bound is None or request.after:
            return None
        found = self._allowances.get(request.type)
        if found is None:
            found = self._allowances.setdefault(request.type, Allowance(bound))
        return found


class Producer(Protocol):
    """A manager, as this sees it."""

    @property
    def room(self) -> Room:
        """The bounds of its types."""

    @property
    def store(self) -> Core:
        """The store; refused once the manager is closed."""


class Entrance:
    """One call that creates jobs, in pieces for which there is room. Threads: one; or one task.

    Attributes:
        dropped: The jobs that were left out.
    """

    def __init__(self, manager: Producer, on_duplicate: str, on_full: OnFull) -> None:
        self._manager = manager
        self._on_duplicate = on_duplicate
        self._on_full = on_full
        self._deadline = inf if on_full.timeout is None else time.monotonic() + on_full.timeout
        self.dropped: list[JobRequest] = []

    @property
    def drops(self) -> bool:
        """Whether jobs may be left out."""
        return self._on_full.what == DROP and self._manager.room.bounded

    async def through(
        self, batch: Sequence[JobRequest], create: Callable[[list[JobRequest]], Awaitable[object]]
    ) -> None:
        """Let `create` make the jobs of `batch` in their order, as there is room.

        Raises:
            QueueFull: There is none for one of them. Those before it are stored.
            PoolStateError: The manager was closed while this waited.
        """
        piece: list[JobRequest] = []
        places: Counter[Allowance] = Counter()
        standing: set[str] | None = None

        async def flush() -> None:
            made = piece[:]
            piece.clear()
            try:
                if made:
                    await create(made)
            finally:
                for allowance, taken in places.items():
                    allowance.give_back(taken)
                places.clear()

        try:
            for request in batch:
                allowance = self._manager.room.of(request)
                if allowance is not None and not allowance.take():
                    await flush()  # before a count: what is ours is to be in it
                    if not await self._look(allowance, request):
                        if standing is None:
                            standing = await self._standing(batch)
                        if request.job_id not in standing and not await self._no_room(allowance, request):
                            self.dropped.append(request)
                            continue
                        allowance = None if request.job_id in standing else allowance
                if allowance is not None:
                    places[allowance] += 1
                piece.append(request)
            await flush()
        except StoreRefused:
            _ = self._manager.store  # closed meanwhile, and its client with it: says so
            raise
        finally:
            piece.clear()
            await flush()  # the places of what was not created

    async def _look(self, allowance: Allowance, request: JobRequest) -> bool:
        """Take a place, counting if need be; False if there is none."""
        while not allowance.take():
            if allowance.known_full:
                return False
            mark, began = allowance.mark, time.monotonic()
            pending = await self._manager.store.filling.pending(request.type, allowance.bound)
            if not allowance.counted(pending, mark, time.monotonic() - began):
                await self._manager.store.driver.pause(ARRIVAL)
        return True

    async def _standing(self, batch: Sequence[JobRequest]) -> set[str]:
        ids = [request.job_id for request in batch]
        return await self._manager.store.filling.standing(ids, revive=self._on_duplicate == REVIVE)

    async def _no_room(self, allowance: Allowance, request: JobRequest) -> bool:
        """Wait for a place and take it, return False to leave the job out, or raise."""
        if self._on_full.what == DROP:
            return False
        pause = FIRST_LOOK
        while self._on_full.what == WAIT and (left := self._deadline - time.monotonic()) > 0:
            await self._manager.store.driver.pause(min(pause * (0.75 + RANDOM.random() / 2), left))
            if await self._look(allowance, request):
                return True
            pause = min(pause * 2, LAST_LOOK)
        raise QueueFull(request.type, request.job_id, allowance.seen, allowance.bound, self._on_full.timeout)
