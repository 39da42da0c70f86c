"""Contention among real pools: at full rate with work, and at a low rate, one job at a time."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..manager import JobManager
from . import fleet
from .bench import TYPE, Bench, expect_recorded_once
from .counters import percentiles
from .proof import expect_once
from .results import paired

REPEAT = 3
PROCESSES, BATCH = 8, 100
#: Jobs/s, created one by one; pools that share them.
LOW_RATE, LOW_POOLS = 200, (2, 8)
LOW_REPEAT, LOW_SECONDS = 2, 6


def _repeat(bench: Bench, usual: int) -> int:
    return 1 if bench.quick else bench.repeat(usual)  # each starts its processes anew


def with_work(bench: Bench, strategies: Sequence[str]) -> None:
    """Let real pools drain no-op jobs together, by turns with each strategy."""
    jobs, processes = bench.size(20_000, 1_000), 2 if bench.quick else PROCESSES
    repeat = _repeat(bench, REPEAT)
    bench.progress.expect(repeat * len(strategies))
    rates: dict[str, list[float]] = {name: [] for name in strategies}
    lost: dict[str, list[float]] = {name: [] for name in strategies}
    for _ in range(repeat):
        for name in strategies:
            bench.progress.step(f"{name}, {processes} pools that run {jobs} jobs")
            options = {"strategy": name, "batch_size": BATCH}
            seconds, reports = fleet.drain(bench, processes, jobs, options=options)
            rates[name].append(jobs / seconds)
            lost[name].append(_conflicts(reports))
    where: dict[str, int] = {"pools": processes, "batch": BATCH}
    found = {
        name: bench.results.measure("drain with work", values, "jobs/s", "higher", strategy=name, **where)
        for name, values in rates.items()
    }
    for name, values in lost.items():
        bench.results.measure("conflicts with work", values, "of candidates", "lower", strategy=name, **where)
    if {"window", "batch"} <= found.keys():
        ratios = paired(found["window"], found["batch"])
        bench.results.ratio("drain with work, window / batch", ratios, pools=processes, batch=BATCH)


def all_commands(bench: Bench) -> None:
    """Count whatever a pool at full rate sends, heartbeats and change stream included."""
    jobs, repeat = bench.size(20_000, 1_000), _repeat(bench, REPEAT)
    bench.progress.expect(repeat)
    sent = []
    for _ in range(repeat):
        bench.progress.step(f"one pool that runs {jobs} jobs, its commands counted")
        _, reports = fleet.drain(bench, 1, jobs, listen=True)
        sent.append(reports[0]["commands"]["total"] / jobs)
    bench.results.measure("commands with work", sent, "round trips/job", "lower", pools=1)
    bars = {} if bench.quick else {"bar": 0.05}  # a few jobs do not carry what a pool sends at its start
    bench.results.ratio("commands / job, one pool at full rate", sent, better="lower", **bars)


def low_rate(bench: Bench) -> None:
    """Create jobs one by one, far fewer than the pools could run: each job wakes all of them."""
    jobs, repeat = LOW_RATE * bench.size(LOW_SECONDS, 1), _repeat(bench, LOW_REPEAT)
    counts = LOW_POOLS[:1] if bench.quick else LOW_POOLS
    bench.progress.expect(repeat * len(counts))
    found: defaultdict[int, list[dict[str, float]]] = defaultdict(list)
    for _ in range(repeat):
        for pools in counts:
            bench.progress.step(f"{pools} pools, {LOW_RATE} jobs/s created one by one")
            found[pools].append(_trickle(bench, pools, jobs))
    for name, (unit, better) in LOW_FIGURES.items():
        for pools, ones in found.items():
            values = [one[name] for one in ones]
            bench.results.measure(f"low rate: {name}", values, unit, better, pools=pools)


LOW_FIGURES = {
    "created": ("jobs/s", ""),
    "conflicts": ("of candidates", "lower"),
    "claims that won": ("of calls", "higher"),
    "contended claims": ("of calls", "lower"),
    "claim calls": ("calls/job", "lower"),
    "commands": ("round trips/job", "lower"),
    "mean window factor": ("batches", "lower"),
    "largest window factor": ("batches", "lower"),
    "create to start p50": ("s", "lower"),
    "create to start p95": ("s", "lower"),
}


def _trickle(bench: Bench, pools: int, jobs: int) -> dict[str, float]:
    """Create `jobs` one by one while so many pools run them; prove that each ran once."""
    manager = bench.manager()
    seconds: list[float] = []
    create = partial(_create_slowly, manager, jobs, seconds)
    _, reports = fleet.run(bench, manager, pools, jobs, beside=create, listen=True)
    expect_once([n for report in reports for n in report["ran"]], jobs)
    expect_recorded_once(bench, manager, jobs)
    waits = percentiles(_waits(bench, manager))
    bench.drop(manager)
    return {
        "created": jobs / seconds[0],
        **_of_claims(reports, jobs),
        "commands": sum(report["commands"]["total"] for report in reports) / jobs,
        "create to start p50": waits["p50"],
        "create to start p95": waits["p95"],
    }


def _create_slowly(manager: JobManager, jobs: int, seconds: list[float]) -> None:
    """Create jobs at `LOW_RATE`; note how long it took."""
    began, pause = time.monotonic(), threading.Event()
    for number in range(jobs):
        pause.wait(max(0.0, began + number / LOW_RATE - time.monotonic()))
        manager.create(TYPE, {"n": number})
    seconds.append(time.monotonic() - began)


def _waits(bench: Bench, manager: JobManager) -> list[float]:
    """Return the seconds from the creation of each job to its start, by the server's clock."""
    found = bench.raw(manager).find({}, {"_id": 0, "created_at": 1, "started_at": 1})
    return [(document["started_at"] - document["created_at"]).total_seconds() for document in found]


def _conflicts(reports: list[dict[str, Any]]) -> float:
    won, lost = (sum(report["claims"][name] for report in reports) for name in ("won", "conflicts"))
    return float(lost / (won + lost))


def _of_claims(reports: list[dict[str, Any]], jobs: int) -> dict[str, float]:
    claims = [report["claims"] for report in reports]
    calls = sum(sum(one["calls"].values()) for one in claims)
    won = sum(one["calls"]["full"] + one["calls"]["partial"] for one in claims)
    return {
        "conflicts": _conflicts(reports),
        "claims that won": won / calls,
        "contended claims": sum(one["calls"]["contended"] for one in claims) / calls,
        "claim calls": calls / jobs,
        "mean window factor": sum(one["mean factor"] for one in claims) / len(claims),
        "largest window factor": max(one["largest factor"] for one in claims),
    }
