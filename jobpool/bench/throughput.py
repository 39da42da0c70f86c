"""Draining jobs, by turns with PyMongo alone, one process with several, and pinned with not pinned."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from . import fleet, plots, raw
from .bench import THREADS, TYPE, Bench, drain_pool, nothing, some_jobs
from .proof import expect
from .results import Results, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Those with a bar are taken more often: the disk makes the loop vary by a third.
REPEAT, FEWER = 9, 2
THREAD_COUNTS = (1, 4, 16, 64)
PROCESSES = 4
MANY = f"{PROCESSES} processes"
KIB = 1024
RESULTS = (0, KIB, 100 * KIB)
#: How long a drain of slow jobs should take.
STRETCH = 2.0


def _compute(data: Any) -> None:  # noqa: ARG001
    """Use the processor for a millisecond of this thread."""
    until = time.thread_time() + 0.001
    while time.thread_time() < until:
        pass


#: What the executors do, and how many seconds it takes a thread.
WORK: dict[str, tuple[Callable[[Any], Any], float]] = {
    "no-op": (nothing, 0.0),
    "sleep 1 ms": (lambda _: time.sleep(0.001), 0.001),
    "sleep 50 ms": (lambda _: time.sleep(0.05), 0.05),
    "compute 1 ms": (_compute, 0.001),
}


def measure(bench: Bench) -> None:
    """Drain everything, what is compared by turns."""
    jobs, single = bench.size(20_000, 1_000), bench.size(2_000, 100)
    bench.results.settings.update(jobs=jobs, loop_jobs=single, threads=THREADS)
    repeat, fewer = bench.repeat(REPEAT), bench.repeat(FEWER)
    kinds = WORK if not bench.quick else {name: WORK[name] for name in ("no-op", "sleep 1 ms")}
    counts = THREAD_COUNTS if not bench.quick else (1, 16)
    bench.progress.expect(repeat * 5 + fewer * (len(kinds) * len(counts) + 2 * len(RESULTS)))
    against_pymongo(bench, jobs, single, repeat)
    by_executor(bench, kinds, counts, jobs, fewer)
    by_result(bench, bench.size(2_000, 100), fewer)


def against_pymongo(bench: Bench, jobs: int, single: int, repeat: int) -> None:
    """Compare one pool in a process of its own with PyMongo, with itself on one core, and with four of itself."""
    spent: dict[str, list[dict[str, float]]] = {"pool": [], "pinned": [], MANY: []}
    measures: dict[str, Callable[[], float]] = {
        "floor": lambda: jobs / drain_raw(bench, jobs, raw.floor),
        "pool": lambda: _observed(bench, 1, jobs, spent["pool"]),
        "pinned": lambda: _observed(bench, 1, jobs, spent["pinned"], core=(os.cpu_count() or 1) - 1),
        "loop": lambda: single / drain_raw(bench, single, raw.loop),
        MANY: lambda: _observed(bench, PROCESSES, jobs, spent[MANY]),
    }
    rates = by_turns(bench, measures, repeat)
    found = {
        name: bench.results.measure("drain", values, "jobs/s", "higher", by=name) for name, values in rates.items()
    }
    ratio = bench.results.ratio
    ratio("pool / floor", paired(found["pool"], found["floor"]), bar=1.0)
    ratio("pool / find_one_and_update loop", paired(found["pool"], found["loop"]), bar=15)
    ratio(f"{MANY} / pool", paired(found[MANY], found["pool"]), bar=0.9)
    ratio("pinned / pool", paired(found["pinned"], found["pool"]))
    for name, costs in spent.items():
        for what in costs[0]:
            unit = "us/job" if what == "cpu" else "switches/job"
            bench.results.measure(what, [cost[what] for cost in costs], unit, "lower", by=name)


def _observed(bench: Bench, processes: int, jobs: int, spent: list[dict[str, float]], **settings: Any) -> float:
    """Drain in processes of their own, and note what these spent per job; return the rate."""
    seconds, reports = fleet.drain(bench, processes, jobs, **settings)
    done = {name: sum(report["work"][name] for report in reports) / jobs for name in reports[0]["work"]}
    spent.append(
        {
            "cpu": done["cpu seconds"] * 1e6,
            "voluntary switches": done["voluntary switches"],
            "involuntary switches": done["involuntary switches"],
        }
    )
    return jobs / seconds


def by_turns(bench: Bench, measures: dict[str, Callable[[], float]], repeat: int) -> dict[str, list[float]]:
    """Take every measure `repeat` times, A B A B; return the values."""
    values: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(repeat):
        for name, take in measures.items():
            bench.progress.step(name)
            values[name].append(take())
    return values


def drain_raw(bench: Bench, count: int, work: Callable[[raw.Jobs, str], float]) -> float:
    """Let PyMongo alone drain `count` jobs; prove that it got through; return the seconds."""
    manager = bench.manager()
    manager.create_many(some_jobs(count))
    seconds = work(bench.raw(manager), TYPE)
    expect(manager.count(state="succeeded") == count, "the raw loop did not finish every job")
    bench.drop(manager)
    return seconds


def by_executor(
    bench: Bench,
    kinds: dict[str, tuple[Callable[[Any], Any], float]],
    counts: tuple[int, ...],
    jobs: int,
    repeat: int,
) -> None:
    """Drain jobs of several kinds with several numbers of threads."""
    for name, (work, seconds) in kinds.items():
        for threads in counts:
            at_once = 1 if work is _compute else threads  # of those that hold the interpreter lock, one
            ideal = at_once / seconds if seconds else float("inf")
            count = int(max(threads * 4, min(jobs, ideal * STRETCH * (0.1 if bench.quick else 1))))
            values = []
            for _ in range(repeat):
                bench.progress.step(f"{name}, {threads} threads, {count} jobs")
                values.append(count / drain_pool(bench, count, threads=threads, work=work))
            bench.results.measure("drain by executor", values, "jobs/s", "higher", executor=name, threads=threads)
            if name.startswith("sleep"):
                shares = [value / ideal for value in values]
                bench.results.measure(
                    "share of the ideal", shares, "of 1", "higher", executor=name, threads=threads
                )


def by_result(bench: Bench, jobs: int, repeat: int) -> None:
    """Drain jobs with results of several sizes, by turns with PyMongo that writes the same."""
    for size in RESULTS:
        result = "r" * size if size else None
        finish = partial(raw.floor, result=result)
        measures: dict[str, Callable[[], float]] = {
            f"results of {size} bytes": partial(_drained, bench, jobs, result),
            f"floor, results of {size} bytes": partial(_drained_raw, bench, jobs, finish),
        }
        rates = by_turns(bench, measures, repeat)
        pool, floor = (
            bench.results.measure("drain by result", values, "jobs/s", "higher", by=by, bytes=size)
            for by, values in zip(("pool", "floor"), rates.values(), strict=True)
        )
        bench.results.ratio("pool / floor", paired(pool, floor), bytes=size)


def _drained(bench: Bench, jobs: int, result: Any) -> float:
    return jobs / drain_pool(bench, jobs, work=lambda _: result)


def _drained_raw(bench: Bench, jobs: int, work: Callable[[raw.Jobs, str], float]) -> float:
    return jobs / drain_raw(bench, jobs, work)


def draw(results: Results, figure: Figure) -> None:
    """Draw the drains: against PyMongo, by threads, by the size of results."""
    first, second, third, fourth = figure.subplots(2, 2).flat
    drains = results.find("drain")
    plots.bars(first, drains, [str(item.labels["by"]) for item in drains])
    plots.finish(first, "no-op jobs", "jobs/s")
    kinds = {str(item.labels["executor"]): None for item in results.find("drain by executor")}
    for kind in kinds:
        plots.line(second, results.find("drain by executor", executor=kind), "threads", label=kind)
        plots.line(third, results.find("share of the ideal", executor=kind), "threads", label=kind)
    for axes in (second, third):
        axes.set_xscale("log", base=2)
    plots.finish(second, "by executor", "jobs/s", log=True)
    plots.finish(third, "of threads / duration", "share")
    for by in ("pool", "floor"):
        plots.line(fourth, results.find("drain by result", by=by), "bytes", label=by)
    fourth.set_xscale("symlog", linthresh=KIB)
    plots.finish(fourth, "by size of the result", "jobs/s")
