"""What a stop has time for, and what it reports."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import overload

from ..hooks import logger_of
from ..names import LISTED, listed, shown
from .held import Held

logger = logger_of(__name__)

#: What a stop may take beyond its deadline, all steps together: enough for a release and a last
#: record on a server that answers, and all that is waited for one that does not.
END_TIME = 2.0


@dataclass(frozen=True, slots=True)
class StopReport:
    """What a stop left behind; empty after a complete drain.

    Attributes:
        released: Ids of jobs given back unstarted; other pools may run them at once.
        abandoned: Ids of jobs whose executors still run, or whose outcome could
            not be recorded in time. Their leases run out, then they are reaped.
            One per claim: an id is there twice if the pool lost a job, claimed it
            again, and both executors run.
        threads: Names of threads that had not ended.
    """

    released: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
    threads: tuple[str, ...] = ()


def reported(pool: str, released: list[Held], abandoned: list[Held], threads: list[str]) -> StopReport:
    """Return what a stop of `pool` left behind, and log it: one line."""
    report = StopReport(_ids(released), _ids(abandoned), tuple(threads))
    if report.abandoned or report.threads:
        logger.warning(
            "pool %s stopped and left %d jobs to their leases: %s; %d threads still run: %s",
            *(shown(pool, LISTED), len(report.abandoned), listed(report.abandoned) or "none"),
            *(len(report.threads), listed(report.threads) or "none"),
        )
    else:
        logger.info("pool %s stopped, %d jobs released", shown(pool), len(report.released))
    return report


def _ids(jobs: Iterable[Held]) -> tuple[str, ...]:
    return tuple(held.claim.id for held in jobs)


def deadline_of(timeout: float | None) -> float | None:
    """Return the monotonic instant `timeout` seconds from now; None if there is no limit."""
    return None if timeout is None else time.monotonic() + timeout


@overload
def remaining(deadline: float) -> float: ...
@overload
def remaining(deadline: None) -> None: ...
def remaining(deadline: float | None) -> float | None:
    """Return the seconds until `deadline`, 0 when it is over; None if there is none."""
    return None if deadline is None else max(0.0, deadline - time.monotonic())
