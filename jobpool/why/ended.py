"""Jobs that have ended, and jobs that are to be deleted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ..names import shown
from ..phrases import duration, moment
from .answer import Reason
from .phrasing import brief, past
from .situation import Situation

#: Characters of an error's text in a sentence.
MESSAGE = 200
DEPENDENCY_FAILED, WORKER_LOST = "DependencyFailed", "WorkerLost"


def succeeded(situation: Situation) -> Reason:
    """It is done."""
    result = situation.result
    text = f"it succeeded {past(situation, 'finished_at')}, in {attempt_of(situation)}"
    facts = {**_times(situation), "attempts": situation.number("attempts"), "result": result}
    facts["result_error"] = situation.text("result_error")
    if result is not None and result != "null":
        text += f", with the result {brief(result, MESSAGE)}"
    remedy = f"to have it run once more, revive it: jobpool revive --succeeded {argument(situation.id)}"
    return Reason("succeeded", text, remedy, facts)


def failed(situation: Situation) -> Reason:
    """It is done for, until somebody revives it."""
    error = situation.job.get("error")
    error = error if isinstance(error, Mapping) else {}
    name, message = str(error.get("type", "an error")), str(error.get("message", ""))
    said = f"{name}: {message}" if message else name
    said = brief(said, MESSAGE)
    facts = {
        **_times(situation),
        "error": name,
        "message": message,
        "attempts": situation.number("attempts"),
        "max_attempts": situation.whole("max_attempts"),
        "error_count": situation.number("error_count"),
    }
    text = f"it failed {past(situation, 'finished_at')} in {attempt_of(situation)}: {said}"
    if name == DEPENDENCY_FAILED:
        text = f"it failed {past(situation, 'finished_at')} without having been started: {said}"
    return Reason("failed", text, _after_failure(situation, name), facts)


def _after_failure(situation: Situation, error: str) -> str:
    again = f"jobpool retry {argument(situation.id)}"
    if error == DEPENDENCY_FAILED:
        return f"retry the job that it waited for, and then this one: {again}"
    if error == WORKER_LOST:
        return f"see what killed the worker (its memory?); to try once more: {again}"
    return f"mend the cause, then: {again}"


def cancelled(situation: Situation) -> Reason:
    """Somebody ended it."""
    reason = situation.text("cancel_reason")
    facts = {
        **_times(situation),
        "cancel_reason": reason,
        "cancel_requested_at": situation.instant("cancel_requested_at"),
        "attempts": situation.number("attempts"),
    }
    because = f": {shown(reason, MESSAGE)}" if reason else ""
    text = f"it was cancelled {past(situation, 'finished_at')}{because}"
    return Reason("cancelled", text, f"to run it after all: jobpool revive {argument(situation.id)}", facts)


def expires(situation: Situation) -> Reason | None:
    """MongoDB deletes it, whatever its state."""
    at = situation.instant("expire_at")
    if at is None:
        return None
    left = -situation.since(at)
    when = f"in {duration(left)} ({moment(at)})" if left > 0 else "within a minute"
    return Reason("expires", f"MongoDB deletes it {when}", "", {"expire_at": at})


def attempt_of(situation: Situation) -> str:
    """Return ``attempt 2 of 3``."""
    most = situation.whole("max_attempts")
    of = "" if most is None else f" of {most}"
    return f"attempt {situation.number('attempts')}{of}"


def argument(id: str) -> str:
    """Return an id, or a type, as the last word of a command in a shell."""
    quoted = shlex.quote(id)
    return f"-- {quoted}" if id.startswith("-") else quoted


def _times(situation: Situation) -> dict[str, Any]:
    return {name: situation.instant(name) for name in ("created_at", "started_at", "finished_at")}
