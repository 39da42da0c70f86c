"""The course of the demo."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from ..config import PoolConfig
from ..embedded import EmbeddedMongo
from ..errors import PoolStateError
from ..job import Created, Job, State
from ..manager import JobManager
from ..metrics import quantiles
from ..names import check_int
from ..store.uris import redact_uri
from .screen import Screen
from .sources import BROKEN, QUICK, TYPE, every_nth, parse, parse_serially, standard_library

DATABASE = "jobpool_demo"
PAGE = 1000


def demonstrate(*, quick: bool, uri: str | None, keep: str | None, threads: int, metrics_port: int) -> int:
    """Run the demo; return 0 if the results of all jobs are those of a serial pass, else 1."""
    PoolConfig(threads=threads)  # nonsense is refused before anything is started
    check_int(metrics_port, "metrics port", 0, 65535)
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="jobpool-demo-") as scratch, _server(uri, keep) as address:
        screen.say(f"MongoDB:  {redact_uri(address)}, database {DATABASE}")
        paths = _input(Path(scratch), quick)
        # A collection of its own, so that a second demo on the same server does its work again.
        collection = f"jobs_{int(time.time() * 1000)}"
        with JobManager(DATABASE, uri=address, collection=collection, executors={TYPE: parse}) as manager:
            created = _create_twice(manager, paths, screen)
            elapsed, exposition = _run(manager, len(created.ids), threads, metrics_port, screen)
            jobs = list(_all_jobs(manager))
        _report(jobs, elapsed, exposition, screen)
        code = _check(jobs, paths, screen)
        if keep or uri:
            screen.say(f"The jobs are kept in {DATABASE}.{collection}" + (f" under {keep}" if keep else ""))
        return code


@contextmanager
def _server(uri: str | None, keep: str | None) -> Iterator[str]:
    if uri is not None:
        yield uri
        return
    with EmbeddedMongo(keep) as server:
        yield server.uri


def _input(scratch: Path, quick: bool) -> list[Path]:
    """Return the files to parse; the last one is not valid Python."""
    broken = scratch / "broken.py"
    broken.write_text(BROKEN)
    paths = standard_library()
    return [*(every_nth(paths, QUICK) if quick else paths), broken]


def _create_twice(manager: JobManager, paths: list[Path], screen: Screen) -> Created:
    jobs = [{"type": TYPE, "data": {"path": str(path)}} for path in paths]
    began = time.monotonic()
    first = manager.create_many(jobs)
    elapsed = time.monotonic() - began
    screen.say(f"Created:  {first.inserted} jobs, one per file, in {elapsed:.2f} s")
    second = manager.create_many(jobs)
    screen.say(f"Again:    {second.inserted} new, {second.duplicates} known: equal work is one job")
    return first


def _run(manager: JobManager, total: int, threads: int, metrics_port: int, screen: Screen) -> tuple[float, str]:
    """Run all jobs and return the seconds it took and the metrics as a scrape shows them."""
    began = time.monotonic()
    pool = manager.start_watch(threads=threads)
    server = pool.serve_metrics(metrics_port)
    screen.say(f"Metrics:  {server.url}/metrics")

    def finished() -> int:
        if pool.state == "stopped":
            raise PoolStateError("the pool was stopped")
        return sum(manager.count(state=state) for state in (State.SUCCEEDED, State.FAILED))

    tick = threading.Event()
    screen.follow("Running", total, finished, lambda: tick.wait(0.1))
    elapsed = time.monotonic() - began
    with urlopen(f"{server.url}/metrics") as answer:  # noqa: S310  (our own address)
        exposition = answer.read().decode()
    manager.stop_watch()
    return elapsed, exposition


def _all_jobs(manager: JobManager) -> Iterator[Job]:
    page = manager.find(limit=PAGE, oldest_first=True)
    while page:
        yield from page
        page = manager.find(limit=PAGE, oldest_first=True, after=page[-1])


def _report(jobs: list[Job], elapsed: float, exposition: str, screen: Screen) -> None:
    done = [job for job in jobs if job.state is State.SUCCEEDED]
    failed = [job for job in jobs if job.state is State.FAILED]
    imports: Counter[str] = Counter()
    for job in done:
        imports.update(job.result["imports"].keys())
    largest = sorted(done, key=lambda job: -job.result["lines"])[:8]
    screen.table("Most imported modules", ("module", "files"), imports.most_common(8))
    rows = [(Path(job.data["path"]).name, *_numbers(job.result)) for job in largest]
    screen.table("Largest files", ("file", "lines", "functions", "classes"), rows)
    for job in failed[:3]:
        error = job.error.message if job.error else ""
        kind = job.error.type if job.error else ""
        screen.say(f"Failed:   {Path(job.data['path']).name}: {kind}: {error}")
    p50, p95, p99 = quantiles(exposition, "jobpool_job_wait_seconds", (0.5, 0.95, 0.99))
    screen.say(f"Speed:    {len(jobs) / elapsed:,.0f} jobs/s, {len(jobs)} jobs in {elapsed:.1f} s")
    screen.say(f"Waits:    due to started p50 {p50:.2f} s, p95 {p95:.2f} s, p99 {p99:.2f} s (from the metrics)")


def _numbers(result: dict[str, Any]) -> tuple[int, int, int]:
    return result["lines"], result["functions"], result["classes"]


def _check(jobs: list[Job], paths: list[Path], screen: Screen) -> int:
    """Compare every result with a serial pass; return the exit code."""
    screen.say("Checking: parsing everything again, one file after the other")
    expected = parse_serially(paths)
    got = {
        job.data["path"]: job.result if job.state is State.SUCCEEDED else (job.error.type if job.error else "")
        for job in jobs
    }
    wrong = sorted(path for path in expected if got.get(path) != expected[path])
    runs = Counter(job.attempts for job in jobs)
    for path in wrong[:10]:
        screen.say(f"WRONG:    {path}: {got.get(path)!r} instead of {expected[path]!r}")
    failed = sum(isinstance(result, str) for result in expected.values())
    if wrong or len(jobs) != len(expected) or set(runs) != {1}:
        screen.say(
            f"FAILED:   {len(wrong)} results differ, {len(jobs)} jobs for {len(expected)} files, attempts {runs}"
        )
        return 1
    screen.say(f"Right:    all {len(jobs)} results ({failed} of them failures), every job executed exactly once")
    return 0
