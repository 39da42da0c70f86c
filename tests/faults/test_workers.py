"""Workers that die, are told to end, and are kept from their heartbeats."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import deque
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from ..waiting import until
from .measures import executions, past_lease, reaped
from .oplog import Change, changes
from .processes import LEASE, Program, Run
from .report import FaultReport, quantile


def pass_time(seconds: float) -> None:
    """Let a random time pass: where the blow falls is the point."""
    at = time.monotonic() + seconds
    until(lambda: time.monotonic() >= at)


@pytest.mark.fault("F01")
def test_f01_workers_killed_at_random_lose_nothing_and_repeat_nothing(run: Run, fault: FaultReport) -> None:
    kills = fault.length(8, 50)
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    killed_at: dict[str, datetime] = {}
    workers = {name: run.worker(threads=4, name=name) for name in ("a", "b")}
    for number in range(kills):
        run.create("once", 40, first=number * 100, ms=20)
        run.create("twice", 40, first=number * 100, ms=20)
        pass_time(chance.uniform(0, 0.4))
        victim = chance.choice(list(workers))
        workers.pop(victim).kill()
        killed_at[victim] = datetime.now(UTC)
        workers[f"w{number}"] = run.worker(threads=4, name=f"w{number}")
    run.wait_until_done()
    taken_back = reaped(changes(run.client, f"{run.database}.jobs"))
    run.judge()
    recovered = [since(killed_at, change) / LEASE for change in taken_back]
    twice = run.jobs.count_documents({"type": "twice", "attempts": 2})
    fault.struck(len(taken_back), "jobs taken back")
    fault.figure("kills", kills)
    fault.figure("from the kill until its jobs are taken back, leases, p50", quantile(recovered, 0.5))
    fault.figure("p99", quantile(recovered, 0.99))
    fault.figure("after the end of their leases, most", max(map(past_lease, taken_back)) / LEASE)
    fault.figure(
        "second attempts of jobs that may have one", run.jobs.count_documents({"type": "once", "attempts": 2})
    )
    fault.figure("per kill, of jobs that may have two", twice / kills)


def since(killed_at: dict[str, datetime], change: Change) -> float:
    """Return how many seconds after the death of its pool a job was taken back."""
    assert change.before is not None
    return (change.at - killed_at[change.before["pool"]]).total_seconds()


@pytest.mark.fault("F02")
def test_f02_jobs_claimed_and_not_handed_over_run_elsewhere_unspent(run: Run, fault: FaultReport) -> None:
    jobs = 50
    run.create("once", jobs, ms=50)
    victim = run.worker(threads=4, variables={"FAULTS_PAUSE": "claim"})
    run.wait_for("paused")
    until(lambda: not run.jobs.count_documents({"state": "running"}), "the end of what the worker runs")
    claimed = [job["_id"] for job in run.jobs.find({"state": "claimed"})]
    victim.kill()
    run.worker(threads=4)
    run.wait_until_done()
    run.judge()
    recovered = run.jobs.count_documents({"_id": {"$in": claimed}, "fence": 2, "state": "succeeded"})
    charged = run.jobs.count_documents({"attempts": {"$ne": 1}})
    fault.struck(len(claimed), "jobs claimed by a worker that is gone")
    fault.figure("recovered", f"{recovered}/{len(claimed)}")
    fault.figure("attempts charged", charged)
    assert charged == 0
    assert run.jobs.count_documents({"state": "succeeded"}) == jobs


@pytest.mark.fault("F02")
def test_f02_jobs_claimed_for_free_threads_count_as_started(run: Run, fault: FaultReport) -> None:
    """The claim started them: nobody can tell whether their executors were called, so at most once is kept."""
    run.create("once", 5)
    run.create("twice", 5)
    victim = run.worker(threads=10, variables={"FAULTS_PAUSE": "start"})
    run.wait_for("paused")
    started = run.jobs.count_documents({"state": "running", "attempts": 1})
    victim.kill()
    run.worker(threads=4)
    run.wait_until_done()
    run.judge()
    fault.struck(started, "jobs started by the claim of a worker that is gone")
    fault.figure(
        "of jobs with two attempts, recovered", run.jobs.count_documents({"type": "twice", "attempts": 2})
    )
    assert started == 10
    assert run.jobs.count_documents({"type": "once", "state": "failed", "error.type": "WorkerLost"}) == 5
    assert run.jobs.count_documents({"type": "twice", "state": "succeeded", "attempts": 2}) == 5


@pytest.mark.fault("F03")
def test_f03_a_worker_killed_before_the_finish_repeats_only_what_may_be_repeated(
    run: Run, fault: FaultReport
) -> None:
    ids = run.create("once", 4) + run.create("twice", 4)
    victim = run.worker(threads=8, variables={"FAULTS_PAUSE": "finish"})
    run.wait_for("left", len(ids))
    run.wait_for("paused")
    victim.kill()
    run.worker(threads=4)
    run.wait_until_done()
    run.judge()
    again = executions(run.events()) - len(ids)
    fault.struck(run.jobs.count_documents({"errors.type": "WorkerLost"}), "outcomes that were never written")
    fault.figure(
        "second executions of jobs with one attempt", run.jobs.count_documents({"type": "once", "attempts": 2})
    )
    fault.figure("of jobs with two", f"{again}/4")
    assert again == 4
    assert run.jobs.count_documents({"type": "once", "state": "failed", "attempts": 1}) == 4
    assert run.jobs.count_documents({"type": "twice", "state": "succeeded", "attempts": 2}) == 4


def stopped(run: Run, worker: Program) -> tuple[float, float]:
    """Return how long the stop of `worker` took, and when it was over."""
    own = {event.name: event.at for event in run.events() if event.pid == worker.pid}
    return own["stop-ok"] - own["stop"], own["stop-ok"]


@pytest.mark.fault("F06")
def test_f06_sigterm_lets_short_jobs_end(run: Run, fault: FaultReport) -> None:
    run.create("once", 100, ms=200)
    worker = run.worker(threads=4, grace=20)
    run.wait_for("entered", 8)
    assert worker.end() == 0
    begun = run.count("entered")
    finished = run.jobs.count_documents({"state": "succeeded"})
    run.judge(ended=False)
    took, _ = stopped(run, worker)
    fault.struck(100 - finished, "jobs left for others")
    fault.figure("stop took, s", took)
    fault.figure("finished of begun", f"{finished}/{begun}")
    assert finished == begun
    assert run.jobs.count_documents({"state": "pending", "attempts": 0}) == 100 - finished
    run.worker(threads=16)
    run.wait_until_done()
    run.judge()


@pytest.mark.fault("F06")
def test_f06_a_drain_keeps_the_leases_of_what_it_waits_for(run: Run, fault: FaultReport) -> None:
    lease = 1.0
    run.create("twice", 3, ms=3500)
    worker = run.worker(threads=3, lease=lease, grace=30)
    run.wait_for("entered", 3)
    other = run.worker(threads=3, lease=lease)  # would take them if their leases ran out
    assert worker.end() == 0
    other.end()
    run.judge()
    took, _ = stopped(run, worker)
    assert executions(run.events()) == 3
    fault.struck(took > 2 * lease, "a drain longer than two leases")
    fault.figure("executions of jobs of 3.5 leases", f"{executions(run.events())}/3")
    assert run.jobs.count_documents({"state": "succeeded", "attempts": 1}) == 3


@pytest.mark.fault("F07")
def test_f07_sigterm_releases_the_queue_and_abandons_long_jobs(run: Run, fault: FaultReport) -> None:
    # Short ones first, so the pool learns to claim ahead; then some that block every thread, and many behind them.
    run.create("once", 300, priority=2)
    # The lease is so long that a queue which waits is not given back before the stop, however busy the machine is.
    worker = run.worker(threads=4, grace=1, lease=60, types=["once"])
    until(lambda: run.jobs.count_documents({"state": "succeeded"}) == 300, "the short jobs")
    run.create("once", 4, first=1000, ms=30_000, priority=1)
    run.create("once", 900, first=2000)
    run.wait_for("entered", 304)
    looks: deque[int] = deque(maxlen=20)

    def full() -> bool:
        """What is claimed may be on its way to the queue; it is there when nothing more is claimed."""
        looks.append(run.jobs.count_documents({"state": "claimed"}))
        return len(looks) == looks.maxlen and min(looks) == max(looks) > 50

    until(full, "a full queue")
    queued = looks[-1]
    other = run.worker(threads=40, types=["once"])
    assert worker.end() == 0
    took, ended_at = stopped(run, worker)
    report = next(event for event in run.events() if event.name == "stop-ok")
    released, abandoned = report.fields["released"], report.fields["abandoned"]
    until(lambda: run.jobs.count_documents({"_id": {"$in": released}, "state": "pending"}) == 0, "the pick-up")
    picked = [
        event.at - ended_at
        for event in run.events()
        if event.name == "claim-ok"
        and event.pid == other.pid
        and set(released) & {id for id, _ in event.fields["jobs"]}
    ]
    other.kill()
    run.judge(ended=False)
    fault.struck(queued, "jobs in the queue")
    fault.struck(len(released), "jobs released")
    fault.figure("exit after the grace, s", max(0.0, took - 1))
    fault.figure("released and claimed elsewhere after the exit, s", max([0.0, *picked]))
    fault.figure("abandoned", len(abandoned))
    assert len(abandoned) == 4
    assert run.jobs.count_documents({"_id": {"$in": released}, "attempts": {"$gt": 1}}) == 0


@pytest.mark.fault("F09")
def test_f09_a_forced_or_killed_drain_strands_nothing(run: Run, fault: FaultReport) -> None:
    chance = random.Random()
    run.create("twice", 60, ms=300)
    codes = []
    for killer in ("SIGTERM", "SIGKILL"):
        worker = run.command("--threads", "4", "--lease", str(LEASE), "--types", "twice")
        before = run.count("entered")
        until(lambda before=before: run.count("entered") > before + 3, "the load")  # type: ignore[misc]
        worker.send(signal.SIGTERM)
        until(lambda: "draining" in worker.log.read_text(), "the drain")  # noqa: B023
        pass_time(chance.uniform(0, 0.2))
        worker.send(signal.Signals[killer])
        codes.append(worker.process.wait(60))
    killed_at = time.monotonic()
    run.worker(threads=16)
    run.wait_until_done()
    run.judge()
    fault.struck(codes[1] == -signal.SIGKILL, "killed while draining")
    fault.figure("exit codes", codes)
    fault.figure("all done after the kill, s", time.monotonic() - killed_at)
    assert codes[0] in (0, 1)


@pytest.mark.fault("F18")
def test_f18_a_job_longer_than_many_leases_runs_once(run: Run, fault: FaultReport) -> None:
    lease, seconds = 1.0, fault.length(5, 15)
    run.create("once", 3, ms=seconds * 1000)
    run.worker(threads=3, lease=lease)
    run.worker(threads=3, lease=lease)  # would take it if the lease ran out
    run.wait_until_done()
    run.judge()
    renewals = [e for e in run.events() if e.name == "extend-ok" and e.fields["jobs"]]
    fault.struck(len(renewals) > seconds / lease, "renewals in more than as many leases")
    fault.figure("executions", f"{executions(run.events())}/3")
    fault.figure("claims lost", sum(len(e.fields["lost"]) for e in renewals))
    assert executions(run.events()) == 3


@pytest.mark.fault("F20")
@pytest.mark.parametrize("load", ["interpreter lock", "busy host"])
def test_f20_heartbeats_survive_a_hogged_interpreter_and_a_busy_host(
    run: Run, fault: FaultReport, load: str
) -> None:
    lease = 2.0
    run.create("once", 2, ms=fault.length(4000, 12_000))
    if load == "interpreter lock":
        # Half a lease without the lock is more than an interval of the heartbeat; then a while with it.
        for number in range(fault.length(2, 6)):
            run.create("hog", 1, first=number, ms=int(lease * 500), priority=-1, delay=number * lease)
    run.worker(threads=3, lease=lease, types=["once", "hog"])
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * (load == "busy host"))
    ]
    try:
        run.worker(threads=1, lease=lease, types=["retried"])  # reaps
        run.wait_until_done()
    finally:
        burning = sum(burner.poll() is None for burner in burners)
        for burner in burners:
            burner.kill()
            burner.wait()
    run.judge()
    renewals = [event.at for event in run.events() if event.name == "extend-ok" and event.fields["jobs"]]
    gaps = [later - earlier for earlier, later in pairwise(renewals)]
    fault.struck(burning or run.jobs.count_documents({"type": "hog", "state": "succeeded"}), load)
    fault.figure(f"gap between heartbeats, {load}, p50 s", quantile(gaps, 0.5))
    fault.figure(f"max s, {load}, of a lease of {lease:g} s", max(gaps))
    rescues = reaped(changes(run.client, f"{run.database}.jobs"))
    fault.figure(f"rescues, {load}", len(rescues))
    assert not rescues
    assert run.jobs.count_documents({"attempts": {"$gt": 1}}) == 0
