"""The cluster view: what is counted, by whom, and that nobody is disturbed by it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS

from jobpool import Backoff, JobManager, WorkerPool
from jobpool.backlog import STATES, TypeBacklog
from jobpool.errors import StoreUnavailable
from jobpool.executors import Executor
from jobpool.store.presence import PoolCard

from ..conftest import Jobs, MakeManager
from ..waiting import until


def fail(data: Any) -> None:
    raise ValueError


def value(manager: JobManager, name: str, **labels: str) -> float | None:
    return manager.metrics.registry.get_sample_value(name, labels)


def test_every_job_that_is_not_done_with_is_counted_once(make_manager: MakeManager) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hold(data: Any) -> None:
        began.set()
        go_on.wait(30)

    manager = make_manager(
        executors={"a": hold, "b": fail, "c": Executor(fail, max_attempts=2, backoff=Backoff(base=60))}
    )
    manager.create_many({"type": "later", "data": n, "delay": 60} for n in range(3))
    manager.create_many({"type": "b", "data": n} for n in range(4))
    manager.create("c")
    manager.create("a", 1)
    manager.run_all("b", "c")
    last = manager.create("a", 2, priority=-1)
    with WorkerPool(manager, ["a"], threads=1):
        assert began.wait(30)
        until(lambda: manager.backlog().of("a").running == 1)
        backlog = manager.backlog()
        go_on.set()
        manager.wait(last.id, 30)
    assert backlog.of("later") == TypeBacklog(scheduled=3)
    assert backlog.of("b") == TypeBacklog(failed=4)
    assert backlog.of("c") == TypeBacklog(scheduled=1), "a retry that waits is not due"
    held = backlog.of("a")
    assert (held.due + held.claimed, held.running) == (1, 1)
    assert backlog.of("nobody's") == TypeBacklog()
    assert (backlog.total.scheduled, backlog.total.failed) == (4, 4)
    assert manager.backlog().of("a") == TypeBacklog(), "finished jobs are not counted"


def test_the_age_is_that_of_the_oldest_due_job_of_any_priority(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    now = datetime.now(UTC)
    manager.create("a", 1, priority=9, run_at=now - timedelta(seconds=100))
    manager.create("a", 2, priority=0, run_at=now - timedelta(seconds=900))
    manager.create("a", 3, priority=5, run_at=now + timedelta(seconds=900))
    manager.create("b", 1, delay=60)
    backlog = manager.backlog()
    assert 900 <= backlog.of("a").oldest_due_age < 960
    assert (backlog.of("a").due, backlog.of("a").scheduled) == (2, 1)
    assert backlog.of("b").oldest_due_age == 0
    assert backlog.total.oldest_due_age == backlog.of("a").oldest_due_age


def test_what_others_wrote_into_the_collection_is_not_counted(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    manager.create("a")
    jobs.insert_many([{"state": "pending"}, {"state": "pending", "type": 7}, {"lease_until": 1}, {"x": 1}])
    jobs.insert_many([{"lease_until": 1, "type": "a"}, {"lease_until": 1, "type": "a", "state": ["x"]}])
    late = DatetimeMS(2**60)  # beyond the year 9999
    jobs.insert_many({"state": state, "type": late} for state in ("pending", "waiting", "failed"))
    jobs.insert_one({"state": "running", "type": late, "lease_until": datetime.now(UTC)})
    jobs.insert_one({"state": "pending", "type": "a", "priority": late, "run_at": late})
    backlog = manager.backlog()
    assert dict(backlog.types) == {"a": backlog.of("a")}
    assert (backlog.total.due, backlog.total.scheduled) == (1, 1), "that one says that it is of this type"


def test_jobs_that_wait_for_others_are_counted_by_their_keys(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    first = manager.create("a")
    manager.create_many({"type": "b", "data": n, "after": [first.id]} for n in range(5))
    backlog = manager.backlog()
    assert (backlog.of("b"), backlog.total.waiting) == (TypeBacklog(waiting=5), 5)
    count: list[dict[str, Any]] = [
        {"$match": {"state": "waiting"}},
        {"$group": {"_id": "$type", "jobs": {"$sum": 1}}},
    ]
    explained = jobs.database.command(
        "explain",
        {"aggregate": jobs.name, "pipeline": count, "hint": "jobpool_waiting", "cursor": {}},
        verbosity="executionStats",
    )
    stats = explained.get("executionStats") or explained["stages"][0]["$cursor"]["executionStats"]
    assert stats["totalDocsExamined"] == 0


def test_counting_looks_at_keys_alone(make_manager: MakeManager, jobs: Jobs) -> None:
    """No job is read, finished ones not even as keys: only what pools hold, which is little."""
    manager = make_manager()
    manager.create_many({"type": "a", "data": n} for n in range(50))
    commands: list[dict[str, Any]] = [
        {"count": jobs.name, "query": {"state": "pending", "type": "a"}, "hint": "jobpool_claim"},
        {"count": jobs.name, "query": {"state": "failed", "type": "a"}, "hint": "jobpool_failed"},
        {"distinct": jobs.name, "key": "type", "query": {"state": "pending"}},
        {"distinct": jobs.name, "key": "type", "query": {"state": "failed"}},
    ]
    for command in commands:
        plan = jobs.database.command("explain", command, verbosity="executionStats")["executionStats"]
        assert plan["totalDocsExamined"] == 0, command


def test_a_pool_is_alive_from_its_start_to_its_end(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": fail})
    pools = jobs.database[f"{jobs.name}.pools"]
    with WorkerPool(manager, name="first", threads=3), WorkerPool(manager, name="second"):
        until(lambda: manager.backlog().pools_alive == 2)
        (first,) = pools.find({"name": "first"})
        assert (first["types"], first["threads"]) == (["a"], 3)
    assert manager.backlog().pools_alive == 0
    assert pools.count_documents({}) == 0


def test_a_pool_that_was_killed_is_not_alive_for_long_and_forgotten_in_the_end(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager(executors={"a": fail})
    manager.ensure_indexes()
    store, pools = manager.store, jobs.database[f"{jobs.name}.pools"]
    cards = [PoolCard(id, "p", "host", 1, ("a",), 1) for id in ("killed", "long ago", "ended")]
    store.presence.announce(cards[1], -2 * 86400)
    store.presence.announce(cards[0], 0.2)
    assert [pool["_id"] for pool in pools.find()] == ["killed"], "forgotten by the next pool's first word"
    store.presence.announce(cards[2], 60)
    until(lambda: manager.backlog().pools_alive == 1)
    store.presence.withdraw(cards[2], timeout=5)
    assert [pool["_id"] for pool in pools.find()] == ["killed"]


def test_a_pool_shows_the_view_and_its_types_without_jobs(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": fail, "idle": fail})
    manager.create("elsewhere")
    with WorkerPool(manager):
        until(lambda: value(manager, "jobpool_pools_alive") == 1)
        for state in STATES:
            assert value(manager, "jobpool_backlog_jobs", type="idle", state=state) == 0
        assert value(manager, "jobpool_backlog_jobs", type="elsewhere", state="due") == 1
        assert value(manager, "jobpool_oldest_due_age_seconds", type="elsewhere") > 0  # type: ignore[operator]
        assert value(manager, "jobpool_backlog_last_refresh_timestamp_seconds")
        assert value(manager, "jobpool_backlog_refresh_seconds") is not None


def test_a_view_that_nobody_keeps_up_is_not_shown(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": fail})
    manager.create("elsewhere")
    with WorkerPool(manager, name="one", backlog_interval=0.1):
        with WorkerPool(manager, name="two"):
            until(lambda: value(manager, "jobpool_pools_alive") == 2)
        assert value(manager, "jobpool_backlog_jobs", type="elsewhere", state="due") == 1
    assert value(manager, "jobpool_backlog_jobs", type="elsewhere", state="due") is None
    assert value(manager, "jobpool_pools_alive") is None


def test_a_count_of_what_is_not_there_creates_nothing(make_manager: MakeManager, jobs: Jobs) -> None:
    assert make_manager().backlog().total == TypeBacklog()
    assert jobs.database.list_collection_names() == []


def test_a_pool_that_does_not_count_still_says_that_it_lives(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": fail})
    with WorkerPool(manager, backlog_interval=0):
        until(lambda: manager.backlog().pools_alive == 1)
    assert value(manager, "jobpool_pools_alive") is None


@pytest.mark.parametrize("counting", [0.05, 3600])
def test_a_pool_is_not_alive_for_longer_because_counts_are_rare_or_fail(
    make_manager: MakeManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, counting: float
) -> None:
    manager = make_manager(executors={"a": fail})
    asked = threading.Event()

    def refuse(**_: Any) -> None:
        asked.set()
        raise StoreUnavailable("took too long")

    monkeypatch.setattr(manager.store.census, "backlog", refuse)
    pools = jobs.database[f"{jobs.name}.pools"]
    with WorkerPool(manager, backlog_interval=counting):
        assert asked.wait(30)
        (pool,) = pools.find()
        assert pool["fresh_until"] - pool["seen_at"] <= timedelta(seconds=35)
    assert pools.count_documents({}) == 0, "it has taken its word back"


def test_a_count_that_fails_is_told_once_and_jobs_run_on(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    asked = threading.Semaphore(0)

    def refuse(**_: Any) -> None:
        asked.release()
        raise StoreUnavailable("took too long")

    monkeypatch.setattr(manager.store.census, "backlog", refuse)
    with caplog.at_level("INFO", "jobpool"), WorkerPool(manager, backlog_interval=0.05) as pool:
        for _ in range(3):
            assert asked.acquire(timeout=30)
        assert manager.wait(manager.create("a").id, 30).state == "succeeded"
        assert pool.health().is_ready
    assert sum("the cluster view" in line for line in caplog.messages) == 1


def test_turnaround_counts_from_first_due_through_retries(make_manager: MakeManager, jobs: Jobs) -> None:
    calls = []

    def second_time(data: Any) -> None:
        calls.append(data)
        if len(calls) == 1:
            raise ValueError

    manager = make_manager(executors={"a": Executor(second_time, max_attempts=2, backoff=Backoff(base=0))})
    due = datetime.now(UTC) - timedelta(seconds=500)
    id = manager.create("a", run_at=due).id
    assert manager.run() is not None
    (stored,) = jobs.find({"_id": id})
    assert stored["due_at"].replace(tzinfo=UTC) - due < timedelta(seconds=1)
    assert value(manager, "jobpool_job_turnaround_seconds_count", type="a") is None
    with WorkerPool(manager):
        manager.wait(id, 30)
    assert value(manager, "jobpool_job_turnaround_seconds_count", type="a") == 1
    assert value(manager, "jobpool_job_turnaround_seconds_sum", type="a") > 499  # type: ignore[operator]
