"""What jobs do to their own pool, and slow ones to the fast."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest

from jobpool import Executor, JobManager, WorkerPool, current_job
from jobpool.metrics import Metrics

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .hosts import HostSnapshot
from .report import FaultReport


@pytest.mark.fault("F22")
def test_f22_what_a_job_does_to_its_own_pool_is_defined(
    fault: FaultReport, make_manager: MakeManager, jobs: Jobs
) -> None:
    ran: Counter[str] = Counter()

    def note(data: object) -> object:
        ran[str(data)] += 1
        return data

    def creates(data: object) -> list[str]:
        ids = [manager.create("note", f"child {n}").id for n in range(50)]
        assert manager.create_many([{"type": "note", "data": f"child {n}"} for n in range(50)]).inserted == 0
        return ids

    def cancels(data: object) -> str:
        return manager.cancel(current_job().id).state.value

    def runs(data: object) -> object:
        job = manager.create("inner", "run")
        done = manager.run("inner")
        assert done is not None
        assert current_job().type == "runs", "the context of the outer job is back"
        return [done.id == job.id, done.state.value, done.result]

    def starts(data: object) -> object:
        job = manager.create("inner", "pool")
        with WorkerPool(manager, ["inner"], name="inner", threads=1):
            return manager.wait(job.id, PATIENCE).result

    async def starts_async(data: object) -> object:
        job = manager.create("inner", "async pool")
        with WorkerPool(manager, ["inner"], name="inner", threads=1):
            return (await asyncio.to_thread(manager.wait, job.id, PATIENCE)).result

    def forks_a_thread(data: object) -> str:
        thread = threading.Thread(target=pool.drain, args=(0.1,), name="drainer")
        thread.start()
        thread.join(PATIENCE)
        return pool.state

    executors: dict[str, Any] = {
        "note": note,
        "inner": note,
        "stops": lambda data: pool.stop(),
        "drains": lambda data: pool.drain(),
        "restarts": lambda data: pool.start().state,
        "closes": lambda data: manager.close(),
        "removes": lambda data: manager.remove(current_job().id),
        "creates": creates,
        "cancels": cancels,
        "runs": runs,
        "starts": starts,
        "starts_async": starts_async,
        "waits": lambda data: manager.wait(current_job().id, 0.05),
        "again": lambda data: manager.create("again", on_duplicate="revive").state.value,
    }
    manager: JobManager = make_manager(executors=executors)
    manager.executors.register("drains elsewhere", Executor(forks_a_thread))
    types = [type for type in [*executors, "drains elsewhere"] if type not in ("note", "inner")]
    with HostSnapshot():
        pool: WorkerPool = manager.start_watch(*[type for type in types if type != "inner"], "note", threads=3)
        ends = {type: manager.wait(manager.create(type).id, PATIENCE) for type in types}
        until(lambda: not jobs.count_documents({"state": {"$in": ["claimed", "running"]}}), "the drain")
        (report,) = manager.stop_watch(PATIENCE)
        manager.run_all("note")
        manager.close()
    assert (report.abandoned, report.threads) == ((), ())
    effects = {type: job.error.type if job.error else job.result for type, job in ends.items()}
    children = effects.pop("creates")
    documented = {
        "stops": "PoolStateError",
        "drains": "PoolStateError",
        "restarts": "PoolStateError",
        "closes": "PoolStateError",
        "removes": "JobHeld",
        "cancels": "running",
        "runs": [True, "succeeded", "run"],
        "starts": "pool",
        "starts_async": "async pool",
        "waits": "WaitTimeout",
        "again": "running",
        "drains elsewhere": "draining",
    }
    assert effects == documented
    assert len(children) == 50
    assert {ran[f"child {n}"] for n in range(50)} == {1}
    assert max(ran.values()) == 1
    fault.struck(sum(job.error is not None for job in ends.values()), "jobs that their own pool refused")
    right = sum(effects[type] == effect for type, effect in documented.items())
    fault.figure("effects as documented", f"{right}/{len(documented)}")


@pytest.mark.fault("F24")
def test_f24_a_slow_type_neither_overfills_the_queue_nor_starves_the_fast_one(
    fault: FaultReport, make_manager: MakeManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads, a queue of four, one type that takes 0.4 s and one that takes nothing."""
    lease, queue_size, threads = 4.0, 4, 2
    ages: list[float] = []
    told = Metrics.started

    def started(self: Metrics, pool: str, type: str, wait: float, queue_wait: float) -> None:
        ages.append(queue_wait)
        told(self, pool, type, wait, queue_wait)

    monkeypatch.setattr(Metrics, "started", started)
    never, gate = threading.Event(), threading.Event()

    def slow(data: object) -> None:
        never.wait(0.4)

    manager = make_manager(executors={"slow": slow, "fast": lambda data: gate.wait(PATIENCE)})
    slow_jobs = fault.length(10, 60)
    for n in range(slow_jobs):
        manager.create("slow", n)
        manager.create_many([{"type": "fast", "data": [n, m]} for m in range(20)])
    pool = WorkerPool(manager, threads=threads, queue_size=queue_size, lease=lease)
    pool._parts.pace.observe("fast", 1e-6)  # it takes the jobs for short ones and fills its queue
    most_held = most_waiting = 0

    def look() -> bool:
        nonlocal most_held, most_waiting
        held = jobs.count_documents({"state": {"$in": ["claimed", "running"]}})
        most_held = max(most_held, held)
        most_waiting = max(most_waiting, pool.gauges().queued)
        return not jobs.count_documents({"state": {"$nin": ["succeeded"]}})

    with pool:
        until(lambda: look() or most_held > threads, "a queue that fills")
        gate.set()
        until(look, "the last job", 60)
    assert manager.count(state="succeeded") == 21 * slow_jobs
    assert {document["attempts"] for document in jobs.find()} == {1}
    fault.struck(max(0, most_held - threads), "jobs that waited behind busy threads")
    assert most_waiting <= queue_size
    assert most_held <= queue_size + threads
    assert max(ages) < lease / 2
    fault.figure("most claimed beyond the threads (queue 4)", most_held - threads)
    fault.figure("longest in the queue, s (lease 4)", max(ages))
