"""A pool runs other types than at its start, while it works."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from jobpool import Executor, JobManager, WorkerPool
from jobpool.errors import InvalidConfiguration, InvalidJob, PoolStateError, UnknownType

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .test_accounting import Gate, taking_ahead, ways_out
from .test_pausing import Count, jobs_of, know, look_again


@pytest.fixture
def count() -> Count:
    return Count()


@pytest.fixture
def manager(make_manager: MakeManager, count: Count) -> JobManager:
    return make_manager(executors={"a": count, "b": count, "c": count})


def test_a_type_that_is_added_is_run(manager: JobManager, count: Count, jobs: Jobs) -> None:
    waiting = manager.create_many(jobs_of("b", 5)).ids
    with WorkerPool(manager, ["a"]) as pool:
        manager.wait(manager.create("a", "a").id, PATIENCE)
        look_again(pool)
        assert (pool.types, set(count.ran)) == (("a",), {"a"})
        assert pool.add_types("b") == pool.types == ("a", "b")
        manager.wait_many(waiting, PATIENCE)
        manager.wait(manager.create("b", "more").id, PATIENCE)
        pools = jobs.database["jobs.pools"]
        until(lambda: pools.count_documents({"types": ["a", "b"]}), "the word to the others")
        assert pool.add_types("b", "a") == ("a", "b"), "repeating changes nothing"
    assert set(count.ran.values()) == {1}


def test_an_added_type_is_heard_of_by_push(make_manager: MakeManager, count: Count) -> None:
    """Not by polling: that is once an hour here."""
    producer = make_manager()
    manager = make_manager(executors={"a": count, "b": count})
    with WorkerPool(manager, ["a"], poll_interval=3600) as pool:
        pool._parts.fetcher._poll = 3600
        until(lambda: manager.wakeups.pushing_since(), "the stream")
        pool.add_types("b")
        until(lambda: pool._parts.fetcher._served.claimed == ("a", "b"))
        until(lambda: pool._parts.fetcher.waiting)
        for n in range(3):
            producer.wait(producer.create("b", n).id, PATIENCE)
        pool.remove_types("a")
        producer.wait(producer.create("b", "more").id, PATIENCE)
    assert set(count.ran.values()) == {1}


def test_an_executor_may_be_registered_while_the_pool_runs(manager: JobManager) -> None:
    ran: list[Any] = []
    with WorkerPool(manager) as pool:
        with pytest.raises(UnknownType, match="no executor for type 'late'"):
            pool.add_types("a", "late")
        manager.executor("late", aliases=["later"])(ran.append)
        assert pool.types == ("a", "b", "c"), "it is not run before it is added"
        assert pool.add_types("late") == ("a", "b", "c", "late", "later")
        manager.wait_many([manager.create("late", 1).id, manager.create("later", 2).id], PATIENCE)
        assert pool.remove_types("late") == ("a", "b", "c")
    assert sorted(ran) == [1, 2]


def test_what_is_removed_is_claimed_no_more_and_what_runs_goes_on(make_manager: MakeManager, jobs: Jobs) -> None:
    gate, count = Gate(), Count()
    manager = make_manager(executors={"a": gate, "b": count, "another": print})
    manager.create_many(jobs_of("a", 30))
    with taking_ahead(manager, starting=False) as pool, WorkerPool(manager, ["b"], name="other"):
        until(lambda: gate.entered and len(pool._parts.queue) > 5, "jobs taken ahead")
        assert pool.remove_types("a") == ("b", "another")
        assert jobs.count_documents({"state": "pending", "attempts": 0}) >= 28
        until(lambda: jobs.count_documents({"state": "pending", "attempts": 0}) == 29, "the release of all others")
        gate.opened.set()
        until(lambda: manager.count(state="succeeded") == 1)
        manager.wait(manager.create("b", 1).id, PATIENCE)
        look_again(pool)
        assert len(gate.entered) == 1
        pool.add_types("a")
        until(lambda: manager.count(type="a", state="succeeded") == 30)
        report = pool.stop()
    assert ways_out(manager, report)["succeeded"] == 31
    assert {job.attempts for job in manager.find()} == {1}


def test_a_pool_without_types_is_idle_and_well(manager: JobManager, count: Count, jobs: Jobs) -> None:
    with WorkerPool(manager) as pool:
        assert pool.remove_types("a", "b", "c") == ()
        ids = manager.create_many(jobs_of("a", 5)).ids
        look_again(pool)
        assert jobs.count_documents({"fence": {"$ne": 0}}) == 0
        assert (pool.types, pool.health().is_ready, pool.health().facts) == ((), True, {})
        assert pool.remove_types("a") == ()
        pool.add_types("a")
        manager.wait_many(ids, PATIENCE)
    assert set(count.ran.values()) == {1}


def test_an_added_type_that_is_paused_waits_for_its_resume(manager: JobManager, count: Count) -> None:
    with WorkerPool(manager, ["a"]) as pool:
        know(pool, paused=manager.pause("b"))
        pool.add_types("b")
        id = manager.create("b", "b").id
        look_again(pool)
        assert (pool.types, pool.health().facts, count.ran) == (("a", "b"), {"paused": "'b'"}, {})
        manager.resume("b")
        manager.wait(id, PATIENCE)


def test_the_time_limits_of_an_added_type_hold(make_manager: MakeManager) -> None:
    """Shorter ones than the watchdog had to look for at the start, and another retention of results."""
    told = threading.Event()

    def slow(data: Any) -> None:
        told.wait(PATIENCE)

    manager = make_manager(executors={"a": print, "slow": Executor(slow, timeout=0.1, grace=0.1, keep_result=60)})
    with WorkerPool(manager, ["a"]) as pool:
        assert (pool._parts.serving.now.shortest, pool._parts.serving.now.results) == (float("inf"), False)
        pool.add_types("slow")
        assert (pool._parts.serving.now.shortest, pool._parts.serving.now.results) == (0.1, True)
        job = manager.wait(manager.create("slow").id, PATIENCE)
        assert job.error is not None
        assert job.error.type == "TimedOut"
        pool.remove_types("slow")
        assert pool._parts.serving.now.shortest == 0.1, "one may still run"
        told.set()


def test_types_change_under_load_and_every_job_runs_once(manager: JobManager, count: Count, jobs: Jobs) -> None:
    """Three threads add and remove them, each its own and all together, while two pools work."""
    manager.create_many([*jobs_of("a", 700), *jobs_of("b", 700), *jobs_of("c", 700)])
    over = threading.Event()

    def change(types: tuple[str, ...]) -> None:
        while not over.is_set():
            for pool in (one, two):
                pool.remove_types(*types)
            for pool in (one, two):
                pool.add_types(*types)

    changing = [threading.Thread(target=change, args=(types,)) for types in (("a",), ("b", "c"), ("c", "a"))]
    with WorkerPool(manager, threads=4) as one, WorkerPool(manager, ["a"], threads=4) as two:
        for thread in changing:
            thread.start()
        until(lambda: manager.count(state="succeeded") > 700, patience=90)
        over.set()
        for thread in changing:
            thread.join()
        one.add_types("a", "b", "c")
        until(lambda: manager.count(state="succeeded") == 2100, patience=90)
        assert set(one.types) == {"a", "b", "c"}
        reports = [one.stop(), two.stop()]
    assert set(count.ran.values()) == {1}
    assert ways_out(manager, *reports)["succeeded"] == 2100
    assert jobs.count_documents({"attempts": {"$ne": 1}}) == 0


def test_a_change_is_refused_by_a_pool_that_ends(manager: JobManager) -> None:
    pool = WorkerPool(manager, ["a"])
    assert pool.add_types("b") == ("a", "b"), "before the start it is good as well"
    pool.start()
    with pytest.raises(InvalidConfiguration, match="at least one"):
        pool.add_types()
    with pytest.raises(InvalidConfiguration, match="at least one"):
        pool.remove_types()
    with pytest.raises(InvalidJob):
        pool.add_types("")
    with pytest.raises(UnknownType):
        pool.remove_types("unheard of")
    assert pool.drain(PATIENCE)
    for change in (pool.add_types, pool.remove_types):
        with pytest.raises(PoolStateError, match="draining"):
            change("c")
    pool.stop()
    with pytest.raises(PoolStateError, match="stopped"):
        pool.add_types("c")
    assert pool.types == ("a", "b")


def test_an_executor_that_cannot_run_in_a_child_process_is_not_added(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    with WorkerPool(manager) as pool:
        manager.executors.register("isolated", Executor(vanishing, isolation="process"))
        kept = globals().pop("vanishing")
        try:
            with pytest.raises(InvalidConfiguration):
                pool.add_types("isolated")
        finally:
            globals()["vanishing"] = kept
        assert pool.types == ("a",)


def vanishing(data: Any) -> None:
    """Run in a child process."""


def test_the_counters_of_an_added_type_are_there_from_0_on(manager: JobManager) -> None:
    with WorkerPool(manager, ["a"]) as pool:
        name, labels = "jobpool_attempts_total", {"type": "b", "outcome": "succeeded"}
        assert manager.metrics.registry.get_sample_value(name, labels) is None
        pool.add_types("b")
        assert manager.metrics.registry.get_sample_value(name, labels) == 0
