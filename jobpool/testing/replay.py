"""Replays: an executor runs twice, as after a crash, and must not do more than once."""

from __future__ import annotations

import copy
import difflib
import pprint
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import InvalidConfiguration
from ..job import Job, State
from ..names import shown
from .crashes import expire, kill_between
from .seams import Heard, hearing, only
from .travelling import travel

if TYPE_CHECKING:
    from ..manager import JobManager
    from ..outcome import Outcome


def replay_twice(manager: JobManager, job: Job | str, *, between: Callable[[], object] | None = None) -> Job:
    """Run a pending job, let its process die before the outcome is recorded, run it again; return it finished.

    The second run is the next attempt of the same job, with the same data and
    a higher fence: what follows when a process is killed behind the effects
    of an executor. Both runs are in the calling thread and at once, whatever
    else is due, and whatever the job's `run_at` and its backoff are. There is no
    second run of one that has called ``current_job().complete(session=...)``:
    what it did stands together with its success.

    Args:
        job: The job, or its id.
        between: Called between the two runs.

    Raises:
        InvalidConfiguration: It is not pending, or has not two attempts left:
            what may be started only once is never run twice. Nothing was run.
        AssertionError: One of the runs did not succeed; its cause is what the executor raised.
    """
    id = job if isinstance(job, str) else job.id
    job = manager.get(id)
    _check(job, manager)
    with travel(manager) as clock, only(manager, id), hearing(manager) as heard:
        clock.to(job.run_at)
        with kill_between(manager, "executor", "finish") as kill:
            manager.run(job.type)
        _check_run("first", id, kill.outcome, heard)
        if between is not None:
            between()
        (again,) = expire(manager, [id])
        if again.state is State.SUCCEEDED:  # completed with its own writes: nothing is left to be run again
            return again
        clock.to(again.run_at)
        heard.forget()
        done = manager.run(job.type)
        if done is None:
            raise AssertionError(f"job {shown(id)} was not run again: it is {manager.get(id).state}")
        _check_run("second", id, heard.outcome, heard)
        return done


def assert_idempotent(manager: JobManager, job: Job | str, state: Callable[[], Any]) -> Job:
    """Prove that a second run of a job changes nothing: run it as `replay_twice` does, and compare; return it.

    ::

        job = manager.create("bill", {"order": 7})
        assert_idempotent(manager, job, state=lambda: list(bills.find()))

    Args:
        job: A pending job with two attempts left, or its id.
        state: Returns what the executor has effects on, as a value that can be
            copied and compared: rows, files, calls of a mock. Called after each run.

    Raises:
        AssertionError: The second run has changed the state, with the
            difference; or one of the runs did not succeed.
        InvalidConfiguration: See `replay_twice`; or the state cannot be copied.
    """
    states: list[Any] = []
    done = replay_twice(manager, job, between=lambda: states.append(_copied(state)))
    before, after = states[0], _copied(state)
    if before != after:
        raise AssertionError(_difference(done, before, after))
    return done


def _check(job: Job, manager: JobManager) -> None:
    allowed = job.max_attempts or manager.executors[manager.executors.select((job.type,))[0]].max_attempts
    if job.state is not State.PENDING:
        raise InvalidConfiguration(f"job {shown(job.id)} is {job.state}: to be run twice it must be pending")
    if allowed - job.attempts < 2:
        raise InvalidConfiguration(
            f"job {shown(job.id)} has {allowed - job.attempts} attempts left of {allowed}, so it is never run "
            f"twice: give type {shown(job.type)} an Executor with max_attempts=2 or more, or the job one"
        )


def _check_run(which: str, id: str, outcome: Outcome | None, heard: Heard) -> None:
    """Raise what tells of a run that did not succeed: it proves nothing, or that a second one does harm."""
    if outcome is None or outcome.name == "succeeded":
        return
    error = outcome.error
    how = f": {error.type}: {error.message}" if error else ""
    raise AssertionError(f"the {which} run of job {shown(id)} {outcome.name}{how}") from heard.raised


def _copied(state: Callable[[], Any]) -> Any:
    """Return what `state` returns as it is now: it may be the very list that the executor appends to."""
    value = state()
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise InvalidConfiguration(
            f"state() must return a value that can be copied and compared, list(cursor) for example, not "
            f"{type(value).__name__} ({error})"
        ) from error


def _difference(job: Job, before: Any, after: Any) -> str:
    first, second = (pprint.pformat(value, width=100).splitlines() for value in (before, after))
    names = ("after the first run", "after the second run")
    told = list(difflib.unified_diff(first, second, *names, lineterm="", n=2))
    if not told:
        told = [f"the same to look at, but not equal (has {type(after).__name__} an __eq__?): {second[0]}"]
    head = f"type {shown(job.type)} is not idempotent: the second run of job {shown(job.id)} changed the state"
    return "\n".join([head, *told])
