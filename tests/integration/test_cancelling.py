"""Cancelling from anywhere: what waits ends at once, what runs is told, and nothing runs again after it."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobpool import Executor, JobManager, Snooze, State, WorkerPool, current_job
from jobpool.errors import InvalidConfiguration, JobNotFound
from jobpool.job import Claim
from jobpool.outcome import Finish, Outcome
from jobpool.store import Store
from jobpool.store.driver import run

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .conftest import TakeOne, begin
from .test_transitions import expire


class Running:
    """An executor that says when it runs, and goes on until it is told to end, or let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.told: list[str] = []
        self.calls = 0

    def __call__(self, data: Any) -> str:
        self.calls += 1
        self.entered.set()
        job = current_job()
        try:
            while not self.release.is_set():
                job.wait(0.02)
        except BaseException as error:
            self.told.append(type(error).__name__)
            assert job.cancelled
            raise
        return "done"


@pytest.fixture
def running() -> Running:
    return Running()


def test_a_pending_job_is_cancelled_at_once(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": print})
    now, later = manager.create("a", 1), manager.create("a", 2, delay=1000)
    for id in (now.id, later.id):
        job = manager.cancel(id)
        assert (job.state, job.cancel_requested_at) == (State.CANCELLED, None)
        assert job.finished_at is not None
    assert manager.run() is None


def test_a_claimed_job_is_cancelled_before_it_starts(
    make_manager: MakeManager, store: Store, take: TakeOne
) -> None:
    manager = make_manager()
    id = manager.create("a").id
    claim = take()
    assert manager.cancel(id).state is State.CANCELLED
    assert begin(store, claim) == set(), "its holder cannot start it any more"
    store.transitions.release([claim])
    job = manager.get(id)
    assert (job.state, job.attempts, job.pool, job.lease_until) == (State.CANCELLED, 0, None, None)


def test_a_running_job_is_told(make_manager: MakeManager, running: Running) -> None:
    manager = make_manager(executors={"a": Executor(running, max_attempts=5, backoff=0)})
    with WorkerPool(manager):
        id = manager.create("a").id
        assert running.entered.wait(PATIENCE)
        asked = make_manager().cancel(id)  # by another manager: as from another process
        assert asked.state is State.RUNNING
        assert asked.cancel_requested_at is not None
        job = manager.wait(id, PATIENCE)
    assert (job.state, job.attempts, running.told, running.calls) == (State.CANCELLED, 1, ["JobCancelled"], 1)
    assert job.error_count == 0


def test_a_running_coroutine_is_cancelled(make_manager: MakeManager) -> None:
    entered = threading.Event()

    async def work(data: Any) -> None:
        entered.set()
        await asyncio.sleep(PATIENCE)

    manager = make_manager(executors={"a": Executor(work, max_attempts=5, backoff=0)})
    with WorkerPool(manager):
        id = manager.create("a").id
        assert entered.wait(PATIENCE)
        manager.cancel(id)
        job = manager.wait(id, PATIENCE)
    assert (job.state, job.attempts) == (State.CANCELLED, 1)


def test_a_job_that_runs_in_the_calling_thread_is_told(make_manager: MakeManager, running: Running) -> None:
    manager = make_manager(executors={"a": running})
    id = manager.create("a").id
    canceller = threading.Thread(target=lambda: running.entered.wait(PATIENCE) and make_manager().cancel(id))
    canceller.start()
    job = manager.run()
    canceller.join()
    assert job is not None
    assert (job.state, running.told) == (State.CANCELLED, ["JobCancelled"])


def test_one_that_does_not_listen_may_succeed(make_manager: MakeManager) -> None:
    entered, release = threading.Event(), threading.Event()

    def work(data: Any) -> str:
        entered.set()
        assert release.wait(PATIENCE)
        return "done"

    manager = make_manager(executors={"a": work})
    with WorkerPool(manager):
        id = manager.create("a").id
        assert entered.wait(PATIENCE)
        manager.cancel(id)
        release.set()
        job = manager.wait(id, PATIENCE)
    assert (job.state, job.result) == (State.SUCCEEDED, "done")
    assert job.cancel_requested_at is not None


@pytest.mark.parametrize("error", [ValueError("later"), Snooze(0)], ids=["retry", "snooze"])
def test_no_attempt_follows_one_that_was_asked_to_end(make_manager: MakeManager, error: Exception) -> None:
    """Its pool need not have heard of it: the store knows."""
    manager = make_manager()

    def work(data: Any) -> None:
        manager.cancel(current_job().id)
        raise error

    worker = make_manager(executors={"a": Executor(work, max_attempts=5, backoff=0)})
    id = manager.create("a").id
    with WorkerPool(worker):
        job = manager.wait(id, PATIENCE)
    assert (job.state, job.attempts) == (State.CANCELLED, 1)
    assert job.error_count == isinstance(error, ValueError)


def test_a_repeat_of_a_refused_retry_is_recognised(store: Store, take: TakeOne, make_manager: MakeManager) -> None:
    manager = make_manager()
    id = manager.create("a").id
    claim = take()
    begin(store, claim, max_attempts=3)
    manager.cancel(id)
    retry = [Finish(claim, Outcome(snoozed=True, retry_after=0.0), datetime.now(UTC))]
    assert store.transitions.finish(retry) == {claim}
    assert store.transitions.finish(retry) == {claim}
    assert manager.get(id).state is State.CANCELLED


def test_the_reaper_ends_what_was_asked_to_end(
    store: Store, take: TakeOne, make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager()
    id = manager.create("a").id
    claim = take()
    begin(store, claim, max_attempts=3)
    manager.cancel(id)
    expire(jobs)
    assert [(item.result, item.jobs) for item in store.reaping.reap()] == [("cancelled", 1)]
    job = manager.get(id)
    assert (job.state, job.attempts, [error.type for error in job.errors]) == (State.CANCELLED, 1, ["WorkerLost"])


def test_a_release_ends_what_was_asked_to_end(store: Store, take: TakeOne, make_manager: MakeManager) -> None:
    """A job marked running whose executor was never called."""
    manager = make_manager()
    id = manager.create("a").id
    claim = take()
    begin(store, claim)
    manager.cancel(id)
    store.transitions.release([claim])
    job = manager.get(id)
    assert (job.state, job.attempts) == (State.CANCELLED, 0)
    assert job.finished_at is not None


def test_only_the_claims_that_run_are_found(store: Store, take: TakeOne, make_manager: MakeManager) -> None:
    manager = make_manager()
    first, second = manager.create("a", 1), manager.create("a", 2)
    claims = [take(), take()]
    begin(store, *claims)
    manager.cancel(first.id)
    stale = Claim(first.id, "another token", 1)
    asked = run(store.cancelling.asked_to_end([*claims, stale]))
    assert {claim.id for claim in asked} <= {first.id}
    assert run(store.cancelling.asked_to_end(claims)) == {claim for claim in claims if claim.id == first.id}
    assert manager.get(second.id).cancel_requested_at is None


def test_a_final_job_stays_as_it_is(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    id = manager.create("a", 1).id
    manager.run()
    before = manager.get(id)
    assert manager.cancel(id) == before
    with pytest.raises(JobNotFound):
        manager.cancel("nobody")


def test_many_are_cancelled_by_what_is_meant(make_manager: MakeManager, running: Running) -> None:
    manager = make_manager(executors={"run": running})
    manager.create_many([{"type": "a", "data": n} for n in range(4500)])
    manager.create_many([{"type": "b", "data": n} for n in range(3)])
    with WorkerPool(manager):
        id = manager.create("run").id
        assert running.entered.wait(PATIENCE)
        answer = manager.cancel_many(type="a")
        assert (answer.ended, answer.asked) == (4500, 0)
        answer = manager.cancel_many(all=True)
        assert (answer.ended, answer.asked) == (3, 1)
        assert manager.wait(id, PATIENCE).state is State.CANCELLED
    answer = manager.cancel_many(all=True)
    assert (answer.ended, answer.asked) == (0, 0)
    with pytest.raises(InvalidConfiguration, match="say all=True"):
        manager.cancel_many()


def test_a_cancelled_job_can_be_revived(make_manager: MakeManager, running: Running) -> None:
    manager = make_manager(executors={"a": running})
    with WorkerPool(manager):
        id = manager.create("a").id
        assert running.entered.wait(PATIENCE)
        manager.cancel(id)
        assert manager.wait(id, PATIENCE).state is State.CANCELLED
        running.release.set()
        manager.create("a", on_duplicate="revive")
        job = manager.wait(id, PATIENCE)
    assert (job.state, job.cancel_requested_at, job.attempts) == (State.SUCCEEDED, None, 1)


def test_cancelling_while_everything_moves_ends_every_job_once(make_manager: MakeManager) -> None:
    """Jobs that retry all the time are cancelled from several threads: each ends, and none runs after it."""
    manager = make_manager()

    def work(data: Any) -> None:
        raise ValueError

    worker = make_manager(executors={"a": Executor(work, max_attempts=1000, backoff=0)})
    ids = [manager.create("a", n).id for n in range(40)]
    with WorkerPool(worker, threads=4):
        until(lambda: manager.get(ids[-1]).attempts > 1)
        threads = [
            threading.Thread(target=lambda part=part: [manager.cancel(id) for id in part])
            for part in (ids[::2], ids[1::2], ids)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        jobs = manager.wait_many(ids, PATIENCE)
        attempts = {job.id: job.attempts for job in jobs}
        assert {job.state for job in jobs} == {State.CANCELLED}
        manager.create("a", "one more")
        until(lambda: manager.find(limit=1)[0].attempts > 3)
        assert {id: manager.get(id).attempts for id in ids} == attempts


def test_times_are_those_of_the_server(make_manager: MakeManager) -> None:
    manager: JobManager = make_manager()
    job = manager.cancel(manager.create("a").id)
    assert job.finished_at is not None
    assert timedelta(0) <= job.finished_at - job.created_at < timedelta(seconds=PATIENCE)


def test_the_next_job_of_a_thread_is_not_cancelled_in_place_of_one_that_has_ended(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's answer comes late: by then the thread awaits another coroutine."""
    entered = {n: threading.Event() for n in range(2)}
    gates = {n: threading.Event() for n in range(2)}

    async def work(data: int) -> int:
        entered[data].set()
        while not gates[data].is_set():
            await asyncio.sleep(0.01)
        return data

    manager = make_manager(executors={"a": work})
    cancelling = manager.store.cancelling
    asked_to_end, late = cancelling.asked_to_end, threading.Event()

    async def answers_late(claims: Any, **options: Any) -> Any:
        asked = await asked_to_end(claims, **options)
        if asked:
            gates[0].set()
            assert entered[1].wait(PATIENCE)
            late.set()
        return asked

    monkeypatch.setattr(cancelling, "asked_to_end", answers_late)
    with WorkerPool(manager, threads=1):
        first = manager.create("a", 0)
        assert entered[0].wait(PATIENCE)
        second = manager.create("a", 1)
        manager.cancel(first.id)
        assert late.wait(PATIENCE)
        until(lambda: manager.get(first.id).state.final)
        gates[1].set()
        assert manager.wait(second.id, PATIENCE).result == 1


def test_a_claim_is_found_beside_an_older_one_of_the_same_job(
    store: Store, take: TakeOne, make_manager: MakeManager
) -> None:
    manager = make_manager()
    id = manager.create("a").id
    claim = take()
    begin(store, claim)
    manager.cancel(id)
    older = Claim(id, "older", 0)
    assert run(store.cancelling.asked_to_end([claim, older])) == {claim}
    assert run(store.cancelling.asked_to_end([older, claim])) == {claim}
