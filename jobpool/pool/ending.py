"""How an attempt ends that raised: what its error means for its job."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from ..errors import StoreError
from ..executors import Executor
from ..names import bounded
from ..outcome import MAX_ERROR_BYTES, TIMED_OUT, Outcome, describe
from ..signals import Cancel, JobCancelled, Retry, Snooze, TimedOut
from .held import Held
from .host import Host


def failure(error: BaseException, held: Held, executor: Executor, host: Host) -> Outcome:
    """Return the outcome of an attempt that raised `error`.

    What the executor was told counts for more than what it raised: a
    coroutine that is cancelled may raise anything on its way out.
    """
    if isinstance(error, Cancel | JobCancelled):
        return Outcome(cancelled=bounded(str(error), MAX_ERROR_BYTES))
    if isinstance(held.told, JobCancelled):
        quiet = isinstance(error, asyncio.CancelledError)
        return Outcome(cancelled="", error=None if quiet else describe(error, held.attempt))
    if isinstance(error, Snooze):
        return _snoozed(error, held, executor, host)
    if isinstance(held.told, TimedOut):
        return timed_out(held.told, error, held, executor)
    again = held.attempt < allowed_attempts(held, executor) and executor.retries(error)
    return Outcome(
        error=describe(error, held.attempt), retry_after=_delay(error, held, executor) if again else None
    )


def timed_out(told: TimedOut, error: BaseException, held: Held, executor: Executor) -> Outcome:
    """Return the outcome of an attempt that ran for too long; `error` is what it raised then."""
    again = held.attempt < allowed_attempts(held, executor) and executor.retries(told)
    said = replace(describe(error, held.attempt), type=TIMED_OUT, message=bounded(str(told), MAX_ERROR_BYTES))
    return Outcome(error=said, retry_after=executor.delays.delay(held.attempt, told) if again else None)


def _delay(error: BaseException, held: Held, executor: Executor) -> float:
    if isinstance(error, Retry) and error.after is not None:
        return error.after
    return executor.delays.delay(held.attempt, error)


def _snoozed(error: Snooze, held: Held, executor: Executor, host: Host) -> Outcome:
    snoozes = held.document.get("snoozes", 0)
    if snoozes >= executor.max_snoozes:
        said = describe(error, held.attempt)
        text = f"it wants to snooze again ({said.message}) and has {snoozes} times, max_snoozes of its executor"
        return Outcome(error=replace(said, message=text))
    return Outcome(snoozed=True, retry_after=error.seconds_from(_server_time(host)))


def _server_time(host: Host) -> datetime:
    """Return the server's time as well as it is known; an outcome must not fail for want of it."""
    try:
        return host.store.clock.now()
    except StoreError:
        return datetime.now(UTC)


def allowed_attempts(held: Held, executor: Executor) -> int:
    """Return the most attempts of this job: its own number if it has one, else the executor's."""
    own: int | None = held.document["max_attempts"]
    return executor.max_attempts if own is None else own
