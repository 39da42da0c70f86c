"""`run_all` of `jobpool.testing`: inline, in order, to the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from jobpool import Backoff, Executor, JobManager, current_job
from jobpool.errors import UnknownType
from jobpool.middleware import Middleware
from jobpool.testing import run_all

from ..conftest import MakeManager

SLOW = Backoff(base=100, jitter=0)


class Flaky:
    """Raises the first times, then returns how often it was called."""

    def __init__(self, failures: int) -> None:
        self.calls = 0
        self._failures = failures

    def __call__(self, data: Any) -> int:
        self.calls += 1
        if self.calls <= self._failures:
            raise OSError(f"failure {self.calls}")
        return self.calls


def test_run_all_returns_the_jobs_in_the_order_they_ran(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"double": lambda data: data * 2})
    for n, priority in ((1, 0), (2, 9), (3, 5)):
        manager.create("double", n, priority=priority)
    manager.create("double", 4, delay=60)
    jobs = run_all(manager)
    assert [(job.state, job.result) for job in jobs] == [("succeeded", 4), ("succeeded", 6), ("succeeded", 2)]


def test_run_all_runs_only_the_types_that_are_named(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print, "b": print})
    manager.create("a")
    manager.create("b")
    assert [job.type for job in run_all(manager, "b")] == ["b"]
    with pytest.raises(UnknownType):
        run_all(manager, "c")


def test_run_all_runs_what_executors_create(make_manager: MakeManager) -> None:
    def parent(data: int, manager: JobManager) -> None:
        manager.create("child", data)

    manager = make_manager(executors={"parent": parent, "child": lambda data: data + 1})
    manager.create("parent", 1)
    assert [(job.type, job.result) for job in run_all(manager)] == [("parent", None), ("child", 2)]


def test_run_all_leaves_a_retry_to_its_time(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": Executor(Flaky(1), max_attempts=3, backoff=SLOW)})
    manager.create("a")
    assert [(job.state, job.attempts) for job in run_all(manager)] == [("pending", 1)]
    assert run_all(manager) == []


def test_run_all_travels_to_retries_if_asked_and_comes_back(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": Executor(Flaky(2), max_attempts=3, backoff=SLOW), "b": print})
    id = manager.create("a").id
    manager.create("b", delay=24 * 3600)
    jobs = run_all(manager, retries=True)
    assert [(job.id, job.state, job.attempts) for job in jobs] == [
        (id, "pending", 1),
        (id, "pending", 2),
        (id, "succeeded", 3),
    ]
    assert jobs[-1].result == 3
    assert manager.create("b", "now").run_at < jobs[1].run_at, "the manager is in its own time again"


def test_run_all_raises_what_an_executor_raised_if_asked(make_manager: MakeManager) -> None:
    error = KeyError("gone")

    def fail(data: Any) -> None:
        raise error

    manager = make_manager(executors={"a": fail})
    id = manager.create("a").id
    with pytest.raises(KeyError) as raised:
        run_all(manager, raises=True)
    assert raised.value is error
    assert manager.get(id).state == "failed", "it is recorded all the same"


def test_run_all_raises_what_a_coroutine_raised(make_manager: MakeManager) -> None:
    async def fail(data: Any, manager: JobManager) -> None:
        raise KeyError(data)

    manager = make_manager(executors={"a": fail})
    manager.create("a", 7)
    with pytest.raises(KeyError, match="7"):
        run_all(manager, raises=True)


def test_run_all_raises_with_retries_only_what_the_last_attempt_raised(make_manager: MakeManager) -> None:
    def manager_of(flaky: Flaky, type: str) -> JobManager:
        manager = make_manager(executors={type: Executor(flaky, max_attempts=3, backoff=SLOW)})
        manager.create(type)
        return manager

    assert run_all(manager_of(Flaky(2), "a"), raises=True, retries=True)[-1].state == "succeeded"
    with pytest.raises(OSError, match="failure 3"):
        run_all(manager_of(Flaky(3), "b"), raises=True, retries=True)
    with pytest.raises(OSError, match="failure 1"):
        run_all(manager_of(Flaky(2), "c"), raises=True)


def test_run_all_raises_for_a_result_that_cannot_be_stored(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: {1, 2}})
    manager.create("a")
    with pytest.raises(AssertionError, match=r"attempt 1 of job '.*' failed: Invalid\w+: result: set"):
        run_all(manager, raises=True)


def test_middleware_goes_on_hearing(make_manager: MakeManager) -> None:
    heard: list[str] = []

    class Listens(Middleware):
        def claimed(self, jobs: Any) -> None:
            heard.append("claimed")

        @contextmanager
        def executing(self, job: Any) -> Iterator[None]:
            heard.append("executing")
            yield

        def finished(self, job: Any, outcome: Any) -> None:
            heard.append(outcome.name)

    manager = make_manager(executors={"a": print}, middleware=[Listens()])
    manager.create("a")
    run_all(manager)
    assert heard == ["claimed", "executing", "succeeded"]


def test_run_all_leaves_the_manager_as_it_was(make_manager: MakeManager) -> None:
    def fail(data: Any) -> None:
        raise KeyError

    manager = make_manager(executors={"a": fail})
    before = (manager.middleware, manager.store.transitions, manager.executors)
    manager.create("a")
    with pytest.raises(KeyError):
        run_all(manager, raises=True)
    assert (manager.middleware, manager.store.transitions, manager.executors) == before


def test_an_executor_may_register_another_one_meanwhile(make_manager: MakeManager) -> None:
    def learn(data: Any, manager: JobManager) -> None:
        manager.executor("new")(lambda data: "known")
        manager.create("new")

    manager = make_manager(executors={"learn": learn})
    manager.create("learn")
    assert [job.type for job in run_all(manager)] == ["learn", "new"]
    assert "new" in manager.executors


def test_run_all_gives_up_on_a_job_that_goes_on_for_ever(make_manager: MakeManager) -> None:
    def again(data: int, manager: JobManager) -> None:
        manager.create("a", data + 1)

    manager = make_manager(executors={"a": again})
    manager.create("a", 0)
    with pytest.raises(AssertionError, match=r"jobs are still due after 10 looks; the last was '.*' of type 'a'"):
        run_all(manager, limit=10)


def test_an_executor_sees_the_job_in_hand_as_ever(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: current_job().attempt})
    manager.create("a")
    assert run_all(manager, raises=True)[0].result == 1
