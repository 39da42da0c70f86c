"""Running what is due, inline, and returning how it went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..job import Job, State
from ..names import check_int, shown
from .seams import Heard, hearing
from .travelling import Travel, travel

if TYPE_CHECKING:
    from ..manager import JobManager

#: The most that `find` returns at once; a test with more retries that wait is none that ends.
PAGE = 10_000


def run_all(
    manager: JobManager, *types: str, retries: bool = False, raises: bool = False, limit: int = 1000
) -> list[Job]:
    """Run due jobs in the calling thread until none is due; return them in the order they ran.

    Each is a snapshot from after its attempt, so a job with two attempts is
    there twice. What executors create meanwhile runs too, if it is due.

    Args:
        types: The types to run; all that have an executor here if none are given.
        retries: Travel on to what waits for its next attempt, or was snoozed, until
            nothing of that is left; afterwards the manager is back in its
            time. What else becomes due on the way runs as well.
        raises: Raise what an executor raised, its very exception, once the
            attempt is recorded; with `retries` only that of a last attempt.
        limit: The most looks for a due job.

    Raises:
        UnknownType: A type has no executor here.
        AssertionError: After `limit` looks there are still due jobs. With
            `raises`: an attempt failed otherwise, for a result that cannot be stored, say.
    """
    check_int(limit, "limit", 1, 1_000_000)
    ran: list[Job] = []
    with travel(manager) as clock, hearing(manager) as heard:
        for _ in range(limit + 1):
            heard.forget()
            job = manager.run(*types)
            if job is not None:
                ran.append(job)
                if raises:
                    _raise(job, heard, last_only=retries)
            elif not (retries and _next_retry(manager, types, clock)):
                return ran
    last = f"; the last was {shown(ran[-1].id)} of type {shown(ran[-1].type)}" if ran else ""
    raise AssertionError(
        f"run_all: {len(ran)} attempts ran and jobs are still due after {limit} looks{last}. Does an executor "
        "create its own job again? If so many are meant, say limit="
    )


def _raise(job: Job, heard: Heard, *, last_only: bool) -> None:
    outcome = heard.outcome
    if outcome is None or outcome.error is None or (last_only and not outcome.final):
        return
    if heard.raised is not None:
        raise heard.raised
    error = outcome.error
    raise AssertionError(f"attempt {error.attempt} of job {shown(job.id)} failed: {error.type}: {error.message}")


def _next_retry(manager: JobManager, types: tuple[str, ...], clock: Travel) -> bool:
    """Travel to the next attempt of a job that had one; return whether there is any."""
    wanted = manager.executors.select(types)
    pending = manager.find(state=State.PENDING, limit=PAGE)
    waiting = [
        job.run_at for job in pending if job.fence and job.type in wanted
    ]  # claimed once: not merely scheduled
    if waiting:
        clock.to(min(waiting))
    return bool(waiting)
