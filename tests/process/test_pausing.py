"""Workers in processes of their own obey a pause, whatever becomes of them and of those who steer."""

from __future__ import annotations

import signal
import subprocess
import sys

from jobpool import JobManager, State

from ..conftest import Jobs
from ..waiting import until
from .conftest import ROOT, StartWorker

LEASE = "1"


def ran(notes: list[str]) -> list[str]:
    return sorted(note for note in notes if note.startswith("ran"))


def test_all_processes_obey_and_what_begins_after_the_pause_is_nothing(
    manager: JobManager, jobs: Jobs, start_worker: StartWorker
) -> None:
    """Two workers under load: when both have said that they know, the pause is a fact until the resume."""
    workers = [start_worker("--threads", "4", "--name", name) for name in ("one", "two")]
    for worker in workers:
        worker.wait_for_line("threads for")
    ids = manager.create_many([{"type": "quick", "data": n} for n in range(4000)]).ids
    workers[0].wait_for("ran", 100)
    paused = manager.pause("quick", reason="the test says so")
    for worker in workers:
        assert "the test says so" in worker.wait_for_line("paused")
    until(lambda: not manager.count(type="quick", state="running"), "the end of what ran")
    until(lambda: not manager.count(type="quick", state="claimed"), "the release of what waited")
    done = manager.count(type="quick", state="succeeded")
    assert 100 <= done < 4000, "the pause came in the middle"
    manager.create_many([{"type": "quick", "data": n} for n in range(4000, 4100)])
    manager.wait_many([manager.create("talkative", n).id for n in range(10)], 30)
    assert manager.count(type="quick", state="succeeded") == done
    assert jobs.count_documents({"type": "quick", "state": "pending", "attempts": 0}) == 4100 - done
    (last,) = jobs.find({"type": "quick", "started_at": {"$exists": True}}).sort("started_at", -1).limit(1)
    print(
        f"\nlast start {(last['started_at'] - paused.types['quick'].since).total_seconds():.3f} s after the pause"
    )
    manager.resume()
    until(lambda: manager.count(type="quick", state="succeeded") == 4100, "the rest", patience=60)
    assert ran(workers[0].notes()) == sorted(f"ran {n}" for n in range(4100))
    assert len(ids) == 4000


def test_a_worker_killed_in_a_pause_loses_nothing_and_the_next_one_obeys_as_well(
    manager: JobManager, start_worker: StartWorker
) -> None:
    """It ran a job; that comes back by its lease, and is not begun again before the resume."""
    id = manager.create("once_endless", 1).id
    first = start_worker("--lease", LEASE)
    first.wait_for("began 1 1")
    manager.pause()
    first.wait_for_line("paused")
    first.send(signal.SIGKILL)
    first.end()
    second = start_worker("--lease", LEASE, "--threads", "2")
    until(lambda: manager.get(id).state is State.PENDING, "the reaper of the next one")
    second.wait_for_line("took back 1 jobs")
    waiting = manager.create("quick", "meanwhile").id
    third = start_worker("--burst")
    assert third.end()[0] == 0, "there is nothing it may run"
    assert manager.get(waiting).state is State.PENDING
    assert second.notes() == ["began 1 1"]
    manager.resume("quick")
    assert second.notes() == ["began 1 1"], "everything is paused, quick or not"
    manager.resume()
    job = manager.wait(id, 30)
    assert (job.state, job.attempts) == (State.SUCCEEDED, 2)
    manager.wait(waiting, 30)
    assert sorted(second.notes()) == ["began 1 1", "began 1 2", "ran meanwhile"]


STEER = """
import os, sys
from jobpool import JobManager
manager = JobManager(os.environ["TEST_DATABASE"], uri=os.environ["JOBPOOL_URI"])
n = 0
while True:
    n += 1
    manager.pause("quick", reason=str(n))
    manager.pause("endless")
    print(n, flush=True)
    manager.resume("quick", "endless")
"""


def test_who_steers_may_be_killed_at_any_time(
    manager: JobManager, start_worker: StartWorker, environment: dict[str, str]
) -> None:
    """Each time what is paused is one of the states between its calls, and a resume by others ends it."""
    worker = start_worker("--threads", "2")
    manager.wait(manager.create("quick", "first").id, 30)
    for round in range(4):
        steering = subprocess.Popen(
            [sys.executable, "-c", STEER], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert steering.stdout is not None
        for _ in range(round + 1):
            assert steering.stdout.readline()
        steering.kill()
        steering.communicate()
        paused = manager.paused()
        assert set(paused.types) in ({"quick"}, {"quick", "endless"}, set())
        assert paused.everything is None
        manager.resume()
        job = manager.create("quick", f"after {round}")
        assert manager.wait(job.id, 30).state is State.SUCCEEDED
    assert len(ran(worker.notes())) == 5
