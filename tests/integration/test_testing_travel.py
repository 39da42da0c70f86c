"""Time travel of `jobpool.testing`: creation and claims go by the travelling clock, leases do not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobpool import Backoff, Executor, current_job
from jobpool.testing import travel
from jobpool.testing.travelling import active, end_of_test

from ..conftest import Jobs, MakeManager
from ..waiting import until

HOUR = timedelta(hours=1)


def test_a_scheduled_job_becomes_due(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    id = manager.create("a", delay=2 * 3600).id
    with travel(manager, hours=1, minutes=59):
        assert manager.run() is None
    with travel(manager, hours=2):
        job = manager.run()
    assert job is not None
    assert (job.id, job.state) == (id, "succeeded")


def test_a_travel_goes_farther_step_by_step(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    later = manager.create("a", delay=7200)
    with travel(manager) as clock:
        clock.forward(3600)
        assert manager.run() is None
        clock.to(later.run_at)
        assert clock.now() >= later.run_at
        assert manager.run() is not None
        before = clock.ahead
        clock.to(later.run_at - HOUR)
        assert clock.ahead == before, "it does not go back"


def test_the_manager_is_back_after_a_block_that_raised(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    manager.create("a", delay=3600)
    with pytest.raises(ZeroDivisionError), travel(manager, days=1):
        1 / 0  # noqa: B018
    assert manager.run() is None


def test_travels_of_one_manager_add_up(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    first = travel(manager, hours=1)
    with travel(manager, hours=1) as second:
        distant = manager.create("a", delay=1)
        first.back()
        near = manager.create("b", delay=1)
        assert HOUR / 2 < distant.run_at - near.run_at < HOUR * 3 / 2
        assert second.ahead == HOUR
    assert manager.create("c").run_at < near.run_at - HOUR / 2


def test_new_jobs_and_retries_are_of_the_later_time(make_manager: MakeManager) -> None:
    def work(data: object) -> int:
        if current_job().attempt == 1:
            raise OSError
        return current_job().attempt

    manager = make_manager(executors={"a": Executor(work, max_attempts=2, backoff=Backoff(base=60, jitter=0))})
    here = manager.create("b")
    with travel(manager, hours=1) as clock:
        created = manager.create("a", delay=60)
        assert created.created_at - here.created_at >= HOUR
        assert created.run_at - created.created_at == timedelta(seconds=60)
        clock.forward(minutes=1)
        retried = manager.run()
        assert retried is not None
        assert retried.run_at - created.run_at >= timedelta(seconds=60)
        assert manager.run() is None
        clock.forward(minutes=1)
        assert manager.run() is not None


def test_leases_are_not_touched(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    kept: list[bool] = []

    def work(data: object) -> None:
        with travel(manager, days=365):
            manager.store.reaping.reap()
        kept.append(bool(jobs.count_documents({"state": "running", "lease_until": {"$exists": True}})))

    manager.executor("a")(work)
    manager.create("a")
    job = manager.run()
    assert job is not None
    assert (job.state, kept) == ("succeeded", [True])


def test_other_managers_stay_where_they_are(make_manager: MakeManager) -> None:
    traveller, other = make_manager(executors={"a": print}), make_manager(executors={"a": print})
    traveller.create("a", delay=60)
    with travel(traveller, minutes=2):
        assert other.run() is None
        assert traveller.run() is not None


@pytest.mark.parametrize("strategy", ["single", "batch", "window"])
def test_a_running_pool_finds_what_has_become_due(make_manager: MakeManager, strategy: str) -> None:
    manager = make_manager(executors={"a": print})
    ids = [manager.create("a", n, delay=3600).id for n in range(5)]
    pool = manager.start_watch(threads=2, strategy=strategy, poll_interval=60)
    assert pool.wait_drained(30)
    assert manager.count(state="pending") == 5
    with travel(manager, hours=1):
        assert [manager.wait(id, timeout=30).state for id in ids] == ["succeeded"] * 5


def test_pools_are_told_to_look(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    pool = manager.start_watch(threads=1, push=False)
    assert pool.wait_drained(30)
    told = 'jobpool_wakeups_total{pool="default",source="local"} 1.0'
    with travel(manager, hours=1):
        until(lambda: told in manager.exposition()[1].decode())
    assert told in manager.exposition()[1].decode(), "once, and not for going back"


def test_a_pool_started_in_the_later_time_finds_it_as_well(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    id = manager.create("a", delay=3600).id
    with travel(manager, hours=1):
        manager.start_watch(threads=2)
        assert manager.wait(id, timeout=30).state == "succeeded"


def test_the_backlog_is_of_the_later_time(make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.create("a", delay=3600)
    with travel(manager, hours=2):
        (here,) = manager.backlog().types.values()
    (there,) = manager.backlog().types.values()
    assert (here.due, there.due) == (1, 0)


def test_the_end_of_a_test_ends_what_has_no_block(make_manager: MakeManager) -> None:
    manager = make_manager()
    with travel(manager, hours=1) as kept:
        loose = travel(manager, hours=1)
        end_of_test()
        assert active() == (kept,)
        assert loose not in active()
    assert active() == ()


def test_a_travel_may_end_behind_its_manager(make_manager: MakeManager) -> None:
    manager = make_manager()
    with travel(manager, hours=1):
        manager.close()
    assert active() == ()
