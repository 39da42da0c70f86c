"""A type that was renamed: jobs stored under its old name are run by the executor of the new one."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobpool import JobManager, WorkerPool, current_job
from jobpool.errors import InvalidConfiguration, InvalidJob, UnknownType
from jobpool.executors import Executor

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until


def value(manager: JobManager, name: str, **labels: str) -> float | None:
    return manager.metrics.registry.get_sample_value(name, labels)


def echo(data: Any) -> Any:
    return [current_job().type, data]


@pytest.mark.parametrize("types", [(), ("new",), ("old",)], ids=["all", "type", "alias"])
def test_a_pool_runs_the_jobs_of_all_names(make_manager: MakeManager, jobs: Jobs, types: tuple[str, ...]) -> None:
    manager = make_manager(executors={"new": Executor(echo, aliases=("old",), max_attempts=3)})
    ids = manager.create_many({"type": type, "data": n} for type in ("old", "new") for n in range(20)).ids
    assert len(set(ids)) == 40, "the name is part of the id"
    with WorkerPool(manager, types, threads=2) as pool:
        assert set(pool.types) == {"new", "old"}
        done = manager.wait_many(ids, PATIENCE)
        late = manager.create("old", "woken").wait(PATIENCE)  # by a listener that knows both
    assert [(job.state, job.result) for job in done] == [("succeeded", [job.type, job.data]) for job in done]
    assert late.result == ["old", "woken"]
    assert {job["max_attempts"] for job in jobs.find()} == {3}, "by the same rules"
    assert value(manager, "jobpool_attempts_total", type="old", outcome="succeeded") == 21
    assert value(manager, "jobpool_attempts_total", type="new", outcome="succeeded") == 20


def test_jobs_keep_the_name_they_were_created_with(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"new": Executor(echo, aliases=("old",))})
    assert not manager.create("old", 1).created or not manager.create("old", 1).created
    assert manager.create("new", 1).created, "equal work, if its name is equal"
    assert manager.run_all("new") == 2
    assert [(job.type, job.result) for job in manager.find(type="old")] == [("old", ["old", 1])]
    assert manager.count(type="new") == 1


def test_other_types_are_not_run_along(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"new": Executor(echo, aliases=("old",)), "other": echo})
    for type in ("old", "new", "other", "unknown"):
        manager.create(type)
    assert manager.run_all("other") == 1
    assert manager.run_all("old") == 2
    assert manager.run_all() == 0
    with pytest.raises(UnknownType, match="known: new, old, other"):
        manager.run("unknown")


def test_timeouts_and_retries_are_those_of_the_type(make_manager: MakeManager) -> None:
    ended = threading.Event()

    def slow(data: Any) -> None:
        current_job().wait(PATIENCE)
        ended.set()

    manager = make_manager(
        executors={"new": Executor(slow, aliases=("old",), timeout=0.1, max_attempts=2, backoff=0)}
    )
    with WorkerPool(manager, threads=1):
        job = manager.create("old").wait(PATIENCE)
    assert (job.state, job.attempts, job.error and job.error.type) == ("failed", 2, "TimedOut")
    assert not ended.is_set()


def test_data_of_an_alias_are_checked_before_they_are_stored(make_manager: MakeManager, jobs: Jobs) -> None:
    def number(data: Any) -> int:
        return int(data)

    manager = make_manager()

    @manager.executor("new", aliases=["old"], data=number)
    def run(data: int) -> int:
        return data + 1

    with pytest.raises(InvalidJob, match="type 'old': "):
        manager.create("old", "x")
    with pytest.raises(InvalidJob, match="type 'old': "):
        manager.create_many([{"type": "old", "data": "x"}])
    assert jobs.count_documents({}) == 0
    manager.create("old", "41")
    done = manager.run()
    assert done is not None
    assert done.result == 42
    with pytest.raises(InvalidConfiguration, match="'old' has an executor already as an alias of 'new'"):
        manager.executor("old")(run)


def test_what_is_paused_by_its_new_name_is_paused_in_the_backlog(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"new": Executor(echo, aliases=("old",)), "other": echo})
    manager.pause("new")
    manager.create("old", run_at=datetime.now(UTC) - timedelta(seconds=1))
    backlog = manager.backlog()
    assert (backlog.of("old").due, backlog.of("old").paused, backlog.suggested_pools("old")) == (1, True, 0)
    with WorkerPool(manager, backlog_interval=0.1) as pool:
        until(lambda: (view := pool.backlog_view()) and view.backlog.of("old").paused)


def test_what_is_left_of_an_old_name_is_seen_in_the_backlog(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"new": Executor(echo, aliases=("old",))})
    manager.create("old", delay=3600)
    with WorkerPool(manager):
        until(lambda: manager.backlog().pools_alive)
        backlog = manager.backlog()
    assert backlog.of("old").scheduled == 1
    assert len(backlog.pools_of(["old"])) == 1
