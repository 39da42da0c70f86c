"""Every write to a held job is conditional on its claim."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobpool import Backoff, JobManager, State
from jobpool.job import Claim, JobError
from jobpool.outcome import Finish, Outcome
from jobpool.store import Store
from jobpool.store.transitions import Start

from ..conftest import Jobs, MakeManager
from .conftest import TakeOne, begin, claims_of, request

FAILURE = JobError("ValueError", "no", "trace", 1)
OUTCOMES = {
    "succeeded": Outcome(),
    "with a result": Outcome(result={"$x": 1, "a.b": 2}),
    "failed": Outcome(error=FAILURE),
    "retried": Outcome(error=FAILURE, retry_after=60.0),
}
every_outcome = pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    manager = make_manager()
    manager.create("a", 1)
    return manager


@pytest.fixture
def store(manager: JobManager) -> Store:
    return manager.store


def expire(jobs: Jobs) -> None:
    """Let every lease be over, by the server's clock."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    jobs.update_many({"lease_until": {"$exists": True}}, {"$set": {"lease_until": past}})


def snapshot(jobs: Jobs) -> list[dict[str, Any]]:
    return list(jobs.find())


def test_start_spends_an_attempt(store: Store, take: TakeOne, manager: JobManager) -> None:
    claim = take()
    assert manager.get(claim.id).attempts == 0
    backoff = Backoff(base=3)
    assert store.transitions.start([Start(claim, 4, backoff)]) == {claim}
    job = manager.get(claim.id)
    assert (job.state, job.attempts, job.max_attempts) == (State.RUNNING, 1, 4)
    assert job.started_at is not None


def test_a_job_keeps_the_max_attempts_it_was_created_with(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    id = manager.create("a", 7, max_attempts=9).id
    manager.run()
    assert manager.get(id).max_attempts == 9


def test_a_repeated_start_is_recognised_and_spends_no_second_attempt(
    store: Store, take: TakeOne, manager: JobManager
) -> None:
    claim = take()
    assert begin(store, claim) == begin(store, claim) == {claim}
    assert manager.get(claim.id).attempts == 1


@every_outcome
def test_a_repeated_finish_is_recognised_and_changes_nothing(
    store: Store, take: TakeOne, jobs: Jobs, outcome: Outcome
) -> None:
    claim = take()
    begin(store, claim)
    finish = Finish(claim, outcome)
    assert store.transitions.finish([finish]) == {claim}
    before = snapshot(jobs)
    assert store.transitions.finish([finish]) == {claim}
    assert snapshot(jobs) == before


def test_a_repeated_retry_is_recognised_after_the_next_claim(store: Store, take: TakeOne, jobs: Jobs) -> None:
    claim = take()
    begin(store, claim, max_attempts=2)
    finish = Finish(claim, Outcome(error=FAILURE, retry_after=0.0))
    store.transitions.finish([finish])
    take()
    before = snapshot(jobs)
    assert store.transitions.finish([finish]) == {claim}
    assert snapshot(jobs) == before


@every_outcome
def test_a_finish_after_a_reap_is_refused(store: Store, take: TakeOne, jobs: Jobs, outcome: Outcome) -> None:
    claim = take()
    begin(store, claim)
    expire(jobs)
    store.reaping.reap()
    before = snapshot(jobs)
    assert store.transitions.finish([Finish(claim, outcome)]) == set()
    assert snapshot(jobs) == before
    assert before[0]["state"] == "failed"


@every_outcome
def test_a_finish_under_an_older_claim_is_refused(
    store: Store, take: TakeOne, jobs: Jobs, outcome: Outcome
) -> None:
    old = take()
    begin(store, old, max_attempts=2)
    expire(jobs)
    store.reaping.reap()
    jobs.update_many({}, {"$set": {"run_at": datetime.now(UTC) - timedelta(seconds=1)}})
    new = take()
    begin(store, new, max_attempts=2)
    before = snapshot(jobs)
    assert store.transitions.finish([Finish(old, outcome)]) == set()
    assert snapshot(jobs) == before
    assert store.transitions.finish([Finish(new, outcome)]) == {new}


def test_a_start_after_a_reap_is_refused(store: Store, take: TakeOne, jobs: Jobs) -> None:
    claim = take()
    expire(jobs)
    store.reaping.reap()
    before = snapshot(jobs)
    assert begin(store, claim) == set()
    assert snapshot(jobs) == before
    assert before[0]["state"] == "pending"


def test_a_start_under_an_older_claim_is_refused(store: Store, take: TakeOne, jobs: Jobs) -> None:
    old = take()
    store.transitions.release([old])
    new = take()
    before = snapshot(jobs)
    assert begin(store, old) == set()
    assert snapshot(jobs) == before
    assert begin(store, new) == {new}


def test_a_finish_before_the_start_is_not_applied(store: Store, take: TakeOne, jobs: Jobs) -> None:
    claim = take()
    before = snapshot(jobs)
    with pytest.raises(Exception, match="not confirmed"):
        store.transitions.finish([Finish(claim, Outcome())])
    assert snapshot(jobs) == before


def test_extending_tells_held_from_lost(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    manager.create_many([{"type": "a", "data": n} for n in range(3)])
    held, reaped, removed = claims_of(manager.store.strategy("batch").claim(request(3)))
    jobs.update_one({"_id": reaped.id}, {"$set": {"state": "pending"}, "$unset": {"claim": ""}})
    jobs.delete_one({"_id": removed.id})
    assert manager.store.transitions.extend([held, reaped, removed], 300.0) == {held}
    until = manager.get(held.id).lease_until
    assert until is not None
    assert (until - datetime.now(UTC)).total_seconds() > 200
    assert manager.get(reaped.id).lease_until is not None, "left as it was"


def test_extending_under_an_older_claim_changes_nothing(store: Store, take: TakeOne, jobs: Jobs) -> None:
    old = take()
    store.transitions.release([old])
    take()
    before = snapshot(jobs)
    assert store.transitions.extend([old], 300.0) == set()
    assert snapshot(jobs) == before


def test_a_release_spends_no_attempt_and_is_claimable_at_once(
    store: Store, take: TakeOne, manager: JobManager, jobs: Jobs
) -> None:
    claim = take()
    store.transitions.release([claim])
    stored = jobs.find_one({"_id": claim.id})
    assert stored is not None
    assert not {"claim", "pool", "lease_until"} & set(stored)
    assert (manager.get(claim.id).state, manager.get(claim.id).attempts) == (State.PENDING, 0)
    assert take().fence == claim.fence + 1


def test_a_release_of_a_started_job_gives_its_attempt_back(
    store: Store, take: TakeOne, manager: JobManager
) -> None:
    claim = take()
    begin(store, claim)
    store.transitions.release([claim])
    job = manager.get(claim.id)
    assert (job.state, job.attempts, job.started_at) == (State.PENDING, 0, None)


def test_a_release_under_an_older_claim_changes_nothing(store: Store, take: TakeOne, jobs: Jobs) -> None:
    old = take()
    store.transitions.release([old])
    take()
    before = snapshot(jobs)
    store.transitions.release([old])
    assert snapshot(jobs) == before


def test_a_result_is_stored_as_a_value_never_evaluated(store: Store, take: TakeOne, manager: JobManager) -> None:
    claim = take()
    begin(store, claim)
    result = {"$function": {"body": "function() { return 1 }", "args": [], "lang": "js"}, "x": "$secret"}
    store.transitions.finish([Finish(claim, Outcome(result=result))])
    assert manager.get(claim.id).result == result


def test_the_last_ten_errors_are_kept(make_manager: MakeManager, jobs: Jobs) -> None:
    count = 0

    def fail(data: object) -> None:
        nonlocal count
        count += 1
        raise ValueError(f"number {count}")

    manager = make_manager()
    manager.executor("a", max_attempts=12, backoff=Backoff(base=0))(fail)
    id = manager.create("a", 1).id
    assert manager.run_all() == 12
    job = manager.get(id)
    assert [error.message for error in job.errors] == [f"number {n}" for n in range(3, 13)]
    assert [error.attempt for error in job.errors] == list(range(3, 13))
    assert job.error == job.errors[-1]


def test_one_group_tells_every_claim_apart(make_manager: MakeManager, jobs: Jobs) -> None:
    """Of three finishes in one command, the stale one is refused and the others stand."""
    manager = make_manager()
    manager.create_many([{"type": "a", "data": n} for n in range(3)])
    store = manager.store
    claims = claims_of(store.strategy("batch").claim(request(3)))
    begin(store, *claims)
    stale = Claim(claims[1].id, "another token", claims[1].fence)
    finishes = [Finish(claims[0], Outcome()), Finish(stale, Outcome()), Finish(claims[2], Outcome(result=1))]
    assert store.transitions.finish(finishes) == {claims[0], claims[2]}
    assert manager.get(claims[1].id).state is State.RUNNING
