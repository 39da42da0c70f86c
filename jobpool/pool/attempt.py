"""One attempt: calling an executor and saying how it ended."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from ..current import in_hand, log_fields
from ..errors import LeaseLost
from ..executors import Executor
from ..names import shown
from ..outcome import Outcome
from ..tracing import Attempt
from .children import Children
from .coroutines import Coroutines
from .ending import failure
from .held import Held
from .host import Host
from .results import outcome_with, room_for_result


class Engines(NamedTuple):
    """What runs executors that do not simply run on the thread that calls them."""

    coroutines: Coroutines
    children: Children

    @classmethod
    def of(cls, pool: str) -> Engines:
        """Return those of a pool; nothing is started before it is needed."""
        return cls(Coroutines(pool), Children(pool))


def run_attempt(held: Held, host: Host, engines: Engines, *, ambient: bool = False) -> Outcome:
    """Call the executor of `held` and return the outcome, whatever it raises.

    Args:
        ambient: Whether the attempt's span belongs to the one that is current here.
    """
    context = in_hand.set(held)
    try:
        spans = host.tracing.spans
        if spans is None:
            return _outcome_of(held, host, engines)
        return _traced(spans.process(held, ambient=ambient), held, host, engines)
    finally:
        in_hand.reset(context)


def _traced(span: Attempt | None, held: Held, host: Host, engines: Engines) -> Outcome:
    held.span = span
    outcome = None
    try:
        outcome = _outcome_of(held, host, engines)
        return outcome
    finally:
        if span is not None:
            span.ended(outcome)


def _outcome_of(held: Held, host: Host, engines: Engines) -> Outcome:
    """Call the executor and say how that ended.

    `BaseException` is meant: a `SystemExit` or a `CancelledError` that passed
    by would take a thread with it and strand the job.
    """
    executor = host.executors[held.type]
    try:
        limit = room_for_result(held, host.data_limit)
        if host.middleware is None:
            result = _call(executor, held, host, engines)
        else:
            with host.middleware.executing(held):
                result = _call(executor, held, host, engines)
        if held.completion is not None:  # what it returns is not looked at: its result is given with that
            return held.completion.finish.outcome
        return outcome_with(result, limit, held)
    except BaseException as error:  # noqa: BLE001
        held.interrupted = isinstance(error, KeyboardInterrupt)
        return failure(error, held, executor, host)


def _call(executor: Executor, held: Held, host: Host, engines: Engines) -> Any:
    """Call the executor: here, on the event loop, or in a child process."""
    if executor.isolation is not None:
        return _in_child(executor, held, engines.children)
    result = executor(held.document["data"], host)
    if not inspect.iscoroutine(result):
        return result
    held.coroutine = result  # before the look at `told`: whoever tells now cancels it, or is seen
    return engines.coroutines.run(result, lambda: held.told)


def _in_child(executor: Executor, held: Held, children: Children) -> Any:
    fields = log_fields(held)
    facts: dict[str, Any] = {"id": held.claim.id, "type": held.type, "fence": held.claim.fence}
    facts |= {name: fields[name] for name in ("pool", "attempt", "trace_id", "span_id") if name in fields}
    facts |= {name: held.document.get(name) for name in ("created_at", "checkpoint")}
    data = executor.validated(held.document["data"])
    return children.run(executor.fn, data, facts=facts, limit=None, told=lambda: _why_to_end(held))


def _why_to_end(held: Held) -> BaseException | None:
    """Return why the child is to be killed, if it is; the watchdog knows of timeouts."""
    if held.lost:
        return LeaseLost(f"job {shown(held.claim.id)} was lost while it ran; its child process was killed")
    return held.told
