"""A pool under load for long: what it takes of the machine stays flat."""

from __future__ import annotations

import os
import statistics
import threading

import pytest

from jobpool import JobManager, WorkerPool

from ..conftest import MakeManager
from .app import counted
from .hosts import pool_threads, resident
from .report import FaultReport

#: More than this per 10,000 jobs, after the warm-up, would be a leak.
LEAK = 1024**2


def descriptors() -> int:
    """Return how many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))


def work(data: int) -> None:
    """Fail for every tenth job."""
    if data % 10 == 0:
        raise ValueError(data)


def run_through(manager: JobManager, first: int, jobs: int) -> None:
    """Create that many jobs, wait until they are final, and remove them."""
    manager.create_many({"type": "a", "data": n} for n in range(first, first + jobs))
    done = threading.Event()
    while manager.count(state="pending") or manager.count(state="claimed") or manager.count(state="running"):
        done.wait(0.2)
    assert manager.count(state="succeeded") == jobs - jobs // 10
    assert manager.count(state="failed") == jobs // 10
    manager.remove_many(type="a")


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.fault("F33")
def test_f33_threads_files_and_memory_are_flat(make_manager: MakeManager, fault: FaultReport) -> None:
    rounds, jobs = fault.length(8, 20), 10_000
    manager = make_manager(executors={"a": work})
    memory, files, threads = [], [], []
    with WorkerPool(manager, threads=16):
        for number in range(rounds):
            run_through(manager, number * jobs, jobs)
            memory.append(resident())
            files.append(descriptors())
            threads.append(len(pool_threads()))
    warm = len(memory) // 3
    slope = statistics.linear_regression(range(len(memory) - warm), memory[warm:]).slope
    ran = sum(value for name, value in counted(manager).items() if name.startswith("jobpool_attempts_total"))
    fault.struck(ran == rounds * jobs and int(ran), "attempts recorded")
    fault.figure("jobs", rounds * jobs)
    fault.figure("memory per 10,000 jobs, KiB", slope / 1024)
    fault.figure("files, most above the first round", max(files) - files[0])
    fault.figure("threads, most above the first round", max(threads) - threads[0])
    assert slope < LEAK
    assert max(threads) == threads[0]
    assert max(files) - files[0] <= 4
