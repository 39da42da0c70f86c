"""Processes that die or sleep while they fire schedules."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager, State
from jobpool.embedded import EmbeddedMongo

from ..conftest import Jobs, MakeManager
from ..waiting import until
from .conftest import ROOT, StartWorker
from .firing import STEPS

Client = MongoClient[dict[str, Any]]
StartFiring = Callable[..., subprocess.Popen[str]]
#: The server ends the transaction of a dead client by itself; a second is the least that it can be told.
LIFETIME = "transactionLifetimeLimitSeconds"


@pytest.fixture
def short_transactions(client: Client) -> Iterator[None]:
    before = client.admin.command({"getParameter": 1, LIFETIME: 1})[LIFETIME]
    client.admin.command({"setParameter": 1, LIFETIME: 1})
    yield
    client.admin.command({"setParameter": 1, LIFETIME: before})


@pytest.fixture
def start_firing(environment: dict[str, str]) -> Iterator[StartFiring]:
    """Start processes of `tests.process.firing`; whatever is left of them is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(step: str, name: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.firing", step, name],
            env={**environment, **variables},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    return make_manager(executors={"a": lambda data: data})


def overdue(manager: JobManager) -> datetime:
    """Store an hourly schedule that is due since a minute, and return since when."""
    manager.schedule("s", 3600, "a")
    due = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
    stored = manager.store._connection.jobs.database["jobs.schedules"]
    stored.update_one({}, {"$set": {"next_at": due, "anchor": due}})
    return due


def fire(manager: JobManager, due: datetime) -> None:
    """Fire until the schedule has moved on; the transaction of another may hold it for a while."""

    def moved() -> bool:
        manager.schedules.fire_due()
        return manager.schedules.get("s").next_at == due + timedelta(hours=1)

    until(moved, "the firing")


def is_stopped(process: subprocess.Popen[str]) -> bool:
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


@pytest.mark.usefixtures("short_transactions")
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_one_job_for_the_due_time(
    manager: JobManager, start_firing: StartFiring, step: str
) -> None:
    due = overdue(manager)
    killed = start_firing(step, "SIGKILL")
    assert killed.wait(60) == -signal.SIGKILL
    assert manager.count() == (step == "committed"), "both or nothing"
    fire(manager, due)
    assert manager.run_all() == 1
    assert [job.id for job in manager.find()] == [f"s@{due.isoformat().replace('+00:00', 'Z')}"]
    made = manager.schedules.get("s")
    assert made.skipped == 0
    assert made.last is not None
    assert made.last.state is State.SUCCEEDED


@pytest.mark.usefixtures("short_transactions")
@pytest.mark.parametrize("step", [step for step in STEPS if step != "committed"])
def test_who_sleeps_while_the_job_is_run_and_removed_does_not_make_it_again(
    manager: JobManager, start_firing: StartFiring, step: str
) -> None:
    due = overdue(manager)
    asleep = start_firing(step, "SIGSTOP")
    until(lambda: is_stopped(asleep), "the sleep")
    fire(manager, due)
    assert manager.run_all() == 1
    assert manager.remove_many(all=True) == 1
    asleep.send_signal(signal.SIGCONT)
    output, _ = asleep.communicate(timeout=60)
    assert output == "0\n", "it fired nothing"
    assert manager.count() == 0
    assert manager.schedules.fire_due() == 0


@pytest.fixture(scope="module")
def standalone() -> Iterator[EmbeddedMongo]:
    with EmbeddedMongo(replicated=False) as server:
        yield server


@pytest.mark.parametrize("step", STEPS)
def test_without_transactions_a_kill_at_any_step_leaves_one_job_as_well(
    standalone: EmbeddedMongo, make_manager: MakeManager, start_firing: StartFiring, step: str, database: str
) -> None:
    manager = make_manager(database, uri=standalone.uri, executors={"a": lambda data: data})
    due = overdue(manager)
    killed = start_firing(step, "SIGKILL", JOBPOOL_URI=standalone.uri)
    assert killed.wait(60) == -signal.SIGKILL
    # It was created first: of a schedule that was moved on, and nothing else, nobody would know.
    assert manager.count() == (step != "read")
    ran = manager.run_all()
    fire(manager, due)
    assert ran + manager.run_all() == 1
    assert manager.count() == 1


def test_pools_of_processes_that_die_and_sleep_fire_every_second_once(
    manager: JobManager, jobs: Jobs, start_worker: StartWorker
) -> None:
    workers = [
        start_worker("--types", "quick", "--threads", "2", "--lease", "2", "--name", name) for name in "xyz"
    ]
    manager.schedule("second", 1.0, "quick", "tick", catch_up="all", overlap="allow")

    def fired(count: int) -> None:
        until(lambda: jobs.count_documents({}) >= count, f"{count} firings")

    fired(2)
    workers[0].send(signal.SIGKILL)
    workers[1].send(signal.SIGSTOP)
    fired(5)
    workers[1].send(signal.SIGCONT)
    fired(7)
    manager.schedules.pause("second")
    until(lambda: not jobs.count_documents({"state": {"$nin": ["succeeded", "failed"]}}), "the ends")
    due = sorted(job["run_at"] for job in jobs.find())
    assert due == [due[0] + timedelta(seconds=n) for n in range(len(due))], "none is left out, none is there twice"
    assert {job["attempts"] for job in jobs.find()} == {1}
    ran = sum(note.startswith("ran tick") for note in workers[0].notes())
    lost = jobs.count_documents({"state": "failed", "error.type": "WorkerLost"})
    assert len(due) - lost <= ran <= len(due)
