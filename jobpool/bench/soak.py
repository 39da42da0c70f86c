"""Millions of jobs through one process: whether anything grows that should not, and how sure that is."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import psutil

from . import plots, steady
from .arguments import within
from .bench import THREADS, Bench, collection_name, expect_recorded_once
from .child import GO, Child
from .proof import expect
from .results import Results
from .show import number
from .slope import BLOCKS, FEWEST, Slope, slope_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..manager import JobManager

JOBS, QUICK_JOBS = 2_000_000, 8_000
#: Creators wait when so many jobs are not done: some seconds of work, and always enough for the pool.
BACKLOG = 10_000
MILLION = 1e6
MIB = 1024 * 1024
#: What a process may get through in an hour: it counts executions in a byte per job.
PER_HOUR = 30_000_000
#: The share of the jobs after which everything that fills once is full: buffers, pools of connections, caches.
WARM_UP = 0.25
#: In fewer jobs, resident memory still settles: the allocator has an arena for every few threads, and they fill
#: slowly. With MALLOC_ARENA_MAX=1 it is flat after 80,000 jobs, and Python's own heap from the beginning.
ENOUGH_JOBS = 1_000_000
SAMPLE_EVERY, QUICK_SAMPLE_EVERY = 1.0, 0.05
#: Between two words on how far it is.
SAY_EVERY = 15.0
#: Nothing recorded for so long is a hang.
PATIENCE = 120.0
#: Points of a series that are kept: several times `BLOCKS`, so that the picture shows what the blocks hide.
POINTS = 10 * BLOCKS
UNITS = {
    "memory": "bytes",
    "threads": "threads",
    "sockets": "sockets",
    "open files": "files",
    "index size per job": "bytes/job",
    "claim index": "bytes",
    "data size per job": "bytes/job",
    "rate": "jobs/s",
}

Series = dict[str, list[float]]


def add_arguments(group: argparse._ArgumentGroup) -> None:
    """Declare how long it lasts."""
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--jobs",
        type=within("a number of jobs", int, 1_000, 1e9),
        metavar="N",
        help=f"how many jobs (default: {JOBS:,})",
    )
    length.add_argument(
        "--hours", type=within("hours", float, 0.01, 1_000), metavar="H", help="how long, in place of how many"
    )


def measure(bench: Bench) -> None:
    """Let one process create and run the jobs, look at it from outside, prove them, fit the lines."""
    hours: float | None = bench.options.hours
    jobs = int(hours * PER_HOUR) if hours else bench.options.jobs or bench.size(JOBS, QUICK_JOBS)
    backlog = min(BACKLOG, jobs // 10)
    length = f"{hours:g} hours" if hours else f"{jobs:,} jobs"
    bench.results.settings.update(
        length=length, threads=THREADS, creators=steady.CREATORS, backlog=backlog, warm_up=WARM_UP
    )
    bench.progress.expect(1)
    bench.progress.step(length)
    manager = bench.manager()
    child = bench.child("steady:run", collection=collection_name(manager), jobs=jobs, backlog=backlog)
    child.hear("ready")
    child.tell(GO)
    # Only as long as jobs are created: then the creators' threads end, and the backlog with them.
    series = watch(bench, manager, child, jobs - backlog - steady.CREATORS * steady.BATCH, hours)
    bench.wait_for(lambda: hours or child.news("recorded", 0) == jobs, "the last job")
    report = child.finish(PATIENCE)
    prove(bench, manager, report)
    conclude(bench.results, series)
    if report["created"] < ENOUGH_JOBS:
        bench.results.notes.append(f"fewer than {ENOUGH_JOBS:,} jobs: resident memory may still be settling")


def watch(bench: Bench, manager: JobManager, child: Child, jobs: int, hours: float | None) -> Series:
    """Look at the process and its collection again and again until so many jobs, or hours, have passed."""
    series: Series = {name: [] for name in ("jobs", "seconds", *UNITS)}
    process, began = psutil.Process(child.pid), time.monotonic()
    said, moved = began, began
    every, pause = (QUICK_SAMPLE_EVERY if bench.quick else SAMPLE_EVERY), threading.Event()
    while True:
        now, done = time.monotonic(), float(child.news("recorded", 0))
        if done > (series["jobs"] or [0.0])[-1]:
            _look(series, process, manager, bench, done, now - began)
            moved = now
        expect(now - moved < PATIENCE, f"nothing was recorded for {PATIENCE:g} s")
        if done >= jobs or (hours and now - began > hours * 3600):
            return series
        if now - said > SAY_EVERY and series["jobs"]:
            bench.progress.say(f"{done:,.0f} jobs, {series['memory'][-1] / MIB:.1f} MiB")
            said = now
        pause.wait(max(0.0, every - (time.monotonic() - now)))


def _look(
    series: Series, process: psutil.Process, manager: JobManager, bench: Bench, done: float, at: float
) -> None:
    """Add a sample of everything."""
    before, since = (series["jobs"][-1], series["seconds"][-1]) if series["jobs"] else (0.0, 0.0)
    stages: list[dict[str, Any]] = [{"$collStats": {"storageStats": {}}}]
    stored = next(iter(bench.raw(manager).aggregate(stages)))["storageStats"]
    count = max(stored["count"], 1)
    with process.oneshot():
        sample = {
            "jobs": done,
            "seconds": at,
            "memory": process.memory_info().rss,
            "threads": process.num_threads(),
            "sockets": len(process.net_connections("inet")),
            "open files": process.num_fds(),
            "index size per job": stored["totalIndexSize"] / count,
            "claim index": stored["indexSizes"]["jobpool_claim"],
            "data size per job": stored["size"] / count,
            "rate": (done - before) / max(at - since, 1e-6),
        }
    for name, value in sample.items():
        series[name].append(float(value))


def prove(bench: Bench, manager: JobManager, report: dict[str, Any]) -> None:
    """Prove that the jobs created are those executed, once each, and those recorded as succeeded."""
    created = report["created"]
    totals = {name: report[name] for name in ("executions", "once", "recorded")}
    expect(
        all(total == created for total in totals.values())
        and not report["never"]
        and not report["more than once"],
        f"{created} jobs were created, but: {report}",
    )
    expect(bench.raw(manager).count_documents({}) == created, "a job is stored that was not created")
    expect_recorded_once(bench, manager, created)
    bench.results.measure("jobs created, executed once and recorded", [created], "jobs")
    if report["refused"]:
        bench.results.notes.append(f"{report['refused']} calls that create raised and were repeated")


def conclude(results: Results, series: Series) -> None:
    """Put the series and their slopes after the warm-up into the results."""
    begin = next(place for place, done in enumerate(series["jobs"]) if done >= WARM_UP * series["jobs"][-1])
    expect(len(series["jobs"]) - begin >= FEWEST, "it was over before enough could be seen: more jobs are needed")
    x = [done / MILLION for done in series["jobs"][begin:]]
    for name, unit in {"jobs": "jobs", "seconds": "s"}.items():
        results.measure(f"{name} passed", list(_thin(series[name])), unit)
    for name, unit in UNITS.items():
        results.measure(name, list(_thin(series[name])), unit)
    for name, unit in UNITS.items():
        found = slope_of(x, series[name][begin:])
        _say(results, name, unit, found)
        if name == "memory":
            results.ratio(
                "|memory slope| / half width of its confidence interval", [found.share], better="lower", bar=1.0
            )


def _say(results: Results, name: str, unit: str, found: Slope) -> None:
    """Put one slope into the results: as if measured thrice, at the ends of its interval and in the middle."""
    ends = [found.value - found.half_width, found.value, found.value + found.half_width]
    results.measure(f"{name} slope", ends, f"{unit} per million jobs")
    results.notes.append(
        f"{name} slope: {number(found.value)} +- {number(found.half_width)} {unit} per million jobs "
        f"(95 %, {found.blocks} blocks, likeness of neighbours {found.likeness:.2f}); "
        f"distinguishable from 0: {'yes' if found.certain else 'no'}"
    )


def _thin(values: Sequence[float]) -> Iterator[float]:
    """Yield the means of up to `POINTS` stretches."""
    points = min(POINTS, len(values))
    for place in range(points):
        yield fmean(values[place * len(values) // points : (place + 1) * len(values) // points])


def draw(results: Results, figure: Figure) -> None:
    """Draw what was seen over the jobs done, with the lines that were fitted."""
    axes = figure.subplot_mosaic([["memory", "memory", "held"], ["stored", "claim", "rate"]])
    memory, held = axes["memory"], axes["held"]
    _curve(memory, results, "memory", scale=1 / MIB)
    plots.finish(memory, "resident memory of the process", "MiB")
    seen = [value / MIB for value in results.find("memory")[0].values]
    memory.set_ylim(0.9 * min(seen), 1.1 * max(seen))
    for name in ("threads", "sockets", "open files"):
        _curve(held, results, name)
    _finish(held, "held by the process", "count")
    for name in ("index size per job", "data size per job"):
        _curve(axes["stored"], results, name)
    _finish(axes["stored"], "size in the store", "bytes/job")
    _curve(axes["claim"], results, "claim index", scale=1 / MIB)
    _finish(axes["claim"], "index of the pending jobs", "MiB")
    _curve(axes["rate"], results, "rate")
    _finish(axes["rate"], "created, run and recorded", "jobs/s")


def _finish(axes: Axes, heading: str, unit: str) -> None:
    plots.finish(axes, heading, unit)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.4)  # room for the names
    axes.legend(fontsize=7, loc="upper left")


def _curve(axes: Axes, results: Results, name: str, scale: float = 1.0) -> None:
    """Draw a series, and the line through its part after the warm-up."""
    done = [value / MILLION for value in results.find("jobs passed")[0].values]
    values = [value * scale for value in results.find(name)[0].values]
    low, slope, high = (value * scale for value in results.find(f"{name} slope")[0].values)
    label = f"{name}: {slope:+,.3g} ± {(high - low) / 2:,.2g} per million"
    axes.plot(done, values, linewidth=1, label=label)
    later = [(x, y) for x, y in zip(done, values, strict=True) if x >= WARM_UP * done[-1]]
    middle, height = fmean(x for x, _ in later), fmean(y for _, y in later)
    ends = (later[0][0], later[-1][0])
    axes.plot(ends, [height + slope * (x - middle) for x in ends], "k--", linewidth=1)
    axes.set_xlabel("million jobs")
