"""Timeouts: executors that run for too long are told to end, and given up if they do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf

from ..config import PoolConfig
from ..current import log_fields
from ..executors import Executors
from ..logs import bounded_logger_of
from ..names import LISTED, shown
from ..signals import TimedOut
from .coroutines import Coroutines
from .held import Held, Stage
from .stacks import stack_of
from .stuck import runs
from .workers import Seated

logger = bounded_logger_of(__name__)

#: Settles an attempt without its thread; False if that has just done so itself.
GiveUp = Callable[[Held, TimedOut, str], bool]


def shortest_limit(types: Sequence[str], executors: Executors, config: PoolConfig) -> float:
    """Return the shortest number of seconds after which something is to be done about an executor."""
    limits = (executors[type].timeout for type in types)
    return min((limit for limit in (*limits, config.stuck_after) if limit is not None), default=inf)


class TimeLimits:
    """Tells executors that their time is over. Threads: the watchdog; no state of its own.

    A coroutine is cancelled. A thread can only be told; past its grace its
    attempt is over all the same: recorded as timed out, whatever the thread
    does later, with the stack that shows where it was.

    Args:
        give_up: None where the thread is the caller's own, and nobody can go on without it.
        replace: Lets another thread take the place of the one that runs a job; False if none can.
    """

    def __init__(
        self,
        pool: str,
        executors: Executors,
        coroutines: Coroutines,
        seated: Callable[[], Sequence[Seated]],
        give_up: GiveUp | None = None,
        replace: Callable[[Held], bool] | None = None,
    ) -> None:
        self._pool = pool
        self._executors = executors
        self._coroutines = coroutines
        self._seated = seated
        self._give_up = give_up
        self._replace = replace

    def look(self, seated: Sequence[Seated]) -> None:
        """Tell those whose time is over, and give up those whose grace is over as well."""
        now = time.monotonic()
        for one in seated:
            limit = self._limit_of(one.held)
            if now - one.since <= limit or one.held.stage is not Stage.RUNNING:
                continue
            if self._tell(one, limit):
                continue  # after a pause of the process its grace may be over too, before it could hear of it
            if now - one.since > limit + self._executors[one.held.type].grace:
                self._end(one)

    def _limit_of(self, held: Held) -> float:
        own: float | None = held.document.get("timeout")
        limit = self._executors[held.type].timeout if own is None else own
        return inf if limit is None else limit

    def _tell(self, seated: Seated, limit: float) -> bool:
        """Tell an executor to end; False if it was told before."""
        held = seated.held
        if not held.tell(TimedOut(f"attempt {held.attempt} ran for longer than its timeout, {limit:g} s")):
            return False
        self._coroutines.cancel(seated.thread)
        logger.info(
            "job %s of type %s is told to end: attempt %d runs for longer than its timeout, %g s",
            *(shown(held.claim.id, LISTED), shown(held.type, LISTED), held.attempt, limit),
            extra=log_fields(held),
        )
        return True

    def _end(self, seated: Seated) -> None:
        """Give up an attempt that did not end in its grace."""
        held = seated.held
        if self._give_up is None or not isinstance(held.told, TimedOut):
            return
        stack = stack_of(seated.thread, self._coroutines, lambda: runs(held, self._seated))
        if stack is None or not self._give_up(held, held.told, stack):
            return
        replaced = self._replace is not None and self._replace(held)
        logger.warning(
            "job %s of type %s did not end when it was told to: attempt %d is recorded as timed out, its thread "
            "in pool %s is stuck%s:\n%s",
            *(shown(held.claim.id, LISTED), shown(held.type, LISTED), held.attempt, shown(self._pool, LISTED)),
            " and replaced" if replaced else ", and not replaced: too many are (max_stuck)",
            stack.rstrip(),
            extra=log_fields(held),
        )
