"""What takes minutes or a disk of its own: a full disk, a backlog of a million."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymongo import WriteConcern

from jobpool import WorkerPool
from jobpool.errors import StoreError
from jobpool.store.claiming import STRATEGIES, Request
from jobpool.store.documents import new_document

from ..conftest import Jobs, MakeManager
from ..waiting import until
from .failpoints import Client
from .processes import Run
from .replicas import ReplicaSet
from .report import FaultReport, quantile

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
KIB = 1024
MIB = 1024 * KIB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 420 MiB: mongod keeps journals of 100 MiB, and needs some room to start at all."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.call(
        ["mount", "-t", "tmpfs", "-o", "size=420m", "tmpfs", str(place)], stderr=subprocess.DEVNULL
    )
    if not mounted:
        pytest.skip("to mount a small file system needs root")
    yield place
    subprocess.check_call(["umount", "--lazy", str(place)])


@pytest.mark.fault("F53")
def test_f53_a_full_disk_costs_no_acknowledged_job(fault: FaultReport, small_disk: Path, tmp_path: Path) -> None:
    """MongoDB ends itself when its disk is full; jobs that were acknowledged are there when it has room again."""
    ballast = small_disk / "ballast"
    with ReplicaSet(1, directory=small_disk / "set", oplog_mb=50) as replicas, replicas.client() as client:
        node = replicas.nodes[0]
        with Run(replicas.uri, client, tmp_path) as run:
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            ballast.write_bytes(b"\0" * (free - 40 * MIB))
            worker = run.worker(threads=4, lease=3)
            number = 0
            while node.running:
                try:
                    jobs = [{"type": "once", "data": {"n": number, "filling": os.urandom(8 * KIB)}}]
                    run.manager.create_many(jobs)
                except StoreError:
                    break
                number += 1
            until(lambda: not node.running, "the end of the server", 120)
            fault.struck(number, "jobs acknowledged before the disk was full")
            ballast.unlink()
            node.end()
            node.start()
            replicas.settle()
            run.create("once", 10, first=1_000_000)
            run.wait_until_done(120)
            assert worker.process.poll() is None, "the worker lived through it"
            run.end()
            run.judge(oplog=False)  # 50 MB of it do not reach back to the first job
            acknowledged = {job for e in run.events() if e.name == "create-ok" for job, _ in e.fields["jobs"]}
            lost = acknowledged - {job["_id"] for job in run.jobs.find({}, {"_id": 1})}
    assert not lost
    fault.figure("acknowledged jobs lost", f"{len(lost)}/{len(acknowledged)}")


def fill(jobs: Jobs, number: int) -> None:
    """Put a backlog into the collection, past the API: 85,000 a second."""
    now = datetime.now(UTC)
    fast = jobs.with_options(write_concern=WriteConcern(1))
    for first in range(0, number, 50_000):
        fast.insert_many(
            [
                new_document(
                    id=f"job {n:07}",
                    type=f"type {n % 5}",
                    data={"n": n},
                    priority=n % 3,
                    run_at=now - timedelta(milliseconds=number - n),
                    max_attempts=1,
                    created_at=now,
                )
                for n in range(first, min(first + 50_000, number))
            ],
            ordered=False,
        )


class Examined:
    """What the server read for claims, by its profiler."""

    def __init__(self, client: Client, database: str) -> None:
        self._database = client[database]

    def __enter__(self) -> Examined:
        self._database.create_collection("system.profile", capped=True, size=64 * MIB)
        self._database.command({"profile": 2})
        return self

    def __exit__(self, *error: object) -> None:
        self._database.command({"profile": 0})

    def keys(self) -> dict[str, int]:
        """Return the index keys examined so far, by the claim's statements."""
        found: dict[str, int] = {}
        for entry in self._database["system.profile"].find({"ns": f"{self._database.name}.jobs"}):
            if "keysExamined" in entry:
                name = "look" if entry["op"] == "query" and not entry["docsExamined"] else entry["op"]
                found[name] = found.get(name, 0) + entry["keysExamined"]
        return found


@pytest.mark.fault("F59")
@pytest.mark.parametrize("name", STRATEGIES)
def test_f59_a_claim_reads_in_proportion_to_what_it_takes(
    fault: FaultReport, client: Client, make_manager: MakeManager, jobs: Jobs, name: str
) -> None:
    backlog, calls, batch = fault.length(200_000, 1_000_000), 50, 1 if name == "single" else 200
    manager = make_manager()
    manager.ensure_indexes()
    fill(jobs, backlog)
    strategy = manager.store.strategy(name)
    types = tuple(f"type {n}" for n in range(1 if batch == 1 else 5))
    took, claimed = [], 0
    with Examined(client, jobs.database.name) as examined:
        for _ in range(calls):
            began = time.monotonic()
            claimed += len(strategy.claim(Request(types, batch, "soak", 600.0)).documents)
            took.append(time.monotonic() - began)
        keys = examined.keys()
    fault.struck(jobs.count_documents({}) == backlog and backlog, "jobs in the backlog")
    assert claimed == calls * batch
    per_job = {statement: number / claimed for statement, number in keys.items()}
    assert max(per_job.values()) <= 2.1, per_job
    fault.figure(
        f"{name}: claim of {batch} p50/p99, ms",
        f"{quantile(took, 0.5) * 1e3:.1f}/{quantile(took, 0.99) * 1e3:.1f}",
    )
    shown = ", ".join(f"{statement} {number:.2g}" for statement, number in sorted(per_job.items()))
    fault.figure(f"{name}: keys examined per claimed job", shown)


@pytest.mark.fault("F59")
def test_f59_purge_and_admin_queries_beside_a_large_backlog(
    fault: FaultReport, make_manager: MakeManager, jobs: Jobs
) -> None:
    """Neither touches what is not final, and the pool goes on."""
    backlog = fault.length(200_000, 1_000_000)
    manager = make_manager(timeout=60)
    manager.ensure_indexes()
    fill(jobs, backlog)
    ran: set[int] = set()
    for n in range(5):
        manager.executor(f"type {n}")(lambda data: ran.add(data["n"]))
    stop, removed, counted = threading.Event(), 0, 0
    with WorkerPool(manager, threads=4):
        deadline = time.monotonic() + fault.length(20.0, 120.0)
        while time.monotonic() < deadline and not stop.wait(0.2):
            removed += manager.remove_many(state="succeeded")
            counted += manager.count(state="pending") > 0
            manager.find(state="failed", limit=10)
    left = jobs.count_documents({"state": "pending"})
    done = jobs.count_documents({"state": "succeeded"})
    fault.struck(removed, "jobs purged while the pool ran")
    assert counted
    assert len(ran) == removed + done, "a purge took nothing that had not run"
    assert left + removed + done == backlog
    fault.figure("jobs run beside purge and counts", len(ran))
