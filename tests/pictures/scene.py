"""A shop at work: pools in processes of their own, and jobs in every state of their life."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jobpool import JobManager

from ..waiting import PATIENCE, until

ROOT = Path(__file__).parents[2]
MONTHS = [f"2026-{month:02}" for month in range(1, 12)]
#: More than the workers run while pictures are taken.
MANY = 20_000


@contextmanager
def shop_at_work(uri: str) -> Iterator[dict[str, str]]:
    """Start the workers, create their jobs, wait until every kind of trouble is there; yield the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBPOOL_")}
    environment |= {"JOBPOOL_URI": uri, "JOBPOOL_DATABASE": "shop", "PYTHONPATH": str(ROOT)}
    with ExitStack() as ending, JobManager("shop", uri=uri) as manager:
        _create(manager)
        for name, threads in (("web", 8), ("web", 8), ("batch", 4)):
            ending.enter_context(_worker(environment, name, threads))
        until(lambda: manager.count(type="mail", state="failed") >= 5, "failures")
        until(lambda: manager.count(type="invoice", state="running") >= 2, "a full limit")
        until(lambda: manager.count(type="report", state="running") >= 2, "long jobs")
        until(lambda: manager.backlog().of("mail").throughput > 0, "the pools' word on how fast they are")
        yield environment


def _create(manager: JobManager) -> None:
    """Create what there is a lot of first: lists begin with what came last."""
    manager.create_many({"type": "mail", "data": {"to": f"customer{n}@example.com"}} for n in range(MANY))
    manager.create_many({"type": "resize", "data": {"image": n, "width": 200}} for n in range(MANY))
    manager.create_many({"type": "cleanup", "data": {"month": month}, "delay": 3600} for month in MONTHS)
    manager.pause("cleanup", reason="until the backup is done")
    for n in range(1001, 1021):
        manager.create("invoice", {"order": n}, id=f"invoice-{n}", priority=2)
    for n in range(3):
        manager.create("export", {"table": "orders", "part": n})
    for month in MONTHS[:3]:
        manager.create("report", {"month": month}, priority=5)
    for n in range(100, 111):
        manager.create("mail", {"to": f"guest{n}@example.com"}, id=f"newsletter-{n}", priority=5)
    manager.create("summary", {"month": MONTHS[0]}, id="summary", after=["invoice-1001", "invoice-1002"])
    manager.cancel(manager.create("export", {"table": "returns", "part": 1}).id)


@contextmanager
def _worker(environment: Mapping[str, str], name: str, threads: int) -> Iterator[None]:
    # Of `batch` only what takes long; the others leave it alone.
    types = ["report", "invoice"] if name == "batch" else ["mail", "resize"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "jobpool", "worker", "tests.pictures.app:manager", "--name", name),
            *("--threads", str(threads), "--drain-timeout", "0", "--types", *types),
        ],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
