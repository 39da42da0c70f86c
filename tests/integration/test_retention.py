"""What is kept, and for how long: for ever unless an executor, or somebody who purges, says otherwise."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from jobpool import Cancel, Executor, Job, State, WorkerPool
from jobpool.errors import InvalidConfiguration
from jobpool.store import Store
from jobpool.store.driver import run

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .conftest import TakeOne
from .test_transitions import expire


def work(data: str) -> str | None:
    if data == "fail":
        raise ValueError
    if data == "cancel":
        raise Cancel
    return None if data == "nothing" else data


KEPT = {"succeed": 1000.0, "nothing": 1000.0, "fail": 2000.0, "cancel": 3000.0}
RULES = {"keep_succeeded": 1000, "keep_failed": 2000, "keep_cancelled": 3000}


def kept_for(job: Job) -> float | None:
    """Return the seconds from a job's end to its deletion."""
    if job.expire_at is None or job.finished_at is None:
        return None
    return round((job.expire_at - job.finished_at).total_seconds())


@pytest.mark.parametrize("pool", [True, False], ids=["pool", "run"])
def test_a_job_goes_when_its_type_says(make_manager: MakeManager, pool: bool) -> None:
    manager = make_manager(executors={"a": Executor(work, **RULES)})  # type: ignore[arg-type]
    jobs = [manager.create("a", data) for data in KEPT]
    if pool:
        with WorkerPool(manager):
            manager.wait_many(jobs, PATIENCE)
    manager.run_all()
    assert {job.data: kept_for(job) for job in manager.find()} == KEPT


def test_everything_is_kept_unless_somebody_says_otherwise(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": work})
    for data in KEPT:
        manager.create("a", data)
    manager.run_all()
    assert {job.expire_at for job in manager.find()} == {None}


def test_types_that_are_claimed_together_keep_their_own(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": Executor(work, keep_succeeded=1000), "b": work})
    manager.create_many(
        [{"type": type, "data": "nothing", "id": f"{type}{n}"} for n in range(20) for type in "ab"]
    )
    with WorkerPool(manager):
        until(lambda: manager.count(state="succeeded") == 40)
    assert {kept_for(job) for job in manager.find(type="a")} == {1000}
    assert {kept_for(job) for job in manager.find(type="b")} == {None}


def test_who_is_reaped_and_fails_goes_as_well(
    make_manager: MakeManager, store: Store, jobs: Jobs, take: TakeOne
) -> None:
    """The pool that reaps need not have the executor: the start has written what it needs."""
    from jobpool.store.transitions import Start

    make_manager().create("a")
    store.transitions.start([Start(take(), 1, None, keep_failed=2000.0)])
    expire(jobs)
    store.reaping.reap()
    (job,) = make_manager().find()
    assert (job.state, kept_for(job)) == (State.FAILED, 2000)


def test_who_is_cancelled_by_somebody_else_goes_as_well(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": Executor(work, keep_cancelled=3000)})
    one, other = manager.create("a", 1), manager.create("b", 1)
    many = manager.create_many([{"type": "a", "data": n} for n in range(2, 4)]).ids
    stranger = make_manager()
    assert kept_for(stranger.cancel(one.id)) == 3000
    assert kept_for(stranger.cancel(other.id)) is None
    stranger.cancel_many(ids=many)
    assert [kept_for(stranger.get(id)) for id in many] == [3000, 3000]


def test_mongodb_deletes_what_is_over(make_manager: MakeManager, client: Any) -> None:
    """Its own sweep, every minute by default, is made to come at once."""
    manager = make_manager(executors={"a": Executor(work, keep_succeeded=0), "b": work})
    gone, kept = manager.create("a", "x"), manager.create("b", "x")
    manager.run_all()
    before = client.admin.command("getParameter", ttlMonitorSleepSecs=1)["ttlMonitorSleepSecs"]
    client.admin.command("setParameter", ttlMonitorSleepSecs=1)
    try:
        until(lambda: not manager.count(ids=[gone.id]), patience=90)
    finally:
        client.admin.command("setParameter", ttlMonitorSleepSecs=before)
    assert manager.get(kept.id).state is State.SUCCEEDED


def test_a_revived_job_is_kept_again(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": Executor(work, keep_failed=1000)})
    manager.create("a", "fail")
    manager.run()
    assert manager.create("a", "fail", on_duplicate="revive").expire_at is None


def test_a_result_goes_before_its_job(make_manager: MakeManager, store: Store, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": Executor(work, keep_result=1000), "b": work})
    one, other = manager.create("a", "x"), manager.create("b", "x")
    nothing = manager.create("a", "nothing")
    manager.run_all()
    assert manager.get(nothing.id).result_until is None
    job = manager.get(one.id)
    assert job.result == "x"
    assert job.result_until is not None
    assert job.finished_at is not None
    assert round((job.result_until - job.finished_at).total_seconds()) == 1000
    assert run(store.purging.expire_results()) == 0
    jobs.update_one({"_id": one.id}, {"$set": {"result_until": job.finished_at - timedelta(seconds=1)}})
    assert run(store.purging.expire_results()) == 1
    job = manager.get(one.id)
    assert (job.state, job.result, job.result_until) == (State.SUCCEEDED, None, None)
    assert job.result_error == "it was deleted after its retention"
    assert manager.get(other.id).result == "x"


def test_a_pool_with_such_a_type_deletes_results(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": Executor(work, keep_result=0)})
    id = manager.create("a", "x").id
    with WorkerPool(manager, reap_interval=0.1):
        until(lambda: manager.get(id).result_error)
    assert manager.get(id).state is State.SUCCEEDED


def test_purge_deletes_final_jobs_by_their_age(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": work})
    for data in ("fail", "cancel", "x", "y"):
        manager.create("a", data)
    manager.run_all()
    manager.create("a", "pending")
    assert manager.purge(1000) == 0
    jobs.update_many(
        {"data": {"$in": ["fail", "x"]}}, [{"$set": {"finished_at": {"$add": ["$$NOW", -2_000_000]}}}]
    )
    assert manager.purge(1000, state="failed") == 1
    assert manager.purge(1000, type="b") == 0
    assert manager.purge(1000) == 1
    assert sorted(job.data for job in manager.find()) == ["cancel", "pending", "y"]
    assert manager.purge(0) == 2
    assert manager.count() == 1


def test_purge_goes_round_by_round(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    manager.create_many([{"type": "a", "data": n} for n in range(4500)])
    manager.cancel_many(type="a")
    assert manager.purge(0, type="a") == 4500
    assert jobs.estimated_document_count() == 0


def test_what_another_manager_ended_a_moment_ago_is_old_enough(make_manager: MakeManager) -> None:
    """Our idea of the server's time may be behind that: by more than what passed since."""
    other, manager = make_manager(), make_manager()
    other.create_many([{"type": "a", "data": n} for n in range(3)])
    assert manager.count() == 3
    manager.store.clock.learn(other.store.clock.now() - timedelta(seconds=5))
    other.cancel_many(all=True)
    assert sum(len(page) for page in manager.pages(to="purge", older_than=0)) == 3
    manager.store.clock.learn(other.store.clock.now() - timedelta(seconds=5))
    assert manager.purge(0) == 3


def test_purge_wants_an_age(make_manager: MakeManager) -> None:
    with pytest.raises(InvalidConfiguration, match="older_than"):
        make_manager().purge(-1)


def test_whoever_creates_a_job_need_not_know_its_type(make_manager: MakeManager) -> None:
    """What is not known at the create is there from the start on."""
    manager = make_manager(executors={"a": Executor(work, keep_cancelled=3000, max_attempts=2, backoff=1000)})
    id = make_manager().create("a", "fail").id
    manager.run()
    assert manager.get(id).state is State.PENDING
    assert kept_for(make_manager().cancel(id)) == 3000
