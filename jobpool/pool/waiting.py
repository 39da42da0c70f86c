"""Waiting for jobs to become final: looks by turns with waits for news."""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import inf

from ..errors import JobNotFound, StoreError, WaitTimeout
from ..job import Job
from ..names import listed
from ..store.driver import run
from ..store.finals import Look
from .host import Host
from .looks import Looks, by_end, not_final
from .notifier import MOST_IDS
from .waiter import Waiter
from .waits import Waits

#: A wait that is over sooner needs no change stream: opening one takes some milliseconds.
MOMENT = 0.05


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
        self._looks = Looks()

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
                    yield by_end(found.final)
                if found.missing:
                    raise JobNotFound(f"no job {listed(found.missing)} in {self._host.store.name}")
                if not self._left:
                    return
                if last:
                    raise WaitTimeout(not_final(self._left, self._count, self._timeout))
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
            found = run(self._host.store.finals.look(ids))
        except StoreError:
            _ = self._host.store  # if it was closed meanwhile, that is the reason
            raise
        self._left.update(found.states)
        for job in found.final:
            del self._left[job.id]
        if everything:
            self._looks.looked(began)
        return found

    @property
    def _look_at(self) -> float:
        return self._looks.next(covered=self._waiter.covered)

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
