"""Workers that die, and what becomes of their jobs."""

from __future__ import annotations

import signal

import pytest

from jobpool import JobManager, State

from ..conftest import Jobs
from ..waiting import until
from .conftest import StartWorker

LEASE = "1"


def test_a_killed_worker_loses_nothing_and_spends_only_what_it_had_started(
    manager: JobManager, jobs: Jobs, start_worker: StartWorker
) -> None:
    """Two jobs run, others are queued; those run elsewhere, unspent, and the two fail with WorkerLost."""
    # Quick ones first: so the pool learns to claim ahead of its threads.
    manager.create_many([{"type": "quick", "data": f"first {n}", "priority": 2} for n in range(100)])
    worker = start_worker("--threads", "2", "--lease", LEASE)
    worker.wait_for("ran first", 100)
    ids = manager.create_many([{"type": "endless", "data": n, "priority": 1} for n in range(30)]).ids
    worker.wait_for("began", 2)
    worker.send(signal.SIGKILL)
    worker.end()
    held = list(jobs.find({"state": {"$in": ["claimed", "running"]}}))
    started = {document["_id"] for document in held if document["state"] == "running"}
    assert len(started) >= 2, "the fault struck while executors ran"
    manager.create_many([{"type": "quick", "data": f"later {n}"} for n in range(20)])
    second = start_worker("--types", "quick", "--threads", "2", "--lease", LEASE)
    second.wait_for("ran later", 20)
    until(lambda: manager.count(state="running") == manager.count(state="claimed") == 0, "the reaper")
    for job in manager.find(ids=ids, limit=100):
        if job.id in started:
            assert (job.state, job.attempts) == (State.FAILED, 1)
            assert job.error is not None
            assert job.error.type == "WorkerLost"
        else:
            assert (job.state, job.attempts) == (State.PENDING, 0)


def test_a_killed_attempt_is_retried_elsewhere_if_attempts_are_left(
    manager: JobManager, start_worker: StartWorker
) -> None:
    id = manager.create("once_endless", 1).id
    worker = start_worker("--lease", LEASE)
    worker.wait_for("began 1 1")
    start_worker("--lease", LEASE)
    worker.send(signal.SIGKILL)
    job = manager.wait(id, 30)
    assert (job.state, job.attempts, job.fence) == (State.SUCCEEDED, 2, 2)
    assert [error.type for error in job.errors] == ["WorkerLost"]
    assert worker.notes() == ["began 1 1", "began 1 2"]


@pytest.mark.parametrize("kill_after", [0, 20, 150])
def test_kills_under_load_run_every_job_at_most_once(
    manager: JobManager, start_worker: StartWorker, kill_after: int
) -> None:
    total = 400
    manager.create_many([{"type": "quick", "data": n} for n in range(total)])
    worker = start_worker("--lease", LEASE, "--threads", "4")
    worker.wait_for("ran", kill_after)
    worker.send(signal.SIGKILL)
    worker.end()
    last = start_worker("--lease", LEASE)
    until(
        lambda: manager.count(state="succeeded") + manager.count(state="failed") == total,
        "the end of all jobs",
    )
    ran = [note for note in last.notes() if note.startswith("ran")]
    assert len(ran) == len(set(ran)), "an executor was called twice"
    # A job that was started and not called, or called and not recorded, is failed; it is not lost.
    failed = manager.find(state="failed", limit=1000)
    assert {job.error.type for job in failed if job.error} <= {"WorkerLost"}
    assert {job.attempts for job in manager.find(limit=1000)} == {1}
    assert len(ran) >= manager.count(state="succeeded")


def test_a_paused_worker_finds_its_claim_lost_and_changes_nothing(
    manager: JobManager, jobs: Jobs, start_worker: StartWorker, environment: dict[str, str]
) -> None:
    """SIGSTOP for longer than the lease: another attempt runs, and the first one's outcome is refused."""
    id = manager.create("until_released", 7, max_attempts=2).id
    paused = start_worker("--lease", LEASE, "--name", "paused")
    paused.wait_for("began 7 1")
    paused.send(signal.SIGSTOP)
    other = start_worker("--lease", LEASE, "--name", "other")
    other.wait_for("began 7 2")
    paused.send(signal.SIGCONT)
    open(environment["TEST_RELEASE"], "w").close()
    job = manager.wait(id, 30)
    other.wait_for("ended 7", 2)
    paused.send(signal.SIGTERM)
    code, log = paused.end()
    assert code == 0
    assert "lost" in log
    assert (job.state, job.attempts, job.pool) == (State.SUCCEEDED, 2, "other")
    assert manager.get(id) == job, "the late outcome changed nothing"
