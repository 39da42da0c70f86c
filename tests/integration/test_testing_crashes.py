"""`kill_between` and `expire_leases` of `jobpool.testing`: what a killed process leaves, and what comes of it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from jobpool import Backoff, Executor, JobManager, current_job
from jobpool.errors import LeaseLost
from jobpool.testing import expire_leases, kill_between, run_all, travel

from ..conftest import Jobs, MakeManager
from ..waiting import until


class Effects:
    """An executor that notes its attempts."""

    def __init__(self) -> None:
        self.attempts: list[int] = []

    def __call__(self, data: Any) -> str:
        self.attempts.append(current_job().attempt)
        return "done"


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture
def manager(make_manager: MakeManager, effects: Effects) -> JobManager:
    """A manager whose jobs may be attempted twice, at once."""
    return make_manager(executors={"a": Executor(effects, max_attempts=2, backoff=Backoff(base=0))})


@pytest.mark.parametrize(
    ("after", "before", "state", "attempts", "ran", "then_ran"),
    [
        ("claim", "start", "claimed", 0, [], [1]),
        ("start", "executor", "running", 1, [], [2]),
        ("executor", "finish", "running", 1, [1], [1, 2]),
    ],
)
def test_the_claim_stays_as_a_killed_process_leaves_it(
    manager: JobManager,
    jobs: Jobs,
    effects: Effects,
    after: str,
    before: str,
    state: str,
    attempts: int,
    ran: list[int],
    then_ran: list[int],
) -> None:
    id = manager.create("a").id
    with kill_between(manager, after, before) as kill:
        manager.run()
        raise AssertionError("the process is dead")
    assert (kill.struck, kill.id) == (True, id)
    stored = jobs.find_one({"_id": id})
    assert stored is not None
    assert (stored["state"], stored["attempts"], stored["pool"]) == (state, attempts, "run")
    assert stored["claim"]
    assert stored["lease_until"]
    assert effects.attempts == ran
    assert manager.run() is None, "it is still leased"

    (taken,) = expire_leases(manager)
    assert (taken.id, taken.state, taken.attempts) == (id, "pending", attempts)
    job = manager.run()
    assert job is not None
    assert (job.state, job.result, job.fence) == ("succeeded", "done", 2)
    assert effects.attempts == then_ran


def test_the_reply_of_the_finish_is_lost_and_the_job_is_done(manager: JobManager, effects: Effects) -> None:
    id = manager.create("a").id
    with kill_between(manager, "finish", "reply"):
        manager.run()
    assert manager.get(id).state == "succeeded"
    assert expire_leases(manager) == []
    assert manager.run() is None
    assert effects.attempts == [1]


def test_the_next_attempt_is_due_at_once_however_far_the_clock_is_behind(manager: JobManager) -> None:
    manager.create("a")
    with kill_between(manager, "executor", "finish"):
        manager.run()
    clock = manager.store.clock
    clock.learn(clock.now() - timedelta(seconds=5))  # it is an estimate, never ahead of the server
    expire_leases(manager)
    assert manager.run() is not None


def test_a_job_with_one_attempt_fails_with_worker_lost(make_manager: MakeManager, effects: Effects) -> None:
    manager = make_manager(executors={"a": effects})
    manager.create("a")
    with kill_between(manager, "executor", "finish"):
        run_all(manager)
    (job,) = expire_leases(manager)
    assert job.error is not None
    assert (job.state, job.error.type, effects.attempts) == ("failed", "WorkerLost", [1])


def test_only_the_first_job_is_struck_and_the_others_go_on(manager: JobManager, effects: Effects) -> None:
    manager.create_many([{"type": "a", "data": n} for n in range(3)])
    with kill_between(manager, "start", "executor") as kill:
        manager.run_all()
    assert manager.count(state="pending") == 2
    assert manager.run_all() == 2
    assert [job.id for job in expire_leases(manager)] == [kill.id]


def test_nothing_the_dead_thread_does_on_its_way_out_is_applied(manager: JobManager, jobs: Jobs) -> None:
    id = manager.create("a").id
    with kill_between(manager, "claim", "start"):
        try:
            manager.run()
        except BaseException:
            stored = jobs.find_one({"_id": id})
            manager.run()  # claims nothing, as nothing is due
            raise
    assert jobs.find_one({"_id": id}) == stored


def test_the_retry_waits_for_its_backoff_unless_one_travels(make_manager: MakeManager, effects: Effects) -> None:
    rules = Executor(effects, max_attempts=3, backoff=Backoff(base=100, jitter=0))
    manager = make_manager(executors={"a": rules})
    manager.create("a")
    with kill_between(manager, "executor", "finish"):
        manager.run()
    expire_leases(manager)
    assert manager.run() is None
    with travel(manager, seconds=101):
        assert manager.run() is not None
    assert effects.attempts == [1, 2]


def test_run_all_comes_to_the_retry_by_itself(make_manager: MakeManager, effects: Effects) -> None:
    manager = make_manager(executors={"a": Executor(effects, max_attempts=3, backoff=Backoff(base=100))})
    manager.create("a")
    with kill_between(manager, "executor", "finish"):
        manager.run()
    expire_leases(manager)
    assert [job.state for job in run_all(manager, retries=True)] == ["succeeded"]
    assert effects.attempts == [1, 2]


def test_the_fence_refuses_who_was_taken_for_dead(manager: JobManager) -> None:
    """The first run goes on behind the end of its lease, as a paused process does; its outcome is refused."""
    seen: list[int] = []

    def slow(data: Any) -> None:
        seen.append(current_job().fence)
        if len(seen) == 1:
            expire_leases(manager)
            manager.run("slow")

    manager.executor("slow", max_attempts=2, backoff=Backoff(base=0))(slow)
    id = manager.create("slow").id
    with pytest.raises(LeaseLost):
        manager.run("slow")
    assert seen == [1, 2]
    assert (manager.get(id).state, manager.get(id).fence) == ("succeeded", 2)


def test_other_threads_are_not_struck(manager: JobManager, effects: Effects) -> None:
    def run_elsewhere() -> None:
        with kill_between(manager, "claim", "start"):
            thread = threading.Thread(target=manager.run)
            thread.start()
            thread.join()

    id = manager.create("a").id
    with pytest.raises(AssertionError, match="Pools are not struck"):
        run_elsewhere()
    assert manager.get(id).state == "succeeded"


def test_a_pool_beside_it_runs_on(manager: JobManager, effects: Effects) -> None:
    pool_ran = threading.Event()
    manager.executor("pool")(lambda data: pool_ran.set())
    manager.start_watch("pool", threads=1)
    manager.create("a")
    with kill_between(manager, "executor", "finish"):
        id = manager.create("pool").id
        assert manager.wait(id, timeout=30).state == "succeeded"
        manager.run("a")
    assert pool_ran.is_set()
    again = manager.create("pool", "again").id
    until(lambda: manager.get(again).state == "succeeded")
    assert [job.type for job in expire_leases(manager)] == ["a"]


def test_the_death_of_an_attempt_that_failed_is_not_its_failure(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": Executor(lambda data: 1 / 0, max_attempts=2)})
    id = manager.create("a").id
    with kill_between(manager, "executor", "finish"):
        manager.run()
    job = manager.get(id)
    assert (job.state, job.errors) == ("running", ())


def test_expiring_the_leases_of_nothing_returns_nothing(manager: JobManager) -> None:
    manager.create("a")
    assert expire_leases(manager) == []
