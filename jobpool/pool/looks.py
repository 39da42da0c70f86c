"""When those who wait for jobs look, and what they say when they give up."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from itertools import islice
from math import inf

from ..job import Job
from ..names import LISTED, shown
from .service import jitter

#: Seconds between two looks: at first, by what they grow, and at most.
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 0.01, 1.5, 1.0
#: Who is told of ends looks all the same, for what a stream that went deaf has not told.
COVERED_PAUSE = 5.0
#: Looking at many must not be what the server is busy with: it rests for so many times what the last look took ...
REST = 10.0
#: ... beyond this, which is the way to the server and back, ...
WAY = 0.05
#: ... but no longer than this.
LONGEST_REST = 10.0
#: Jobs named in a message.
NAMED = 3


class Looks:
    """Soon again at first, then ever later. Threads: one; with an event loop, one task."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE
        self._looked_at = -inf
        self._rest = 0.0
        self._jitter = jitter()

    def looked(self, began: float) -> None:
        """Plan the next look after one that began at that monotonic instant and is over."""
        self._looked_at, self._jitter = time.monotonic(), jitter()
        self._rest = min(REST * max(0.0, self._looked_at - began - WAY), LONGEST_REST)
        self._pause = min(self._pause * GROWTH, LONGEST_PAUSE)

    def next(self, *, covered: bool = False) -> float:
        """Return the monotonic instant of the next look; later for those who are told of ends."""
        pause = COVERED_PAUSE if covered else self._pause
        return self._looked_at + max(pause * self._jitter, self._rest)


def by_end(jobs: Iterable[Job]) -> list[Job]:
    """Return final jobs by the time they ended, the earlier ones first."""
    return sorted(jobs, key=lambda job: job.finished_at or job.created_at)


def not_final(left: Mapping[str, str], count: int, timeout: float | None) -> str:
    """Return what is still waited for, in words.

    Args:
        left: By id, the state each was last seen in.
        count: How many jobs were waited for.
        timeout: Seconds that were waited.
    """
    after = f"after {timeout:g} s"
    if count == 1:
        (id, state) = next(iter(left.items()))
        return f"job {shown(id)} is {state} {after}; it goes on regardless"
    some = ", ".join(f"{shown(id, LISTED)} ({state})" for id, state in islice(left.items(), NAMED))
    more = ", ..." if len(left) > NAMED else ""
    return f"{len(left)} of {count} jobs are not final {after}: {some}{more}; they go on regardless"
