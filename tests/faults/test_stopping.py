"""Stopping from every side, and jobs that do not want to end."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from contextlib import suppress
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Backoff, Executor, JobManager, State, WorkerPool, current_job
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import PoolStateError
from jobpool.pool import StopReport

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .hosts import SHARED, HostSnapshot, Script, pool_threads, resident, sockets
from .interrupting import Interruptions
from .report import FaultReport


def held_in(jobs: Jobs) -> int:
    """Return how many jobs somebody holds."""
    return jobs.count_documents({"state": {"$in": ["claimed", "running"]}})


@pytest.mark.fault("F10")
def test_f10_every_stop_returns_whoever_calls_it(fault: FaultReport, server: EmbeddedMongo, database: str) -> None:
    """Before the start, from a job, from eight threads at once while a job runs, and afterwards."""
    begun, entered, answers = threading.Event(), threading.Barrier(9), list[StopReport]()
    refused: list[PoolStateError] = []

    def work(data: object) -> None:
        try:
            pool.stop()
        except PoolStateError as error:
            refused.append(error)
        begun.set()
        entered.wait(PATIENCE)  # it runs until all eight are about to stop the pool

    def stop() -> None:
        entered.wait(PATIENCE)
        answers.append(pool.stop(PATIENCE))

    with HostSnapshot() as host, JobManager(database, uri=server.uri, executors={"a": work}) as manager:
        before = WorkerPool(manager)
        answers += [before.stop(), before.stop()]
        id = manager.create("a").id
        pool = WorkerPool(manager).start()
        assert begun.wait(PATIENCE)
        callers = [threading.Thread(target=stop) for _ in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE)
        assert not pool_threads()
        answers.append(pool.stop())
        assert (pool.state, manager.get(id).state) == ("stopped", State.SUCCEEDED)
        assert {id for answer in answers for id in (*answer.released, *answer.abandoned)} == set()
        with pytest.raises(PoolStateError, match="stopped"):
            before.start()
    fault.struck(len(refused) == 1 and not any(caller.is_alive() for caller in callers), "a job and eight at once")
    assert host.check()
    fault.figure("calls returned", f"{len(answers) + len(refused)}/12")


_SIGNALLED = """
manager = JobManager(DATABASE, executors={"a": lambda data: data, "slow": lambda data: release.wait(PATIENCE)})
release, stopped = threading.Event(), []
pool = WorkerPool(manager, threads=2)

def handler(number, frame):
    if "release" in WHERE:
        release.set()
    try:
        stopped.append(pool.stop(10))
    except PoolStateError as error:
        stopped.append(error)

def inside():
    frame, names = sys._current_frames()[threading.main_thread().ident], set()
    while frame:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return WHERE.split()[0] in names

def strike():
    while not inside():
        time.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, handler)
manager.create("slow" if "release" in WHERE else "a")
if WHERE != "start":
    pool.start()
    until(lambda: "release" not in WHERE or manager.count(state="running"))
threading.Thread(target=strike, daemon=True).start()
n = 0
"""

_PLACES = {
    "wait": "pool.wait()",
    "drain release": "pool.drain()",
    "stop release": "pool.stop()",
    "create": "while not stopped:\n    n += 1; manager.create('a', n)",
    "start": "try: pool.start()\nexcept PoolStateError: pass",
    "busy": "def busy():\n    while not stopped: pass\nbusy()",
}


@pytest.mark.fault("F10")
@pytest.mark.parametrize("where", _PLACES)
def test_f10_a_signal_handler_may_stop_the_pool(
    fault: FaultReport, script: Script, jobs: Jobs, where: str
) -> None:
    """The main thread is inside of something of ours when the signal comes."""
    body = f"WHERE = {where!r}\n" + _SIGNALLED + _PLACES[where]
    ending = """
print(len(stopped), pool.state, sum(t.name.startswith("jobpool-") for t in threading.enumerate()))
manager.close()
"""
    calls, state, threads = script.run(body + ending).split()
    fault.struck(int(calls), f"stop called by the handler inside {where.split()[0]}")
    assert (state, threads) == ("stopped", "0")
    assert held_in(jobs) == 0
    fault.figure(f"calls returned in {where.split()[0]}", f"{calls}/1")


@pytest.mark.fault("F10")
@pytest.mark.parametrize("operation", ["start", "drain", "stop", "create", "close", "resize", "remove_types"])
def test_f10_a_handler_on_top_of_any_line_of_ours_returns(
    fault: FaultReport, make_manager: MakeManager, operation: str
) -> None:
    """The locks that the interrupted frame holds are the handler's own: line after line, it stops and creates."""
    handled = 0
    manager = make_manager(executors={"a": print})
    pool = WorkerPool(manager)

    def handler() -> None:
        nonlocal handled
        for call in (lambda: pool.drain(10), lambda: pool.stop(10), lambda: manager.create("b", line)):
            try:
                call()
            except PoolStateError:
                continue  # this very thread stops it; or the manager is closed
        manager.metrics.finished("type of its own", "failed", 0.1, "Error")
        handled += 1

    def interrupted(line: int) -> bool:
        nonlocal pool, manager
        manager = make_manager(executors={"a": lambda data: data})
        manager.ensure_indexes()
        pool = WorkerPool(manager, threads=1)
        watch = manager.start_watch(threads=1) if operation == "close" else None
        if operation in ("drain", "stop", "create", "resize", "remove_types"):
            pool.start()
        calls: dict[str, Any] = {
            "start": pool.start,
            "drain": lambda: pool.drain(10),
            "stop": lambda: pool.stop(10),
            "create": lambda: manager.create("a", line),
            "close": manager.close,
            "resize": lambda: pool.resize(4),
            "remove_types": lambda: pool.remove_types("a"),
        }
        with Interruptions(line, handler) as interruptions, suppress(PoolStateError):  # stopped on the way up
            calls[operation]()
        struck = interruptions.struck
        if struck:
            assert pool.state == "stopped"
        pool.stop(10)
        assert watch is None or watch.state == "stopped"
        manager.close()
        if operation in ("resize", "remove_types"):  # they are done on another thread, whatever the handler did
            until(lambda: not pool_threads())
        assert not pool_threads(), f"after a signal at line {line}"
        return struck

    line, stride = 0, fault.length(5, 1)
    while interrupted(line):
        line += stride
    fault.struck(handled, "handlers that ran on top of a line")
    fault.figure(f"lines of {operation}", f"{handled}, hung 0")


@pytest.mark.fault("F10")
def test_f10_an_atexit_function_may_stop_the_pool(fault: FaultReport, script: Script, jobs: Jobs) -> None:
    """By then the pool has been stopped, because the interpreter waits for its threads first."""
    state, *returned = script.run("""
import atexit
manager = JobManager(DATABASE, executors={"a": lambda data: time.sleep(0.3)})
manager.create("a")
pool = manager.start_watch(threads=2)
def end():
    print(pool.state)
    for number, stop in enumerate((pool.stop, lambda: pool.stop(0), manager.stop_watch), 1):
        stop()
        print(number)
    manager.close()
atexit.register(end)
until(lambda: manager.count(state="running"))
""").split()
    fault.struck(len(returned), f"stops from atexit, of a pool that was {state}")
    assert state == "stopped"
    assert (held_in(jobs), jobs.count_documents({"state": "succeeded"})) == (0, 1)
    assert "Traceback" not in "".join(script.done)
    fault.figure("calls returned from atexit", f"{len(returned)}/3")


@pytest.mark.fault("F21")
def test_f21_a_stop_leaves_a_job_that_never_returns_and_names_it(
    fault: FaultReport, make_manager: MakeManager, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    def never(data: object) -> None:
        begun.release()
        release.wait()

    async def never_either(data: object) -> None:
        begun.release()
        while not release.is_set():
            time.sleep(0.01)  # it keeps the loop to itself, too

    with HostSnapshot():
        manager = make_manager(executors={"plain": never, "coroutine": never_either})
        ids = {manager.create(type).id for type in ("plain", "coroutine")}
        pool = WorkerPool(manager, threads=3, lease=30).start()
        for _ in ids:
            assert begun.acquire(timeout=PATIENCE)
        began = time.monotonic()
        report = pool.stop(timeout=0.5)
        took = time.monotonic() - began
        assert set(report.abandoned) == ids
        assert pool.stop() is report
        said = "\n".join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
        assert all(id in said for id in ids)
        fault.struck(held_in(jobs), "jobs that went on")
        assert took < 0.5 + PATIENCE
        release.set()
        until(lambda: not pool_threads(), "the end of what was left behind")
        assert held_in(jobs) == 2, "an abandoned outcome is not recorded"
        manager.close()
    fault.figure("overrun of the time to stop, s", took - 0.5)


@pytest.mark.fault("F21")
def test_f21_a_job_over_the_ceiling_loses_its_lease_and_runs_elsewhere(
    fault: FaultReport, make_manager: MakeManager, jobs: Jobs
) -> None:
    """The pool lives on, so without a ceiling its heartbeat would keep the job for ever."""
    release, seen_lost, ended = threading.Event(), threading.Event(), threading.Event()
    runs: list[tuple[str, int, float]] = []

    def work(data: object) -> str:
        job = current_job()
        runs.append((threading.current_thread().name, job.attempt, time.monotonic()))
        if job.attempt == 1:
            until(lambda: job.lost, "the word that it is lost")
            seen_lost.set()
            release.wait(PATIENCE)
            ended.set()
            return "stale"
        return "second"

    manager = make_manager(executors={"a": Executor(work, max_attempts=3, backoff=Backoff(base=0))})
    id = manager.create("a").id
    with WorkerPool(manager, name="one", threads=1, lease=1, longest_run=1.5):
        until(lambda: runs, "the first attempt")
        with WorkerPool(manager, name="two", threads=1, lease=1):
            job = manager.wait(id, PATIENCE)
            assert (job.result, job.attempts, len(runs)) == ("second", 2, 2)
            fault.struck(seen_lost.wait(PATIENCE), "the first attempt was told that it is lost")
            assert [error.type for error in job.errors] == ["WorkerLost"]
            release.set()
            assert ended.wait(PATIENCE)
    lost = manager.metrics.registry.get_sample_value(
        "jobpool_leases_lost_total", {"pool": "one", "stage": "running"}
    )
    assert lost == 1
    assert manager.get(id) == job, "the stale outcome changed nothing"
    delay = runs[1][2] - runs[0][2]
    assert delay >= 1.5
    fault.figure("taken over after, s (ceiling 1.5, lease 1)", delay)


@pytest.mark.fault("F26")
def test_f26_many_lives_leave_threads_files_and_memory_flat(
    fault: FaultReport, server: EmbeddedMongo, database: str
) -> None:
    """Two pools of two managers on one client, again and again."""
    client: MongoClient[dict[str, Any]] = MongoClient(server.uri)
    executors = {"a": lambda data: data}
    managers = [JobManager(database, client=client, executors=executors) for _ in range(2)]

    def life(number: int) -> None:
        ids = [manager.create("a", [number, place]).id for place, manager in enumerate(managers)]
        pools = [WorkerPool(manager, threads=2).start() for manager in managers]
        for id in ids:
            assert managers[0].wait(id, PATIENCE).state is State.SUCCEEDED
        for pool in pools:
            assert pool.stop().threads == ()
        assert not pool_threads()

    def waited_for() -> bool:  # by a thread that comes only if a wait takes long
        return any(thread.name == SHARED for thread in threading.enumerate())

    for number in range(5):  # the driver's connections come first
        life(number)
    until(lambda: not waited_for(), "the end of what told of jobs")
    gc.collect()
    lives = fault.length(15, 100)
    before = (threading.active_count(), sockets(), resident())
    for number in range(5, 5 + lives):
        life(number)
    until(lambda: not waited_for(), "the end of what told of jobs")
    gc.collect()
    after = (threading.active_count(), sockets(), resident())
    ran = managers[0].count(state="succeeded")
    assert ran == 2 * (5 + lives)
    for manager in managers:
        manager.close()
    client.close()
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 4
    slope = (after[2] - before[2]) / 1024 / (2 * lives)
    assert slope < 300, "each life leaks"
    fault.struck(ran, "jobs of as many pools, started and stopped")
    fault.figure(
        "threads, sockets, KiB per pool", f"+{after[0] - before[0]}, +{after[1] - before[1]}, {slope:.0f}"
    )


@pytest.mark.fault("F26")
def test_f26_a_pool_that_is_dropped_goes_on_and_ends_with_its_host(
    fault: FaultReport, script: Script, jobs: Jobs, make_manager: MakeManager
) -> None:
    never_started = weakref.ref(WorkerPool(make_manager(executors={"a": print})))
    gc.collect()
    assert never_started() is None
    script.run("""
import gc, weakref
manager = JobManager(DATABASE, executors={"a": lambda data: data})
dropped = weakref.ref(WorkerPool(manager, threads=2).start())
gc.collect()
assert manager.wait(manager.create("a").id, PATIENCE).result is None
assert dropped() is not None
print("dropped")
""")
    ran = jobs.count_documents({"state": "succeeded"})
    fault.struck(ran, "jobs of a pool that nobody holds")
    fault.figure("jobs of a dropped pool that its host's end left held", held_in(jobs))
    assert held_in(jobs) == 0
