"""Waiting for jobs to become final: looks by turns with waits for news."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from math import inf

from ..errors import JobNotFound, StoreError, WaitTimeout
from ..job import Job
from ..names import LISTED, listed, shown
from ..store.finals import Look
from .host import Host
from .notifier import MOST_IDS
from .service import jitter
from .waiter import Waiter
from .waits import Waits

#: Seconds between two looks: at first, by what they grow, and at most.
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 0.01, 1.5, 1.0
#: Who is told of ends looks all the same, for what a stream that went deaf has not told.
COVERED_PAUSE = 5.0
#: Looking must not be what the server is busy with: it rests for so many times what the last look took, ...
REST = 10.0
#: ... but no longer than this.
LONGEST_REST = 10.0
#: A wait that is over sooner needs no change stream: opening one takes some milliseconds.
MOMENT = 0.05
#: Jobs named in a message.
NAMED = 3


class Waiting:
    """One call that waits: what it waits for, and when it looks again.

    Threads: one, that of the call.

    Args:
        ids: Different from each other.
        timeout: Seconds from now; None waits as long as it takes.
    """

    def __init__(self, host: Host, waits: Waits, ids: list[str], timeout: float | None) -> None:
        self._host = host
        self._waits = waits
        self._timeout = timeout
        self._began = time.monotonic()
        self._deadline = inf if timeout is None else self._began + timeout
        self._count = len(ids)
        #: By id, the state each was last seen in: what is still waited for.
        self._left = dict.fromkeys(ids, "")
        self._waiter = Waiter(frozenset())
        self._registered = False
        self._pause = FIRST_PAUSE
        self._looked_at = -inf
        self._rest = 0.0
        self._jitter = jitter()

    def rounds(self) -> Iterator[list[Job]]:
        """Yield the jobs as they turn out to be final, the earlier ones first.

        Raises:
            WaitTimeout: Some are not final yet.
            JobNotFound: Some are not there, or not any more.
            StoreUnavailable: MongoDB did not answer in time. Waiting again is safe.
            PoolStateError: The manager was closed.
        """
        try:
            while self._left:
                last = time.monotonic() >= self._deadline  # before the look: what ended in time is seen
                found = self._look()
                if found.final:
                    yield sorted(found.final, key=_ended_at)
                if found.missing:
                    raise JobNotFound(f"no job {listed(found.missing)} in {self._host.store.name}")
                if last and self._left:
                    raise WaitTimeout(self._not_final())
                self._register()
                self._waiter.wait(max(0.0, min(self._look_at, self._deadline) - time.monotonic()))
        finally:
            self._waits.remove(self._waiter)

    def _look(self) -> Look:
        """Look at the jobs of which there is news, or at all if it is time."""
        news, began = self._waiter.take(), time.monotonic()
        everything = None in news or began >= min(self._look_at, self._deadline)
        ids = list(self._left) if everything else [id for id in self._left if id in news]
        try:
            found = self._host.store.finals.look(ids)
        except StoreError:
            _ = self._host.store  # if it was closed meanwhile, that is the reason
            raise
        self._left.update(found.states)
        for job in found.final:
            del self._left[job.id]
        if everything:
            self._looked(began)
        return found

    def _looked(self, began: float) -> None:
        """Plan the next look at all of them."""
        self._looked_at, self._jitter = time.monotonic(), jitter()
        self._rest = min(REST * (self._looked_at - began), LONGEST_REST)
        self._pause = min(self._pause * GROWTH, LONGEST_PAUSE)

    @property
    def _look_at(self) -> float:
        pause = COVERED_PAUSE if self._waiter.covered else self._pause
        return self._looked_at + max(pause * self._jitter, self._rest)

    def _register(self) -> None:
        """Have the ends of the jobs told, if it takes long, they are few, and the server has change streams.

        The look that closes the gap before comes when they are covered: see `Waiter.cover`.
        """
        if len(self._left) > MOST_IDS or time.monotonic() - self._began < MOMENT:
            return
        if len(self._left) != len(self._waiter.ids):
            self._waiter.ids = frozenset(self._left)
        if not self._registered and self._host.store.ready().replicated:
            self._registered = True
            self._waits.add(self._waiter)

    def _not_final(self) -> str:
        """Return what is still waited for, in words."""
        after = f"after {self._timeout:g} s"
        if self._count == 1:
            (id, state) = next(iter(self._left.items()))
            return f"job {shown(id)} is {state} {after}; it goes on regardless"
        some = ", ".join(f"{shown(id, LISTED)} ({state})" for id, state in islice(self._left.items(), NAMED))
        more = ", ..." if len(self._left) > NAMED else ""
        return (
            f"{len(self._left)} of {self._count} jobs are not final {after}: {some}{more}; they go on regardless"
        )


def _ended_at(job: Job) -> datetime:
    return job.finished_at or job.created_at
