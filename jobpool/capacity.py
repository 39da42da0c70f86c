"""How many pools jobs need, and what limits leave of that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backlog import TypeBacklog
    from .limits import Limit

#: What a job costs a process at the least, whatever its executor does: claiming, handing
#: over and recording take some 50 us of the interpreter lock, so a pool of no-op jobs runs 20,000 a second.
OVERHEAD = 50e-6


def widest(limits: Iterable[Limit | None]) -> tuple[int | None, Limit | None]:
    """Return how many jobs may be held at once under each of these limits, and the one of the fastest rate.

    They differ while a change of them is rolled out. None stands for what one of them leaves open.
    """
    given = list(limits)
    running = [limit.running for limit in given if limit is not None and limit.running is not None]
    rates = [limit for limit in given if limit is not None and limit.rate is not None]
    places = max(running) if given and len(running) == len(given) else None
    fastest = max(rates, key=lambda limit: limit.per_millisecond) if given and len(rates) == len(given) else None
    return places, fastest


def pools_for(
    parts: Iterable[TypeBacklog], limits: Iterable[Limit | None], target: float, threads: float
) -> float:
    """Return how many pools the jobs of a type and its aliases need, as a fraction; see `Backlog.suggested_pools`.

    Args:
        parts: The type's and those of its aliases.
        limits: Those that the pools alive heed of the type.
        target: Seconds.
        threads: Of each pool.
    """
    parts = list(parts)
    places, fastest = widest(limits)
    waiting = [0 if part.paused else part.due + part.claimed for part in parts]
    wanted = sum(waiting) / target
    most = wanted if fastest is None else min(wanted, fastest.per_millisecond * 1000)
    share = most / wanted if wanted else 0.0
    needed = sum(part.running for part in parts) / threads
    for part, jobs in zip(parts, waiting, strict=True):
        if part.run_seconds is None:
            needed += jobs / threads
        else:
            needed += share * jobs / target * max(part.run_seconds / threads, OVERHEAD)
    return needed if places is None else min(needed, places / threads)
