"""Hosts of every kind: threads, event loops, forks, and what they do to their own process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager, State, WorkerPool
from jobpool.embedded import EmbeddedMongo

from ..conftest import Jobs
from ..waiting import PATIENCE
from .failpoints import fail_command
from .hosts import PRELUDE, HostSnapshot, Script, pool_threads
from .report import FaultReport


@pytest.mark.fault("F28")
def test_f28_a_life_on_another_thread_leaves_the_host_as_it_was(
    fault: FaultReport, server: EmbeddedMongo, database: str
) -> None:
    """All of it there, from the manager to its close, metrics endpoint and coroutine executors included."""
    seen: list[str] = []

    async def coroutine(data: object) -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    def life() -> None:
        executors: dict[str, Any] = {"plain": lambda data: data, "coroutine": coroutine}
        with JobManager(database, uri=server.uri, executors=executors) as manager:
            pool = manager.start_watch(threads=2)
            pool.serve_metrics(0)
            done = [manager.wait(manager.create(type, 1).id, PATIENCE) for type in executors]
            assert [job.state for job in done] == [State.SUCCEEDED] * 2
            seen.append(done[1].result)
            manager.create("plain", 2)
            assert manager.run_all() in (0, 1)
        seen.append(threading.current_thread().name)

    with HostSnapshot() as host:
        thread = threading.Thread(target=life, name="not-the-main-one")
        thread.start()
        thread.join(PATIENCE)
        assert not pool_threads()
    fault.struck(seen[-1] == "not-the-main-one", "a life on a thread that is not the main one")
    assert seen[0].startswith("jobpool-")
    fault.figure("host as before, in ways compared", host.check())


@pytest.mark.fault("F28")
def test_f28_calls_block_an_event_loop_and_a_thread_for_them_does_not(
    fault: FaultReport, server: EmbeddedMongo, database: str, client: MongoClient[dict[str, Any]]
) -> None:
    """On a server that takes half a second for an insert. Nothing of ours needs or disturbs the host's loop."""
    gaps: list[float] = []

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    async def worst(call: Callable[[], object], *, aside: bool) -> float:
        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0.02)
        gaps.clear()
        await asyncio.to_thread(call) if aside else call()
        await asyncio.sleep(0.01)
        ticking.cancel()
        return max(gaps)

    async def host() -> None:
        loop = asyncio.get_running_loop()
        with JobManager(database, uri=server.uri, executors={"a": lambda data: data}) as manager:
            pool = WorkerPool(manager, threads=2)
            blocks["start"] = await worst(pool.start, aside=False)
            blocks["create"] = await worst(lambda: manager.create("a", 0), aside=False)
            with fail_command(client, ["insert"], block_ms=500) as slow:
                blocks["slow create"] = await worst(lambda: manager.create("a", 1), aside=False)
                blocks["slow create in a thread"] = await worst(lambda: manager.create("a", 2), aside=True)
                struck.append(slow.struck)
            ids = [job.id for job in manager.find()]
            done = await asyncio.gather(*(asyncio.to_thread(manager.wait, id, PATIENCE) for id in ids))
            assert [job.state for job in done] == [State.SUCCEEDED] * 3
            blocks["stop"] = await worst(pool.stop, aside=False)
            assert not pool_threads()
        assert asyncio.get_running_loop() is loop

    blocks: dict[str, float] = {}
    struck: list[int] = []
    with HostSnapshot():
        asyncio.run(host())
    fault.struck(struck[0], "inserts slowed down under an event loop")
    assert blocks["slow create"] >= 0.5, "it blocks, as README says"
    assert blocks["slow create in a thread"] < 0.5
    for name, seconds in blocks.items():
        fault.figure(f"loop blocked by {name}, ms", round(seconds * 1000))


#: The watchdog of `PRELUDE` is a thread that a child does not have, but would wait for at its end.
_FORKING = """
faulthandler.cancel_dump_traceback_later()
signal.alarm(90)
"""

_STORM = """
import multiprocessing, subprocess
from prometheus_client import REGISTRY

def use_parents(manager, pool):
    refused = 0
    for call in (lambda: manager.create("a", -1), lambda: manager.count(), pool.start, pool.stop, pool.drain):
        try:
            call()
        except ForkedProcess:
            refused += 1
    manager.close()
    assert refused == 5, refused

def make_another(number):
    with JobManager(DATABASE, executors={"b": lambda data: data}, registry=REGISTRY) as own:
        own.create("b", number)
        if number % 4 == 0:
            with WorkerPool(own, threads=1):
                own.wait(own.create("b", number).id, PATIENCE)

def spawned(number):
    make_another(number)

def child(number, manager, pool):
    if number % 2:
        use_parents(manager, pool)
    make_another(number)

def forked(number, manager, pool):
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(20)
    if number % 3 == 0:
        os._exit(0)
    if number % 3 == 1:
        with pool, manager:  # as if it came out of the parent's with blocks
            sys.exit(0)
    try:
        child(number, manager, pool)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    sys.exit(0)

def main(forks):
    manager = JobManager(DATABASE, executors={"a": lambda data: data}, registry=REGISTRY)
    pool = WorkerPool(manager, threads=4).start()
    created = 0
    def load():
        nonlocal created
        while not over.is_set():
            manager.create_many([{"type": "a", "data": [created, n]} for n in range(50)])
            created += 50
            until(lambda: manager.count(type="a", state="pending") <= 100)
    over = threading.Event()
    loads = threading.Thread(target=load)
    loads.start()
    codes, busy = [], 0
    fork, spawn = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
    for number in range(forks):
        busy += pool.gauges().busy or pool.gauges().queued > 0
        if number % 4 == 0:
            codes.append(subprocess.run(["true"]).returncode)
        elif number % 4 == 1:
            process = fork.Process(target=child, args=(number, manager, pool))
            process.start()
            process.join(25)
            codes.append("hung" if process.is_alive() else process.exitcode)
        else:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(forked(number, manager, pool), 0)[1]))
    for number in range(2):
        process = spawn.Process(target=spawned, args=(number,))
        process.start()
        process.join(25)
        codes.append("hung" if process.is_alive() else process.exitcode)
    over.set()
    loads.join()
    until(lambda: not manager.count(type="a", state="pending"))
    report = pool.stop()
    manager.close()
    print(created, busy, sum(code == 0 for code in codes), len(codes), set(codes), report)

if __name__ == "__main__":
    main(int(os.environ["TEST_FORKS"]))
"""


@pytest.mark.fault("F30")
def test_f30_forks_of_a_busy_host_hang_nobody(
    fault: FaultReport, script: Script, jobs: Jobs, tmp_path: Any
) -> None:
    """Children that exit, exit through the parent's blocks, use the parent's manager, or make their own."""
    program = tmp_path / "storm.py"
    program.write_text(PRELUDE + _FORKING + _STORM)
    forks = fault.length(40, 200)
    printed = script.execute(str(program), TEST_FORKS=str(forks))
    created, busy, good, children, *rest = printed.split(maxsplit=4)
    assert good == children, rest
    counts = {state: jobs.count_documents({"type": "a", "state": state}) for state in ("succeeded", "pending")}
    assert counts == {"succeeded": int(created), "pending": 0}
    assert jobs.count_documents({"attempts": {"$gt": 1}}) == 0
    assert jobs.count_documents({"type": "a", "data": -1}) == 0, "a child created a job with the parent's manager"
    assert jobs.count_documents({"type": "b"}) > 0
    fault.struck(int(busy), "forks while the pool was busy")
    fault.figure("children that hung", f"{int(children) - int(good)}/{children}")


@pytest.mark.fault("F30")
@pytest.mark.parametrize("lock", ["at_exit._lock", "metrics._registries_lock", "manager.metrics._lock"])
def test_f30_a_fork_while_a_lock_of_ours_is_held_leaves_it_usable_in_the_child(
    fault: FaultReport, script: Script, jobs: Jobs, lock: str
) -> None:
    """The thread that holds it does not exist in the child."""
    printed = script.run(f"""{_FORKING}
from prometheus_client import REGISTRY
from jobpool import metrics
from jobpool.pool import at_exit
def executors():
    return {{"a": lambda data: data}}
manager = JobManager(DATABASE, executors=executors(), registry=REGISTRY)
manager.create("a", 0)
held, forked = threading.Event(), threading.Event()
def hold():
    with {lock}:
        held.set()
        forked.wait(PATIENCE)
holder = threading.Thread(target=hold)
holder.start()
locked = held.wait(PATIENCE)
child = os.fork()
if not child:
    signal.alarm(15)
    with JobManager(DATABASE, executors=executors(), registry=REGISTRY) as own, WorkerPool(own, threads=1):
        own.wait(own.create("a", 1).id, PATIENCE)
    sys.exit(7)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
still = holder.is_alive()
forked.set()
holder.join()
with WorkerPool(manager, threads=1):
    manager.wait(manager.create("a", 2).id, PATIENCE)
manager.close()
print(code, locked and still)
""")
    code, locked = printed.split()
    fault.struck(locked == "True", f"{lock} held while the child was made")
    assert code == "7"
    done = jobs.count_documents({"state": "succeeded"})
    assert done == 3, "before the fork, of the child, of the parent"
    fault.figure(f"jobs done around a fork with {lock} held", f"{done}/3")


_CHANGES = {
    "logging": """
import logging.config
logging.config.dictConfig({"version": 1, "disable_existing_loggers": True, "root": {"level": "CRITICAL"}})
logging.disable(logging.CRITICAL)
logging.shutdown()
""",
    "time.time stands still": "time.time = lambda: 0.0",
    "time.time jumps": "time.time = iter(range(10**10, 0, -3600)).__next__",
    "socket timeout": "import socket; socket.setdefaulttimeout(0.01)",
    "directory": "import tempfile\nwith tempfile.TemporaryDirectory() as gone: os.chdir(gone)",
    "numbers": """
import decimal, locale
decimal.setcontext(decimal.Context(prec=1, traps=[decimal.Inexact, decimal.Rounded]))
decimal.DefaultContext.prec = 1
locale.setlocale(locale.LC_ALL, "C")
sys.setrecursionlimit(400)
sys.set_int_max_str_digits(640)
""",
    "collector and switches": "import gc\ngc.disable()\nsys.setswitchinterval(1e-6)",
    "random": "import random\nrandom.random = lambda: 1.0 - 2**-53\nrandom.seed(1)",
    "streams": "sys.stderr = sys.stdout = None",
    "environment": "os.environ.clear()",
}


@pytest.mark.fault("F32")
@pytest.mark.parametrize("when", ["before", "while it runs"])
def test_f32_what_a_host_does_to_itself_does_not_stop_its_pool(
    fault: FaultReport, script: Script, jobs: Jobs, when: str
) -> None:
    """All of it one after the other in one process: jobs in all sorts go through before and after each."""
    changes = "\n".join(f"change({name!r}, {code!r})" for name, code in _CHANGES.items())
    early, late = (changes, "") if when == "before" else ("", changes)
    printed = script.run(f"""
from datetime import UTC, datetime
from urllib.request import urlopen
import asyncio
out, done, n = os.dup(1), [], 0

async def coroutine(data):
    await asyncio.sleep(0.001)
    return data

def fails(data):
    raise ValueError(data)

def change(name, code):
    exec(code, globals())
    done.append(name)
    if pool.state != "new":
        prove()

def prove():
    global n
    n += 1
    values = {{"f": 0.1, "d": datetime.now(UTC), "n": n, "deep": [[[n]]]}}
    ids = [manager.create(type, values).id for type in ("plain", "coroutine")]
    for id in ids:
        job = manager.wait(id, PATIENCE)
        assert job.result["f"] == 0.1 and job.result["n"] == n, job
    assert manager.wait(manager.create("fails", n).id, PATIENCE).error.type == "ValueError"
    later = manager.create("plain", ["later", n], delay=0.05)
    assert manager.wait(later.id, PATIENCE).started_at >= later.run_at
    assert urlopen(server.url + "/readyz", timeout=PATIENCE).status == 200
    assert b"jobpool_attempts_total" in urlopen(server.url + "/metrics", timeout=PATIENCE).read()

manager = JobManager(DATABASE, executors={{"plain": lambda data: data, "coroutine": coroutine, "fails": fails}})
pool = WorkerPool(manager, threads=2, lease=2)
{early}
pool.start()
server = pool.serve_metrics(0)
prove()
{late}
assert pool.stop(PATIENCE).abandoned == ()
manager.close()
os.write(out, f"{{len(done)}} {{n}}".encode())
os._exit(0) if sys.stderr is None else None
""")
    changed, proofs = map(int, printed.split())
    fault.struck(changed == len(_CHANGES) and changed, "things changed under the pool")
    assert jobs.count_documents({"state": {"$nin": ["succeeded", "failed"]}}) == 0
    assert jobs.count_documents({"attempts": {"$ne": 1}}) == 0
    fault.figure(f"changed {when}; jobs went through", f"{changed}; {4 * proofs}/{4 * proofs}")
