"""Limits of the process and of a document."""

from __future__ import annotations

import threading
from typing import Any

import bson
import pytest
from pymongo import MongoClient, monitoring

from jobpool import Backoff, Executor, JobManager, State, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import InvalidConfiguration, InvalidJob

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE
from .hosts import HostSnapshot, Script, pool_threads
from .report import FaultReport

MIB = 1024 * 1024


class NoMoreThreads:
    """Lets `allowed` threads of pools start, and no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
        self.refused = 0
        self._left = allowed
        self._start = threading.Thread.start
        monkeypatch.setattr(threading.Thread, "start", lambda thread: self._begin(thread))

    def _begin(self, thread: threading.Thread) -> None:
        if thread.name.startswith("jobpool-"):
            if not self._left:
                self.refused += 1
                raise RuntimeError("can't start new thread")
            self._left -= 1
        self._start(thread)


@pytest.mark.fault("F13")
@pytest.mark.parametrize("what", ["pool", "run"])
def test_f13_a_start_that_gets_no_thread_claims_nothing_and_leaves_nothing(
    fault: FaultReport, make_manager: MakeManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The first thread is refused, then the second, and so on, until a start gets all it needs."""

    async def coroutine(data: object) -> object:
        return data

    refused = allowed = 0
    with HostSnapshot():
        manager = make_manager(executors={"a": coroutine})
        id = manager.create("a", 7).id
        while True:
            limit = NoMoreThreads(monkeypatch, allowed)
            pool = None
            try:
                if what == "run":
                    done = manager.run("a")
                    if done is not None and done.state is State.SUCCEEDED:
                        break
                else:
                    pool = WorkerPool(manager, threads=2)
                    pool.start()
            except RuntimeError:
                assert limit.refused
            monkeypatch.undo()
            if not limit.refused:
                break
            refused += 1
            allowed += 1
            if what == "pool":
                assert pool is not None
                assert (pool.state, pool_threads()) == ("stopped", set())
                assert jobs.count_documents({"state": "pending", "attempts": 0, "fence": 0}) == 1
            else:
                assert jobs.count_documents({"state": {"$in": ["claimed", "running"]}}) == 0
                jobs.update_one({"_id": id}, {"$set": {"state": "pending", "attempts": 0}})
        monkeypatch.undo()
        assert manager.wait(id, PATIENCE).result == 7
        if pool is not None:
            pool.stop()
        manager.close()
        assert not pool_threads()
    fault.struck(refused, "starts that were refused a thread")
    fault.figure(f"{what}: starts refused, then up", f"{refused}, 1")


_LIMITED = """
import resource
def limited(kind, value):
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    return lambda: resource.setrlimit(kind, (soft, hard))
def size():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
def threads():
    return sum(t.name.startswith("jobpool-") for t in threading.enumerate())
def hungry(data):
    return len(bytearray(data))
manager = JobManager(DATABASE, executors={"a": hungry}, timeout=3)
id = manager.create("a", 1000).id
"""


@pytest.mark.fault("F13")
def test_f13_memory_at_its_limit_fails_a_start_or_a_job_and_nothing_else(
    fault: FaultReport, script: Script, jobs: Jobs
) -> None:
    printed = script.run(
        _LIMITED
        + """
free = limited(resource.RLIMIT_AS, size() + 40 * 2**20)
pool = WorkerPool(manager, threads=200)
try:
    pool.start()
    print("started")
except (RuntimeError, MemoryError) as error:
    print(type(error).__name__)
print(pool.state, threads(), manager.get(id).fence)
free()
with WorkerPool(manager, threads=2) as pool:
    assert manager.wait(id, PATIENCE).result == 1000
    free = limited(resource.RLIMIT_AS, size() + 300 * 2**20)
    job = manager.wait(manager.create("a", 2**40).id, PATIENCE)
    print(job.state, job.error.type, pool.health().is_live)
    assert manager.wait(manager.create("a", 1001).id, PATIENCE).result == 1001
    free()
manager.close()
print(threads())
"""
    ).split()
    assert printed[1:] == ["stopped", "0", "0", "failed", "MemoryError", "True", "0"]
    fault.struck(printed[0] in ("RuntimeError", "MemoryError"), "memory refused by the system")
    fault.figure("start without memory, job without memory", f"{printed[0]}, {printed[5]}")


@pytest.mark.fault("F13")
def test_f13_descriptors_at_their_limit_fail_calls_and_are_got_over(
    fault: FaultReport, script: Script, jobs: Jobs
) -> None:
    """First for a manager that has no connection yet, then under a running pool that has to connect anew."""
    printed = script.run(
        _LIMITED
        + """
from jobpool.errors import InvalidConfiguration, StoreUnavailable
free = limited(resource.RLIMIT_NOFILE, 3)  # before there is a client, which connects on a thread of its own
other = JobManager(DATABASE, executors={"a": hungry}, timeout=1)
pool = WorkerPool(other, threads=2)
try:
    pool.start()
    print("started")
except StoreUnavailable as error:
    print(type(error).__name__)
print(pool.state, threads(), manager.get(id).fence)
free()
with WorkerPool(manager, threads=2, lease=2) as pool:
    assert manager.wait(id, PATIENCE).result == 1000
    free = limited(resource.RLIMIT_NOFILE, 3)
    refused = 0
    try:
        pool.serve_metrics(0)
    except InvalidConfiguration:
        refused += 1
    jobs = [manager.create("a", n).id for n in range(50)]
    assert all(manager.wait(id, PATIENCE).state == "succeeded" for id in jobs)
    free()
    assert manager.wait(manager.create("a", 1001).id, PATIENCE).result == 1001
    print(refused, pool.health().is_live)
other.close()
manager.close()
print(threads())
"""
    ).split()
    assert printed[1:] == ["new", "0", "0", "1", "True", "0"]
    fault.struck(printed[0] == "StoreUnavailable", "descriptors refused by the system")
    fault.figure("start without descriptors, pool at the limit", f"{printed[0]}, works")


class Sent(monitoring.CommandListener):
    """Counts the commands on the wire that write."""

    def __init__(self) -> None:
        self.writes = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.writes += event.command_name in ("insert", "update", "findAndModify")

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


@pytest.mark.fault("F58")
@pytest.mark.parametrize("mib", [15.9, 16, 17])
def test_f58_data_over_the_edge_is_refused_before_the_wire(
    fault: FaultReport, server: EmbeddedMongo, database: str, jobs: Jobs, mib: float
) -> None:
    sent, size = Sent(), int(mib * MIB)
    client: MongoClient[Any] = MongoClient(server.uri, event_listeners=[sent])
    refused = 0
    with JobManager(database, client=client, data_limit=15 * MIB) as manager:
        manager.ensure_indexes()
        before = sent.writes
        attempts = (
            lambda: manager.create("a", "x" * size),
            lambda: manager.create("a", {"list": [b"x" * (size // 8)] * 8}),
            lambda: manager.create_many([{"type": "a", "data": 1}, {"type": "a", "data": "x" * size}]),
        )
        for attempt in attempts:
            with pytest.raises(InvalidJob, match=r"\d{8} bytes as BSON, over the limit"):
                attempt()
            refused += 1
        assert jobs.count_documents({"data": {"$type": "string"}}) == 0
        assert sent.writes - before <= 1, "the first of a batch may have been sent, nothing of the rest"
    client.close()
    with pytest.raises(InvalidConfiguration, match="data_limit"):
        JobManager(database, uri=server.uri, data_limit=15 * MIB + 1)
    fault.struck(refused, f"creates of {mib} MiB")
    fault.figure(f"{mib} MiB refused with its size", f"{refused}/{len(attempts)}")


@pytest.mark.fault("F58")
def test_f58_a_result_over_the_edge_is_lost_and_nothing_more(
    fault: FaultReport, make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager(executors={"a": lambda data: "y" * data[0]}, data_limit=15 * MIB)
    sizes = [int(mib * MIB) for mib in (15.9, 16, 17)]
    with WorkerPool(manager, threads=1) as pool:
        for size in sizes:
            job = manager.wait(manager.create("a", [size]).id, PATIENCE)
            assert (job.state, job.result, job.error) == (State.SUCCEEDED, None, None)
            assert str(size)[:3] in str(job.result_error)
        fits = manager.wait(manager.create("a", [15 * MIB - 1000]).id, PATIENCE)
        assert (fits.state, len(fits.result)) == (State.SUCCEEDED, 15 * MIB - 1000)
        beside = manager.wait(manager.create("a", [8 * MIB, b"x" * 8 * MIB]).id, PATIENCE)
        assert beside.result is None, "data and result are one document"
        assert beside.result_error is not None
        assert pool.stop().abandoned == ()
    fault.struck(jobs.count_documents({"result_error": {"$exists": True}}), "results over the edge")
    largest = max(len(bson.encode(document)) for document in jobs.find())
    fault.figure("largest document with a result, MiB", largest / MIB)


@pytest.mark.fault("F58")
def test_f58_the_history_of_a_job_that_fails_for_ever_stays_small(
    fault: FaultReport, make_manager: MakeManager, jobs: Jobs
) -> None:
    """With data at the limit, and texts and tracebacks at theirs."""

    def fails(data: object) -> None:
        raise ValueError("é" * 100_000)

    failures = fault.length(60, 1000)
    executors = {
        "small": Executor(fails, max_attempts=failures, backoff=Backoff(base=0)),
        "large": Executor(fails, max_attempts=20, backoff=Backoff(base=0)),
    }
    manager = make_manager(executors=executors, data_limit=15 * MIB)
    ids = {"small": manager.create("small").id, "large": manager.create("large", "x" * (15 * MIB - 100)).id}
    with WorkerPool(manager, threads=2, lease=10):
        ends = {type: manager.wait(id, 100) for type, id in ids.items()}
    assert {job.state for job in ends.values()} == {State.FAILED}
    assert (ends["small"].attempts, ends["large"].attempts) == (failures, 20)
    assert [error.attempt for error in ends["small"].errors] == list(range(failures - 9, failures + 1))
    stored = {document["type"]: len(bson.encode(document)) for document in jobs.find()}
    assert stored["small"] < MIB // 4
    assert stored["large"] < 16 * MIB
    fault.struck(sum(job.attempts for job in ends.values()), "failures recorded")
    fault.figure(f"document after {failures} failures, KiB", stored["small"] // 1024)
