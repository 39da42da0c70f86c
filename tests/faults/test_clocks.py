"""Wall clocks that step by hours, of those who create and run jobs and of the server.

jobpool has no schedules by the calendar, so there are no days of summer time to try: a job is due at an instant.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice, pairwise
from pathlib import Path

import psutil
import pytest
from pymongo.errors import PyMongoError

from jobpool import WorkerPool
from jobpool.errors import JobpoolError

from ..waiting import until
from .clocks import FakeClock, clean_up_after, need_faketime
from .history import Event
from .hosts import ROOT
from .measures import longest_gap
from .processes import Run
from .replicas import ReplicaSet
from .report import FaultReport

HOURS = 2 * 3600
#: The longest that nothing may happen on a machine that is busy with something else.
STALL = 30.0
#: Seconds that the jobs of the creator wait.
DELAY = 1.0

CREATOR = """
import json, os, sys, threading, time
from pathlib import Path
from tests.faults import app
from tests.faults.history import History
history = History(Path(os.environ["FAULTS_HISTORY"]))
manager = app.make_manager(history, os.environ["FAULTS_DATABASE"], os.environ["FAULTS_URI"])
for n in range(int(sys.argv[1])):
    before = time.time()
    job = manager.create("once", {"n": n}, delay=float(sys.argv[2]) if n % 2 else None)
    history.say("asked", id=job.id, wall=before, delayed=n % 2)
    threading.Event().wait(0.05)
manager.close()
"""


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    need_faketime()
    return FakeClock(tmp_path / "clock")


def step(clock: FakeClock, times: int, pause: float) -> int:
    """Step to and fro; return how often."""
    for hours in islice(cycle((HOURS, -HOURS, 0)), times):
        threading.Event().wait(pause)
        clock.step(hours)
    return times


def entered(events: list[Event]) -> dict[str, float]:
    """Return when each job was entered; fails if one was twice."""
    first: dict[str, float] = {}
    for event in events:
        if event.name == "entered":
            assert event.fields["id"] not in first
            first[event.fields["id"]] = event.at
    return first


@pytest.mark.fault("F56")
def test_f56_the_clocks_of_creators_and_workers_do_not_matter(
    fault: FaultReport, run: Run, clock: FakeClock
) -> None:
    """Instants are the server's, waits are monotonic."""
    steps = fault.length(6, 30)
    jobs = int(steps / 0.05 * 0.5) + 20
    for _ in range(2):
        run.worker(threads=4, variables=clock.environment)
    environment = {
        **os.environ,
        **clock.environment,
        "PYTHONPATH": str(ROOT),
        "FAULTS_HISTORY": str(run.history.path),
        "FAULTS_DATABASE": run.database,
        "FAULTS_URI": run.uri,
    }
    command = [sys.executable, "-c", CREATOR, str(jobs), str(DELAY)]
    # The library makes some sleeps of the driver's threads fail when it steps; they are made anew.
    creator = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    run.wait_for("asked", 2)
    step(clock, steps, 0.5)
    assert creator.wait(60) == 0
    run.wait_until_done()
    run.end()
    for worker in run.workers:
        clean_up_after(worker.pid)
    run.judge()
    events = run.events()
    walls = [event.fields["wall"] for event in events if event.name == "asked"]
    fault.struck(sum(abs(b - a) > HOURS / 2 for a, b in pairwise(walls)), "steps seen")
    begun = entered(events)
    called = {event.fields["jobs"][0][0]: event.at for event in events if event.name == "create"}
    waited = {e.fields["id"]: begun[e.fields["id"]] - called[e.fields["id"]] for e in events if e.name == "asked"}
    delayed = [waited[e.fields["id"]] for e in events if e.name == "asked" and e.fields["delayed"]]
    assert min(delayed) >= DELAY - 0.1, "run before its time"
    assert max(waited.values()) < DELAY + STALL
    fault.figure("clients' clocks: worst stall, s", longest_gap(events, "entered"))
    fault.figure("latest start of a job due now or in 1 s, s", max(waited.values()))


CLAIMER = """
import os, sys
from tests.faults import app, seeds
from tests.faults.history import History
seeds.plant()
from jobpool.store.claiming import Request
from pathlib import Path
history = History(Path(os.environ["FAULTS_HISTORY"]))
manager = app.make_manager(history, os.environ["FAULTS_DATABASE"], os.environ["FAULTS_URI"])
manager.store.ready()
claimed = manager.store.strategy(sys.argv[1]).claim(Request(("once",), 1, "claimer", 60.0))
print(len(claimed.documents))
manager.close()
"""


@pytest.mark.fault("F56")
@pytest.mark.parametrize("strategy", ["single", "batch", "window"])
@pytest.mark.parametrize("hours", [HOURS, -HOURS], ids=["ahead", "back"])
def test_f56_a_lease_is_as_long_as_asked_for_whatever_the_claimers_clock_says(
    fault: FaultReport, run: Run, clock: FakeClock, hours: int, strategy: str
) -> None:
    """It is counted from the server's now; nobody takes it back before, and everybody does behind it."""
    run.create("once", 1)
    clock.step(hours)
    claimer = subprocess.run(
        [sys.executable, "-c", CLAIMER, strategy],
        env={
            **os.environ,
            **clock.environment,
            "PYTHONPATH": str(ROOT),
            "FAULTS_HISTORY": str(run.history.path),
            "FAULTS_DATABASE": run.database,
            "FAULTS_URI": run.uri,
        },
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    fault.struck(claimer.stdout.strip() == "1" and abs(hours) / 3600, "hours off, claims")
    now = run.client.admin.command("hello")["localTime"]
    claimed = run.jobs.find_one({"state": "claimed"})
    lease = (claimed["lease_until"].replace(tzinfo=None) - now.replace(tzinfo=None)).total_seconds()
    assert 0 < lease <= 60.0, "the lease does not go by the server's clock"
    fault.figure(f"seconds left of a claim of 60 s, claimer {hours / 3600:+.0f} h off, {strategy}", lease)


class ServerSpins(Exception):
    """The library makes the server's waits return at once: it burns a core and answers nobody."""


@contextmanager
def stepping(clock: FakeClock, path: Path) -> Iterator[Run]:
    """Give a run on a server whose clock steps. The history's instants are of the true monotonic clock.

    Raises:
        ServerSpins: Now and then mongod does not survive a step of its wall clock by the library.
    """
    clock.step(0)
    path.mkdir()
    with ReplicaSet(1, environment=clock.environment) as replicas, replicas.client() as client:
        pid = replicas.nodes[0].pid
        try:
            with Run(replicas.uri, client, path) as run:
                yield run
        except (AssertionError, JobpoolError, PyMongoError) as error:
            if not spins(pid):
                raise
            os.kill(pid, signal.SIGKILL)
            raise ServerSpins from error
    clean_up_after(pid)


def spins(pid: int) -> bool:
    """Say whether a server uses most of a core although hardly anybody asks it for anything."""
    process = psutil.Process(pid)
    return process.cpu_percent(3.0) > 70


def step_server(run: Run, clock: FakeClock, hours: int) -> float:
    """Step the server's clock and wait until the run's manager goes by it; return the seconds that it moved."""
    now = run.manager.store.clock.now
    known = now()
    before = run.client.admin.command("hello")["localTime"]
    clock.step(hours)
    moved: float = (run.client.admin.command("hello")["localTime"] - before).total_seconds()
    until(lambda: abs((now() - known).total_seconds() - moved) < 60, "the new time")
    return moved


def run_one(run: Run, name: str) -> float:
    """Create a job and return how long it took to its end."""
    began = time.monotonic()
    run.manager.create("twice", {"n": 1000, "ms": 0, "name": name}, id=name, priority=1)
    run.manager.wait(name, 60)
    return time.monotonic() - began


@pytest.mark.fault("F56")
@pytest.mark.parametrize("hours", [HOURS, -HOURS], ids=["ahead", "back"])
def test_f56_a_step_of_the_servers_clock_costs_time_but_no_job(
    fault: FaultReport, clock: FakeClock, tmp_path: Path, hours: int
) -> None:
    """What MongoDB's clock decides moves with it: leases and due times. Attempts stay within their number.

    Ahead, leases are over at once: running jobs may be taken back early, so
    that leases overlap by the true clock. Back, what was made due by the
    clock before waits for that instant; here the clock is set right in the
    end. New jobs run at once in either case.
    """
    for last in (False, False, True):
        try:
            with stepping(clock, tmp_path / f"run{last}{uuid.uuid4().hex}") as run:
                step_and_judge(fault, run, clock, hours)
            return
        except ServerSpins:
            if last:
                raise


def step_and_judge(fault: FaultReport, run: Run, clock: FakeClock, hours: int) -> None:
    """Step the server's clock under load, set it right again, and judge what the jobs saw."""
    run.manager.store.clock.REFRESH_AFTER = 1.0  # its default, 30 s, bounds how long a step goes unnoticed
    with WorkerPool(run.manager, ["twice"], lease=2, threads=4) as pool:
        run.create("twice", 4, ms=2500)
        run.create("twice", 12, first=10, ms=20)
        run.wait_for("entered", 4)
        moved = step_server(run, clock, hours)
        fault.struck(abs(moved - hours) < 60 and f"{moved:.0f} s", "step of the server's clock")
        late = run_one(run, "after the step")
        if hours > 0:  # what is taken back now is due by the clock that is ahead: done before that is set right
            run.wait_until_done()
        step_server(run, clock, 0)
        late = max(late, run_one(run, "after the step back"))
        run.wait_until_done()
        until(lambda: pool.health().is_ready, "health")
    # The log of the server is not judged: its times step.
    found = [item for item in run.violations(oplog=False) if item.invariant != "I3"]
    assert not found
    assert late < STALL
    name = "ahead" if hours > 0 else "back"
    second = sum(job["attempts"] == 2 for job in run.jobs.find())
    fault.figure(f"server's clock {name}: a job created then ended after, s", late)
    fault.figure(f"server's clock {name}: worst stall, s", longest_gap(run.events(), "entered"))
    fault.figure(f"server's clock {name}: second attempts", second)
