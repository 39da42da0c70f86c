"""Running jobs in the calling thread."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from jobpool import Backoff, Executor, JobManager, State, current_job
from jobpool.errors import JobpoolError, UnknownType

from ..conftest import Jobs, MakeManager


def test_run_returns_the_finished_job(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"double": lambda data: data["n"] * 2})
    manager.create("double", {"n": 21})
    job = manager.run("double")
    assert job is not None
    assert (job.state, job.result, job.attempts, job.pool) == (State.SUCCEEDED, 42, 1, "run")
    assert job.finished_at is not None


def test_run_returns_none_when_nothing_is_due(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    manager.create("a", 1, delay=60)
    assert manager.run() is None


@pytest.mark.parametrize("run", ["run", "run_all"])
@pytest.mark.parametrize("change", ["create", "retry"])
def test_what_another_manager_made_due_a_moment_ago_is_found(
    make_manager: MakeManager, change: str, run: str
) -> None:
    """Its idea of the server's time may be behind that of the other: by more than what passed since."""
    other, manager = make_manager(), make_manager(executors={"a": len})
    if change == "retry":
        other.create("a", None, id="one")
        assert manager.run().state == "failed"  # type: ignore[union-attr]
    manager.store.ready()  # which asks for the time
    manager.store.clock.learn(other.store.clock.now() - timedelta(seconds=5))
    other.retry("one") if change == "retry" else other.create("a", None)
    assert getattr(manager, run)(), "it was due when this was called"


def test_run_all_runs_until_none_is_due(make_manager: MakeManager) -> None:
    seen: list[int] = []
    manager = make_manager(executors={"a": seen.append, "b": seen.append})
    manager.create_many([{"type": "a", "data": n} for n in range(5)] + [{"type": "b", "data": 9}])
    assert manager.run_all("a") == 5
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert manager.run_all() == 1


def test_five_runs_at_once_run_five_jobs(make_manager: MakeManager) -> None:
    together = threading.Barrier(5, timeout=20)

    def work(data: int) -> int:
        together.wait()  # all five are in hand at the same time
        return data

    manager = make_manager(executors={"a": work})
    manager.create_many([{"type": "a", "data": n} for n in range(5)])
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(manager.run())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(job.result for job in results) == [0, 1, 2, 3, 4]
    assert all(job.attempts == 1 for job in results)


def test_an_executor_may_take_the_manager(make_manager: MakeManager) -> None:
    def parent(data: int, manager: JobManager) -> str:
        return manager.create("child", data).id

    manager = make_manager(executors={"parent": parent, "child": lambda data: data + 1})
    manager.create("parent", 1)
    assert manager.run_all() == 2
    assert [job.result for job in manager.find(type="child")] == [2]


def test_an_executor_may_be_a_coroutine_function(make_manager: MakeManager) -> None:
    async def work(data: int) -> tuple[int, int]:
        await asyncio.sleep(0)
        return data, current_job().attempt

    manager = make_manager(executors={"a": work})
    manager.create("a", 7)
    assert manager.run().result == [7, 1]  # type: ignore[union-attr]


def test_the_default_is_one_attempt(make_manager: MakeManager) -> None:
    def fail(data: object) -> None:
        raise KeyError("gone")

    manager = make_manager(executors={"a": fail})
    manager.create("a", 1)
    job = manager.run()
    assert job is not None
    assert (job.state, job.attempts) == (State.FAILED, 1)
    assert job.error is not None
    assert (job.error.type, job.error.message) == ("KeyError", "'gone'")
    assert 'raise KeyError("gone")' in job.error.traceback
    assert manager.run() is None


def test_a_failed_attempt_is_retried_after_its_backoff(make_manager: MakeManager) -> None:
    manager = make_manager(
        executors={"a": Executor(lambda data: 1 / 0, max_attempts=3, backoff=Backoff(base=100, jitter=0))}
    )
    manager.create("a", 1)
    job = manager.run()
    assert job is not None
    assert (job.state, job.attempts, job.error) == (State.PENDING, 1, None)
    assert [error.type for error in job.errors] == ["ZeroDivisionError"]
    delay = (job.run_at - job.created_at).total_seconds()
    assert 100 <= delay < 130
    assert manager.run() is None, "it is not due yet"


def test_a_retry_can_succeed(make_manager: MakeManager) -> None:
    def work(data: object) -> int:
        if current_job().attempt < 3:
            raise OSError("not yet")
        return current_job().fence

    manager = make_manager()
    manager.executor("a", max_attempts=5, backoff=Backoff(base=0))(work)
    manager.create("a", 1)
    assert manager.run_all() == 3
    (job,) = manager.find()
    assert (job.state, job.attempts, job.result) == (State.SUCCEEDED, 3, 3)
    assert len(job.errors) == 2


@pytest.mark.parametrize(
    "raised", [SystemExit(3), GeneratorExit(), asyncio.CancelledError(), BaseException("own")]
)
def test_whatever_an_executor_raises_is_one_failed_attempt(
    make_manager: MakeManager, raised: BaseException
) -> None:
    def work(data: object) -> None:
        raise raised

    manager = make_manager(executors={"a": work})
    manager.create("a", 1)
    job = manager.run()
    assert job is not None
    assert job.error is not None
    assert (job.state, job.error.type) == (State.FAILED, type(raised).__name__)


def test_ctrl_c_fails_the_attempt_and_reaches_the_caller(make_manager: MakeManager) -> None:
    def work(data: object) -> None:
        raise KeyboardInterrupt

    manager = make_manager(executors={"a": work})
    id = manager.create("a", 1).id
    with pytest.raises(KeyboardInterrupt):
        manager.run()
    assert manager.get(id).state is State.FAILED


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({1, 2}, "result: set"),
        ({"k": object()}, "result.k: object"),
        (2**70, "64 bits"),
        ({1: 2}, "keys must be str"),
        (float("nan"), "finite"),
    ],
)
def test_a_result_that_cannot_be_stored_fails_the_attempt_saying_so(
    make_manager: MakeManager, result: Any, message: str
) -> None:
    manager = make_manager(executors={"a": lambda data: result})
    manager.create("a", 1)
    job = manager.run()
    assert job is not None
    assert job.error is not None
    assert (job.state, job.error.type) == (State.FAILED, "InvalidJob")
    assert message in job.error.message


def test_a_type_without_an_executor_is_never_claimed(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"known": print})
    id = manager.create("unknown", 1).id
    assert manager.run() is None
    assert manager.get(id).fence == 0


def test_asking_for_a_type_without_an_executor_is_an_error(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"known": print})
    manager.create("unknown", 1)
    for ask in (manager.run, manager.run_all, manager.start_watch):
        with pytest.raises(UnknownType, match=r"'unknown'.*known"):
            ask("unknown")


def test_current_job_shows_the_job_in_hand(make_manager: MakeManager) -> None:
    def look(data: object) -> dict[str, Any]:
        job = current_job()
        return {"id": job.id, "type": job.type, "data": job.data, "attempt": job.attempt, "lost": job.lost}

    manager = make_manager(executors={"a": look})
    created = manager.create("a", {"x": 1})
    expected = {"id": created.id, "type": "a", "data": {"x": 1}, "attempt": 1, "lost": False}
    assert manager.run().result == expected  # type: ignore[union-attr]
    with pytest.raises(JobpoolError):
        current_job()


def test_run_takes_back_what_a_dead_worker_left(make_manager: MakeManager, jobs: Jobs) -> None:
    from .test_transitions import expire

    manager = make_manager(executors={"a": lambda data: data})
    manager.create("a", 5)
    jobs.update_one({}, {"$set": {"state": "claimed", "claim": "dead", "fence": 1}})
    jobs.update_one({}, {"$currentDate": {"lease_until": True}})
    expire(jobs)
    job = manager.run()
    assert job is not None
    assert (job.result, job.attempts, job.fence) == (5, 1, 2)
