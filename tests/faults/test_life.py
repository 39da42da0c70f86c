"""Snoozes, retries by rule, cancels, timeouts, checkpoints and child processes, when something dies in between."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobpool import WorkerPool, current_job
from jobpool.errors import StoreUnavailable
from jobpool.outcome import TIMED_OUT
from jobpool.signals import Snooze

from ..waiting import until
from . import recording
from .app import STEPS
from .measures import cancels, executions, outcomes, reaped, refused
from .oplog import changes
from .processes import LEASE, Run
from .proxy import Proxy
from .report import FaultReport
from .test_workers import pass_time

MIX = ["snoozed", "ruled", "twice"]


@pytest.mark.fault("L01")
def test_l01_kills_snoozes_retries_and_cancels_together_lose_and_repeat_nothing(
    run: Run, fault: FaultReport
) -> None:
    """By the server's history each snooze refunds one attempt, and nothing is entered after its cancel."""
    kills, seed = fault.length(6, 40), random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    workers = [run.worker(threads=4, types=MIX) for _ in range(2)]
    canceller = run.canceller(seed=seed, pause=0.05)
    for number in range(kills):
        for type in MIX:
            run.create(type, 30, first=number * 100, ms=20)
        pass_time(chance.uniform(0.1, 0.5))
        workers.pop(chance.randrange(2)).kill()
        workers.append(run.worker(threads=4, types=MIX))
    assert canceller.end() == 0
    run.wait_until_done()
    found = run.violations()
    assert not found, "\n".join(map(str, found[:20]))
    events = run.events()
    taken_back, told = reaped(changes(run.client, f"{run.database}.jobs")), cancels(events)
    (snoozes,) = run.jobs.aggregate([{"$group": {"_id": None, "n": {"$sum": "$snoozes"}}}])
    fault.struck(len(taken_back), "jobs taken back")
    fault.struck(outcomes(events)["snoozed"], "snoozes")
    fault.struck(run.jobs.count_documents({"errors.type": "Retry"}), "retries by rule")
    fault.struck(told.get("cancelled", 0), "jobs cancelled by another process")
    fault.figure("kills", kills)
    fault.figure("snoozes refunded", snoozes["n"])
    fault.figure("cancels acknowledged", ", ".join(f"{state} {told[state]}" for state in sorted(told)))
    fault.figure("violations", len(found))
    assert run.jobs.count_documents({"cancel_requested_at": {"$exists": True}, "state": "pending"}) == 0


class LosingSnoozes:
    """In front of the transitions: replies to finishes that snooze are lost, until some were missed.

    A claim may be sent at the same instant and lose its reply instead.
    """

    def __init__(self, real: Any, proxy: Proxy, times: int) -> None:
        self._real = real
        self._proxy = proxy
        self.left = times
        self.missed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def finish(self, finishes: Any, *, timeout: float | None = None) -> Any:
        if self.missed < 2 and self.left and any(finish.outcome.snoozed for finish in finishes):
            self.left -= 1
            self._proxy.forgive()  # one at a time: a repeat of the driver gets through
            self._proxy.lose_reply_of("update", reset=bool(self.left % 2))
        try:
            return self._real.finish(finishes, timeout=timeout)
        except StoreUnavailable:
            self.missed += 1
            raise


@pytest.mark.fault("L02")
@pytest.mark.parametrize("options", ["", "&retryWrites=false"], ids=["repeated", "not repeated"])
def test_l02_a_snooze_whose_reply_is_lost_refunds_one_attempt(
    run: Run, proxy: Proxy, fault: FaultReport, options: str
) -> None:
    """The driver repeats it, or the recorder does, while the job is pending still."""
    manager = run.make_manager(uri=f"{proxy.uri}{options}")
    store: Any = manager.store
    store.transitions = LosingSnoozes(store.transitions, proxy, 8)
    for one in (manager, run.manager):
        one.executor("once_put_off", max_attempts=2)(recording.executor(run.history, once_put_off))
    ids = run.create("once_put_off", 8)
    # So long a lease that no heartbeat, but a finish, loses its reply.
    with manager, WorkerPool(manager, ["once_put_off"], threads=1, lease=60):
        run.wait_until_done()
    run.judge()
    refunds = sum(map(_snoozed, changes(run.client, f"{run.database}.jobs")))
    snoozes = outcomes(run.events())["snoozed"]
    fault.struck(len(proxy.lost), "replies to snoozes lost")
    fault.figure(f"attempts refunded of snoozes ({options or 'retryWrites'})", f"{refunds}/{snoozes}")
    assert bool(run.count("finish-unknown")) == bool(options)
    assert refunds == snoozes
    assert run.jobs.count_documents({"_id": {"$in": ids}, "state": "succeeded", "attempts": 1}) == 8


def once_put_off(data: dict[str, Any]) -> dict[str, Any]:
    """Snooze in the first claim, for longer than a lost reply takes to be noticed."""
    job = current_job()
    if job.fence == 1:
        threading.Event().wait(0.05)  # so that each is finished by itself
        raise Snooze(2)
    return {"n": data["n"], "attempt": job.attempt}


def _snoozed(change: Any) -> bool:
    """Whether a change gave back an attempt for a snooze."""
    before, after = change.before or {}, change.after or {}
    return bool(after.get("snoozes", 0) > before.get("snoozes", 0) and after["attempts"] == before["attempts"] - 1)


@pytest.mark.fault("L02")
@pytest.mark.parametrize("options", ["", "&retryWrites=false"], ids=["repeated", "not repeated"])
def test_l02_a_cancel_whose_reply_is_lost_may_be_repeated(
    run: Run, proxy: Proxy, fault: FaultReport, options: str
) -> None:
    """Of a job that waits and of one that runs; the driver repeats it, or the caller does."""
    waiting = run.create("once", 5)
    (running,) = run.create("patient", 1, ms=60_000)
    with run.make_manager(uri=f"{proxy.uri}{options}") as manager, WorkerPool(run.manager, ["patient"], threads=1):
        run.wait_for("entered")
        manager.count()  # connected: from here on an update is a cancel
        unknown = 0
        for id in (*waiting, running):
            proxy.lose_reply_of("update", times=1 + len(options) % 2, reset=True)
            try:
                manager.cancel(id)
            except StoreUnavailable:
                unknown += 1
                proxy.forgive()
                assert manager.cancel(id).state in ("cancelled", "running")
            proxy.forgive()
        run.wait_until_done()
    run.judge()
    fault.struck(len(proxy.lost), "replies to cancels lost")
    fault.figure(f"callers in doubt ({options or 'retryWrites'})", f"{unknown}/{len(waiting) + 1}")
    assert bool(unknown) == bool(options)
    assert run.jobs.count_documents({"state": "cancelled"}) == len(waiting) + 1
    assert executions(run.events()) == 1, "only the one that ran"


@pytest.mark.fault("L03")
def test_l03_the_next_attempt_goes_on_from_the_checkpoint(run: Run, fault: FaultReport) -> None:
    (id,) = run.create("stepwise", 1)
    victim = run.worker(threads=1, types=["stepwise"], variables={"FAULTS_PAUSE": "checkpoint"})
    run.wait_for("paused")
    victim.kill()
    saved = run.manager.get(id).checkpoint
    run.worker(threads=1, types=["stepwise"])
    run.wait_until_done()
    run.judge()
    job = run.manager.get(id)
    effects = [(e.fields["step"], e.fields["attempt"]) for e in run.events() if e.name == "effect"]
    fault.struck(saved, "steps saved by a worker that is gone")
    fault.figure("effects of steps", f"{len(effects)}/{STEPS}")
    assert [step for step, _ in effects] == list(range(STEPS)), "each step once"
    assert [attempt for _, attempt in effects] == [1] * saved + [2] * (STEPS - saved)
    assert (job.state, job.attempts, job.errors[0].type) == ("succeeded", 2, "WorkerLost")


@pytest.mark.fault("L04")
def test_l04_what_a_hung_executor_returns_late_changes_nothing(run: Run, fault: FaultReport) -> None:
    """One thread: without another in its place the second attempt could not run."""
    (id,) = run.create("hung", 1)
    worker = run.worker(threads=1, types=["hung"])
    run.wait_until_done(20)
    second = run.manager.get(id)
    began = time.monotonic()
    run.release()
    run.wait_for("left", 2)
    until(lambda: "ended after it was given up" in worker.log.read_text(), "the word that it is not recorded")
    assert worker.end() == 0
    run.judge()
    job = run.manager.get(id)
    first_left = max(event.at for event in run.events() if event.name == "left" and event.fields["attempt"] == 1)
    fault.struck(first_left > began, "an executor that ended after the second attempt had")
    fault.figure("outcomes that stand", f"attempt {job.result['attempt']} of {job.attempts}")
    fault.figure("given up after its timeout, s", job.stuck.after - 0.5 if job.stuck else None)
    assert job == second, "nothing has changed since"
    assert (job.state, job.result["attempt"], job.attempts) == ("succeeded", 2, 2)
    assert [error.type for error in job.errors] == [TIMED_OUT]
    assert job.stuck is not None
    assert "until_released" in job.stuck.stack


@pytest.mark.fault("L05")
def test_l05_a_cancelled_job_whose_worker_dies_untold_ends_as_cancelled(run: Run, fault: FaultReport) -> None:
    """It has an attempt left, which nobody may begin."""
    ids = run.create("until_released_twice", 3)
    victim = run.worker(threads=3, types=["until_released_twice"])
    run.wait_for("entered", 3)
    victim.send(signal.SIGSTOP)
    states = [run.manager.cancel(id).state for id in ids]
    victim.kill()
    killed_at = time.monotonic()
    run.worker(threads=3, types=["until_released_twice"])
    until(lambda: not run.open_jobs() or executions(run.events()) > 3, "the end of what was cancelled")
    took = time.monotonic() - killed_at
    assert executions(run.events()) == 3, "nothing is begun again"
    run.release()
    run.judge()
    fault.struck(states == ["running"] * 3, "jobs that were running when they were cancelled")
    fault.figure("from the kill until they are cancelled, leases", took / LEASE)
    fault.figure("entered again", f"{executions(run.events()) - 3}/3")
    assert run.jobs.count_documents({"state": "cancelled", "attempts": 1, "errors.type": "WorkerLost"}) == 3


@pytest.mark.fault("L06")
def test_l06_a_worker_frozen_beyond_timeout_and_lease_is_refused_when_it_wakes(
    run: Run, fault: FaultReport
) -> None:
    """Its attempt is taken back; the second one is timed out by the worker that runs it, and is the last."""
    (id,) = run.create("limited", 1, ms=60_000)
    frozen = run.worker(threads=1, types=["limited"])
    run.wait_for("entered")
    frozen.send(signal.SIGSTOP)
    other = run.worker(threads=1, types=["limited"])
    run.wait_for("entered", 2)
    frozen.send(signal.SIGCONT)
    run.wait_for("left", 2)
    run.wait_until_done()
    assert (frozen.end(), other.end()) == (0, 0)
    run.judge()
    job = run.manager.get(id)
    fault.struck(refused(run.events()), "writes of the frozen worker refused")
    fault.figure("attempts", f"{job.attempts}/2")
    fault.figure("errors", ", ".join(error.type for error in job.errors))
    assert (job.state, job.attempts, job.error and job.error.type) == ("failed", 2, TIMED_OUT)
    assert [error.type for error in job.errors] == ["WorkerLost", TIMED_OUT]


@pytest.mark.fault("L06")
def test_l06_a_worker_frozen_within_its_lease_times_out_when_it_wakes(run: Run, fault: FaultReport) -> None:
    """Its grace is over as well by then, and yet its executor has the time to end by itself."""
    (id,) = run.create("limited", 1, ms=60_000, max_attempts=1)
    frozen = run.worker(threads=1, types=["limited"], lease=30)
    run.wait_for("entered")
    frozen.send(signal.SIGSTOP)
    pass_time(3)
    assert run.manager.get(id).state == "running", "nobody else may end it"
    woken_at = time.monotonic()
    frozen.send(signal.SIGCONT)
    run.wait_until_done()
    told = time.monotonic() - woken_at
    assert frozen.end() == 0
    run.judge()
    job = run.manager.get(id)
    fault.struck(job.error is not None, "a timeout that was over when the worker woke")
    fault.figure("timed out after waking, s", told)
    assert (job.state, job.error and job.error.type) == ("failed", TIMED_OUT)
    assert job.stuck is None, "it was given up before it could hear that it is to end"


@pytest.mark.fault("L07")
def test_l07_a_killed_worker_leaves_no_child_process_behind(run: Run, fault: FaultReport) -> None:
    id = run.manager.create("in_child", {}).id
    victim = run.worker(threads=1, types=["in_child"])
    run.wait_for("child")
    family = children_of(victim.pid)
    (child,) = [event.fields["child"] for event in run.events() if event.name == "child"]
    victim.kill()
    killed_at = time.monotonic()
    until(lambda: not any(map(alive, family)), "the end of its children")
    ended = time.monotonic() - killed_at
    run.release()
    run.worker(threads=1, types=["in_child"])
    run.wait_until_done()
    job = run.manager.get(id)
    fault.struck(child in family, "an executor in a child of the killed worker")
    fault.figure("children left, and gone after, s", f"0 of {len(family)}, {ended:.2g}")
    fault.figure("attempts", f"{job.attempts}/2")
    run.judge()
    assert (job.state, job.attempts, job.errors[0].type) == ("succeeded", 2, "WorkerLost")
    assert job.result != child


def children_of(pid: int) -> list[int]:
    """Return the process ids of the children of a process, and of theirs."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        found = status(int(path.parent.name))
        if found is not None:
            parents.setdefault(int(found[1]), []).append(int(path.parent.name))
    family: list[int] = []
    for one in (todo := [pid]):
        family += parents.get(one, [])
        todo += parents.get(one, [])
    return family


def status(pid: int) -> list[str] | None:
    """Return what the kernel says of a process from its state on; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def alive(pid: int) -> bool:
    """Whether a process is there and is no mere entry that waits for its parent."""
    found = status(pid)
    return found is not None and found[0] not in "ZX" and os.path.exists(f"/proc/{pid}")


@pytest.fixture
def short_transactions(run: Run) -> Iterator[None]:
    """The server ends transactions that nobody goes on with after a second, and looks for them every second."""
    name = "transactionLifetimeLimitSeconds"
    before = run.client.admin.command({"getParameter": 1, name: 1})[name]
    run.client.admin.command({"setParameter": 1, name: 1})
    yield
    until(lambda: not transactions(run, "currentOpen"), "the end of what killed workers left open")
    run.client.admin.command({"setParameter": 1, name: before})


@pytest.mark.fault("L08")
@pytest.mark.usefixtures("short_transactions")
def test_l08_workers_killed_while_jobs_complete_in_transactions_repeat_no_effect(
    run: Run, fault: FaultReport
) -> None:
    """Of every job that has succeeded there is one effect, of every other none, whenever its workers died."""
    kills, seed = fault.length(3, 40), random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    aborted = transactions(run, "totalAborted")
    workers = [run.worker(threads=4, types=["transferred"]) for _ in range(2)]
    for number in range(kills):
        run.create("transferred", 40, first=number * 100, ms=10)
        run.wait_for("left", run.count("left") + 8)
        pass_time(chance.uniform(0, 0.1))
        workers.pop(chance.randrange(2)).kill()
        workers.append(run.worker(threads=4, types=["transferred"]))
    run.wait_until_done()
    found = run.violations()
    assert not found, "\n".join(map(str, found[:20]))
    effects = Counter(effect["job"] for effect in run.client[run.database]["effects"].find())
    succeeded = {job["_id"] for job in run.jobs.find({"state": "succeeded"})}
    assert effects == Counter(succeeded)
    fault.struck(len(reaped(changes(run.client, f"{run.database}.jobs"))), "jobs taken back")
    fault.struck(transactions(run, "totalAborted") - aborted, "transactions aborted")
    fault.struck(
        run.jobs.count_documents({"errors.type": "WorkerLost", "state": "succeeded"}), "done after a death"
    )
    fault.figure("kills", kills)
    fault.figure(
        "jobs succeeded, effects, repeated", f"{len(succeeded)}, {len(effects)}, {effects.total() - len(effects)}"
    )
    fault.figure("violations", len(found))


def transactions(run: Run, name: str) -> int:
    """Return what the server has counted."""
    counted: int = run.client.admin.command("serverStatus")["transactions"][name]
    return counted
