"""One attempt: calling an executor and saying how it ended."""

from __future__ import annotations

import inspect
from typing import Any

from ..current import in_hand
from ..data import canonical, check_size, encoded_size
from ..executors import Executor
from ..outcome import Outcome, describe
from ..tracing import Attempt
from .coroutines import Coroutines
from .held import Held
from .host import Host

#: Room left for everything in a job document that is neither data nor result.
DOCUMENT_LIMIT = 15 * 1024 * 1024 + 512 * 1024


def run_attempt(held: Held, host: Host, coroutines: Coroutines, *, ambient: bool = False) -> Outcome:
    """Call the executor of `held` and return the outcome, whatever it raises.

    Args:
        ambient: Whether the attempt's span belongs to the one that is current here.
    """
    context = in_hand.set(held)
    try:
        spans = host.tracing.spans
        if spans is None:
            return _outcome_of(held, host, coroutines)
        return _traced(spans.process(held, ambient=ambient), held, host, coroutines)
    finally:
        in_hand.reset(context)


def _traced(span: Attempt | None, held: Held, host: Host, coroutines: Coroutines) -> Outcome:
    held.span = span
    outcome = None
    try:
        outcome = _outcome_of(held, host, coroutines)
        return outcome
    finally:
        if span is not None:
            span.ended(outcome)


def _outcome_of(held: Held, host: Host, coroutines: Coroutines) -> Outcome:
    """Call the executor and say how that ended.

    `BaseException` is meant: a `SystemExit` or a `CancelledError` that passed
    by would take a thread with it and strand the job.
    """
    executor = host.executors[held.type]
    try:
        limit = _room_for_result(held, host.data_limit)
        if host.middleware is None:
            result = _call(executor, held, host, coroutines)
        else:
            with host.middleware.executing(held):
                result = _call(executor, held, host, coroutines)
        if result is not None:
            canonical(result, "result")
            check_size(result, limit, "result")
        return Outcome(result=result)
    except BaseException as error:  # noqa: BLE001
        return failure(error, held, executor)


def _call(executor: Executor, held: Held, host: Host, coroutines: Coroutines) -> Any:
    result = executor(held.document["data"], host)
    return coroutines.run(result) if inspect.iscoroutine(result) else result


def failure(error: BaseException, held: Held, executor: Executor) -> Outcome:
    """Return the outcome of an attempt that raised `error`: a retry if attempts are left."""
    allowed = allowed_attempts(held, executor)
    again = held.attempt < allowed and executor.retries(error)
    retry_after = executor.delays.delay(held.attempt, error) if again else None
    return Outcome(error=describe(error, held.attempt), retry_after=retry_after)


def allowed_attempts(held: Held, executor: Executor) -> int:
    """Return the most attempts of this job: its own number if it has one, else the executor's."""
    own: int | None = held.document["max_attempts"]
    return executor.max_attempts if own is None else own


def _room_for_result(held: Held, limit: int) -> int:
    """Return the most bytes the result may take, measured before the executor can change the data."""
    if 2 * limit <= DOCUMENT_LIMIT:
        return limit
    return min(limit, DOCUMENT_LIMIT - encoded_size(held.document["data"], "data"))
