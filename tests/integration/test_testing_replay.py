"""Replays of `jobpool.testing`: idempotent executors pass, others are shown what they did twice."""

from __future__ import annotations

from typing import Any

import pytest

from jobpool import Backoff, Executor, JobManager, current_job
from jobpool.errors import InvalidConfiguration, JobNotFound
from jobpool.testing import assert_idempotent, replay_twice

from ..conftest import MakeManager

TWICE = {"max_attempts": 2, "backoff": Backoff(base=100)}


def register(manager: JobManager, fn: Any, **rules: Any) -> None:
    manager.executor("a", **(rules or TWICE))(fn)


def test_an_idempotent_executor_passes(make_manager: MakeManager) -> None:
    manager, rows = make_manager(), {}
    register(manager, lambda data: rows.update({data["order"]: "billed"}))
    job = manager.create("a", {"order": 7})
    done = assert_idempotent(manager, job, state=lambda: rows)
    assert (done.id, done.state, done.attempts, done.fence) == (job.id, "succeeded", 2, 2)
    assert rows == {7: "billed"}


def test_an_executor_that_does_it_twice_fails_with_the_difference(make_manager: MakeManager) -> None:
    manager = make_manager()
    mails = [{"to": "zoe", "about": "another matter"}]
    register(manager, lambda data: mails.append(data))
    job = manager.create("a", {"to": "ann", "about": "bill"})
    with pytest.raises(AssertionError) as raised:
        assert_idempotent(manager, job, state=lambda: mails)  # the very list that changes
    told = str(raised.value).splitlines()
    assert told[0] == f"type 'a' is not idempotent: the second run of job {job.id!r} changed the state"
    assert told[1:3] == ["--- after the first run", "+++ after the second run"]
    assert "+ {'about': 'bill', 'to': 'ann'}]" in told


def test_a_fenced_executor_passes(make_manager: MakeManager) -> None:
    """The second run has the same data, the next attempt and a higher fence."""
    manager, seen = make_manager(), list[Any]()
    register(manager, lambda data: seen.append((data, current_job().attempt, current_job().fence)))
    job = manager.create("a", {"order": 7})
    assert_idempotent(manager, job.id, state=lambda: seen[-1][0])
    assert seen == [({"order": 7}, 1, 1), ({"order": 7}, 2, 2)]


def test_only_the_job_meant_runs_whatever_is_due_and_scheduled(make_manager: MakeManager) -> None:
    manager, seen = make_manager(), list[Any]()
    register(manager, seen.append)
    first = manager.create("a", "first", priority=9)
    meant = manager.create("a", "meant", delay=3600)
    assert replay_twice(manager, meant, between=lambda: seen.append("between")).id == meant.id
    assert seen == ["meant", "between", "meant"]
    assert manager.get(first.id).fence == 0
    job = manager.run()
    assert job is not None
    assert job.id == first.id, "the manager claims as ever again"
    assert manager.run() is None


def test_a_job_may_have_its_own_number_of_attempts(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    assert replay_twice(manager, manager.create("a", max_attempts=2)).state == "succeeded"


@pytest.mark.parametrize("own", [None, 1])
def test_what_is_never_run_twice_is_refused(make_manager: MakeManager, own: int | None) -> None:
    manager, seen = make_manager(), list[Any]()
    register(manager, seen.append, max_attempts=2 if own else 1)
    job = manager.create("a", max_attempts=own)
    with pytest.raises(
        InvalidConfiguration, match="1 attempts left of 1, so it is never run twice: give type 'a'"
    ):
        replay_twice(manager, job)
    assert (seen, manager.get(job.id).fence) == ([], 0)


def test_a_job_that_ran_already_is_refused(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": Executor(print, max_attempts=5)})
    job = manager.create("a")
    manager.run()
    with pytest.raises(InvalidConfiguration, match="is succeeded: to be run twice it must be pending"):
        replay_twice(manager, job)
    with pytest.raises(JobNotFound):
        replay_twice(manager, "unknown")


@pytest.mark.parametrize(("fails", "which"), [(1, "first"), (2, "second")])
def test_a_run_that_fails_proves_nothing(make_manager: MakeManager, fails: int, which: str) -> None:
    def work(data: Any) -> None:
        if current_job().attempt == fails:
            raise OSError("no such order")

    manager = make_manager()
    register(manager, work)
    message = f"the {which} run of job '.*' (retried|failed): OSError: no such order"
    with pytest.raises(AssertionError, match=message) as raised:
        assert_idempotent(manager, manager.create("a"), state=dict)
    assert isinstance(raised.value.__cause__, OSError)


def test_a_state_that_cannot_be_copied_is_refused(make_manager: MakeManager) -> None:
    manager = make_manager()
    register(manager, print)
    with pytest.raises(InvalidConfiguration, match=r"list\(cursor\) for example, not generator"):
        assert_idempotent(manager, manager.create("a"), state=lambda: (n for n in range(3)))


def test_a_state_that_never_equals_itself_is_told_apart_from_a_change(make_manager: MakeManager) -> None:
    class Thing:
        def __repr__(self) -> str:
            return "<Thing>"

    manager = make_manager()
    register(manager, print)
    with pytest.raises(AssertionError, match=r"not equal \(has Thing an __eq__\?\): <Thing>"):
        assert_idempotent(manager, manager.create("a"), state=Thing)


def test_a_replay_leaves_the_jobs_of_others_alone(make_manager: MakeManager) -> None:
    manager, other = (
        make_manager(),
        make_manager(executors={"long": lambda data: replay_twice(manager, data) and 1}),
    )
    register(manager, lambda data: None)
    id = manager.create("a").id
    other.create("long", id)
    job = other.run()
    assert job is not None
    assert (job.state, job.attempts) == ("succeeded", 1), "its lease has not been ended by the replay"
