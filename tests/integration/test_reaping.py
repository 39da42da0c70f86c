"""What becomes of jobs whose holder is gone."""

from __future__ import annotations

from datetime import UTC, datetime

import bson
import pytest

from jobpool import Backoff, JobManager, State
from jobpool.store import Store
from jobpool.store.reaping import ROUND
from jobpool.store.transitions import Start

from ..conftest import Jobs, MakeManager
from .conftest import TakeOne, begin
from .test_transitions import expire, snapshot


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    manager = make_manager()
    manager.create("a", 1)
    return manager


@pytest.fixture
def store(manager: JobManager) -> Store:
    return manager.store


def test_a_live_lease_is_not_reaped(store: Store, take: TakeOne, jobs: Jobs) -> None:
    begin(store, take())
    before = snapshot(jobs)
    assert store.reaping.reap() == []
    assert snapshot(jobs) == before


def test_a_claimed_job_is_pending_again_and_spent_no_attempt(
    store: Store, take: TakeOne, manager: JobManager, jobs: Jobs
) -> None:
    claim = take()
    expire(jobs)
    (reaped,) = store.reaping.reap()
    assert (reaped.type, reaped.result, reaped.jobs) == ("a", "requeued", 1)
    job = manager.get(claim.id)
    assert (job.state, job.attempts, job.pool, job.lease_until) == (State.PENDING, 0, None, None)
    assert take().fence == claim.fence + 1


def test_a_running_job_without_attempts_left_fails_with_worker_lost(
    store: Store, take: TakeOne, manager: JobManager, jobs: Jobs
) -> None:
    claim = take()
    begin(store, claim)
    expire(jobs)
    (reaped,) = store.reaping.reap()
    assert (reaped.result, reaped.jobs) == ("failed", 1)
    job = manager.get(claim.id)
    assert job.state is State.FAILED
    assert job.error is not None
    assert (job.error.type, job.error.attempt) == ("WorkerLost", 1)
    assert "test" in job.error.message
    assert job.errors == (job.error,)
    assert job.finished_at is not None


def test_a_running_job_with_attempts_left_is_due_again_after_its_own_backoff(
    store: Store, take: TakeOne, manager: JobManager, jobs: Jobs
) -> None:
    """The reaping pool need not know the type: the numbers are on the job."""
    claim = take()
    store.transitions.start([Start(claim, 3, Backoff(base=100, factor=2, longest=1000, jitter=0.1))])
    expire(jobs)
    store.reaping.reap()
    job = manager.get(claim.id)
    assert (job.state, job.attempts, job.errors[0].type) == (State.PENDING, 1, "WorkerLost")
    delay = (job.run_at - datetime.now(UTC)).total_seconds()
    assert 80 < delay <= 100


def test_reaping_twice_is_reaping_once(store: Store, take: TakeOne, jobs: Jobs) -> None:
    begin(store, take())
    expire(jobs)
    store.reaping.reap()
    before = snapshot(jobs)
    assert store.reaping.reap() == []
    assert snapshot(jobs) == before


def test_more_jobs_than_one_round_are_all_reaped(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    total = 2 * ROUND + 5
    manager.create_many([{"type": f"t{n % 3}", "data": n} for n in range(total)])
    jobs.update_many(
        {}, {"$set": {"state": "claimed", "claim": "x", "lease_until": datetime(2020, 1, 1, tzinfo=UTC)}}
    )
    assert sum(item.jobs for item in manager.store.reaping.reap()) == total
    assert manager.count(state="pending") == total


def test_the_reaper_reads_only_expired_leases(store: Store, take: TakeOne, jobs: Jobs) -> None:
    from jobpool.store.indexes import LEASE_INDEX
    from jobpool.store.reaping import EXPIRED

    take()
    explained = jobs.find(EXPIRED).hint(LEASE_INDEX).explain()["executionStats"]
    assert explained["totalKeysExamined"] <= 1
    assert explained["totalDocsExamined"] == 0


def test_one_job_that_cannot_be_written_to_does_not_keep_the_others_from_it(
    store: Store, take: TakeOne, manager: JobManager, jobs: Jobs
) -> None:
    """Its document is as large as MongoDB's may be: there is no room for one more error."""
    manager.create_many([{"type": "a", "data": n} for n in range(2, 6)])
    claims = [take() for _ in range(5)]
    begin(store, *claims)
    large = claims[2].id
    room = 16 * 1024 * 1024 - len(bson.encode(jobs.find_one({"_id": large}) or {}))
    jobs.update_one({"_id": large}, {"$set": {"checkpoint": "x" * (room - 100)}})
    expire(jobs)
    store.reaping.reap()  # what a refused statement had done before is done, and counted by nobody
    assert {job.state for job in manager.find()} == {State.FAILED}
    assert manager.get(large).checkpoint is None
    assert store.reaping.reap() == []


@pytest.mark.parametrize("id", [{"no": "text"}, 5, None], ids=str)
def test_an_id_that_is_no_text_keeps_no_job_from_being_reaped(
    store: Store, take: TakeOne, manager: JobManager, jobs: Jobs, id: object
) -> None:
    claim = take()
    expire(jobs)
    jobs.insert_one({**(jobs.find_one() or {}), "_id": id})
    (reaped,) = store.reaping.reap()
    assert (reaped.result, reaped.jobs) == ("requeued", 2)
    assert manager.get(claim.id).state is State.PENDING


@pytest.mark.parametrize("kept", [float("nan"), float("inf"), -5, 1e300, "long"])
def test_nonsense_about_its_retention_does_not_keep_a_job_from_being_reaped(
    store: Store, take: TakeOne, manager: JobManager, jobs: Jobs, kept: object
) -> None:
    claim = take()
    begin(store, claim)
    jobs.update_one({}, {"$set": {"keep_failed": kept}})
    expire(jobs)
    assert len(store.reaping.reap()) == 1
    job = manager.get(claim.id)
    assert (job.state, job.expire_at) == (State.FAILED, None)
