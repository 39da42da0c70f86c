"""What a distant MongoDB costs: every figure again with the round trip made longer by a proxy."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from ..pool import WorkerPool
from ..store.connection import close_client, open_client
from . import plots
from .bench import (
    POOL,
    THREADS,
    TYPE,
    Bench,
    Recorded,
    collection_name,
    drain_pool,
    expect_recorded_once,
    some_jobs,
)
from .delay import through
from .latency_figures import P50, P99, Figures
from .probes import Probes
from .proof import expect, expect_once, wait_for
from .results import Results, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPEAT = 3
#: Milliseconds that the proxy adds to a round trip.
ADDED = (0, 1, 5, 20)
NEAR, DEFAULT = 0, "default"
SLEEP = 0.01
#: How long a drain of sleeping jobs should take.
STRETCH = 2.0
CREATE_BATCH = 1000
PINGS = 20
Settings = dict[str, dict[str, Any]]
_LARGE = {"batch_size": 2000, "queue_size": 4000}
#: What is worth trying on jobs that take no time: fewer claims, or more that may wait.
NO_OP: Settings = {
    DEFAULT: {},
    "batch_size 2000": {"batch_size": 2000},
    "queue_size 4000": {"queue_size": 4000},
    "both": _LARGE,
    "both, 64 threads": {**_LARGE, "threads": 64},
}
#: And on jobs that take some.
SLEEPING: Settings = {
    DEFAULT: {},
    "batch_size 2000, queue_size 4000": _LARGE,
    "32 threads": {"threads": 32},
    "64 threads": {"threads": 64},
}


def measure(bench: Bench) -> None:
    """Measure everything at every distance by turns."""
    added = ADDED if not bench.quick else (0, 5)
    no_op, sleeping = (NO_OP, SLEEPING) if not bench.quick else ({DEFAULT: {}}, {DEFAULT: {}})
    jobs, single, probes = bench.size(10_000, 500), bench.size(50, 10), bench.size(30, 4)
    bench.results.settings.update(jobs=jobs, threads=THREADS, creates=single, idle_probes=probes)
    figures = Figures(bench.results)
    repeat = bench.repeat(REPEAT)
    bench.progress.expect(repeat * len(added) * (2 + len(no_op) + len(sleeping)))
    with far_away(bench, added) as distances:
        for _ in range(repeat):
            for ms, far in distances.items():
                figures.add("round trip", _ping(far), "s", added=ms)
                _create(far, ms, jobs, single, figures)
                _idle(far, ms, probes, figures)
            _drain(distances, no_op, jobs, figures)
            _drain_sleeping(distances, sleeping, figures)
    _compare(bench.results)


@contextmanager
def far_away(bench: Bench, added: tuple[int, ...]) -> Iterator[dict[int, Bench]]:
    """Yield, by milliseconds, the same run as seen from further away."""
    bench.client.admin.command("ping")
    expect(bench.client.address is not None, "it needs one server that takes all writes")
    host, port = bench.client.address or ("", 0)
    proxies = bench.child("delay:proxy", host=host, port=port, round_trips=[ms / 1000 for ms in added])
    with ExitStack() as stack:
        distances = {}
        for ms, proxy in zip(added, proxies.hear("ports"), strict=True):
            far = copy.copy(bench)
            far.uri = through(bench.uri, proxy)
            far.client = open_client(far.uri)
            stack.callback(close_client, far.client)
            distances[ms] = far
        yield distances
    proxies.finish()


def _ping(far: Bench) -> float:
    """Return the usual seconds of a command that does nothing."""
    seconds = []
    for _ in range(PINGS):
        began = time.perf_counter()
        far.client.admin.command("ping")
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _create(far: Bench, ms: int, jobs: int, single: int, figures: Figures) -> None:
    """Create jobs one by one and in batches, one thread."""
    far.progress.step(f"{ms} ms: creating")
    manager = far.manager()
    manager.create(TYPE, {"n": -1})  # connects, and sees to the indexes
    took = {}
    for way, count, create in (
        ("create", single, lambda jobs: [manager.create(job) for job in jobs]),
        ("create_many", jobs, partial(manager.create_many, batch_size=CREATE_BATCH)),
    ):
        new = some_jobs(count, 0 if way == "create" else single)
        began = time.perf_counter()
        create(new)
        took[way] = count / (time.perf_counter() - began)
    expect(manager.count() == single + jobs + 1, "not every job is stored, or one of them twice")
    for way, rate in took.items():
        figures.add(way, rate, "jobs/s", "higher", added=ms)
    far.drop(manager)


def _idle(far: Bench, ms: int, count: int, figures: Figures) -> None:
    """One job at a time on an idle pool, woken in the process and by push."""
    far.progress.step(f"{ms} ms: create to start")
    probes = Probes()
    consumer = far.manager(executors={TYPE: probes.execute})
    producers = {"local": consumer, "push": far.manager(collection=collection_name(consumer))}
    recorded = Recorded(consumer)
    numbers: dict[str, list[int]] = {way: [] for way in producers}
    with WorkerPool(consumer, threads=THREADS, name=POOL):
        wait_for(consumer.wakeups.pushing_since, "the change stream")
        for _ in range(count):
            for way, producer in producers.items():
                numbers[way].append(len(probes.ran))
                probes.run(producer, len(probes.ran))
                wait_for(lambda: recorded.count() == len(probes.ran), "the record of a job")
    expect_once(probes.ran, 2 * count)
    expect_recorded_once(far, consumer, 2 * count)
    far.drop(consumer)
    for way, those in numbers.items():
        # The first of each opens connections.
        figures.percentiles("create to start", probes.totals(those[1:]), "lower", added=ms, way=way)


def _drain(distances: dict[int, Bench], settings: Settings, jobs: int, figures: Figures) -> None:
    """Drain no-op jobs with each of the settings."""
    for name, options in settings.items():
        for ms, far in distances.items():
            far.progress.step(f"{ms} ms: no-op jobs, {name}")
            rate = jobs / _drained(far, jobs, options)
            figures.add("drain no-op", rate, "jobs/s", "higher", added=ms, settings=name)


def _drain_sleeping(distances: dict[int, Bench], settings: Settings, figures: Figures) -> None:
    """Drain jobs that sleep, which hides what the pool does beside them, or not."""
    for name, options in settings.items():
        for ms, far in distances.items():
            far.progress.step(f"{ms} ms: jobs of {SLEEP * 1000:g} ms, {name}")
            ideal = options.get("threads", THREADS) / SLEEP
            count = int(ideal * STRETCH * (0.1 if far.quick else 1))
            rate = count / _drained(far, count, options, lambda _: time.sleep(SLEEP))
            figures.add("drain 10 ms", rate, "jobs/s", "higher", added=ms, settings=name)


def _drained(
    far: Bench, count: int, options: dict[str, Any], work: Callable[[Any], Any] = lambda _: None
) -> float:
    return drain_pool(far, count, work=work, **{"threads": THREADS, **options})


def _compare(results: Results) -> None:
    """Add what is left of the speed by the longest way."""
    far = max(int(item.labels["added"]) for item in results.find("round trip"))
    for name in ("drain no-op", "drain 10 ms"):
        for near in results.find(name, added=NEAR):
            settings = near.labels["settings"]
            there = results.find(name, added=far, settings=settings)[0]
            results.ratio(f"{name}, {far} ms / {NEAR} ms", paired(there, near), settings=settings)


def draw(results: Results, figure: Figure) -> None:
    """Draw what each thing costs by distance."""
    first, second, third, fourth = figure.subplots(2, 2).flat
    for axes, name in ((first, "drain no-op"), (second, "drain 10 ms")):
        for settings in dict.fromkeys(str(item.labels["settings"]) for item in results.find(name)):
            plots.line(axes, results.find(name, settings=settings), "added", label=settings)
    plots.finish(first, "no-op jobs, by what differs from the defaults", "jobs/s")
    plots.finish(second, f"jobs of {SLEEP * 1000:g} ms, {THREADS} threads unless more", "jobs/s")
    for way in ("create", "create_many"):
        plots.line(third, results.find(way), "added", label=way)
    plots.finish(third, "creating, one thread", "jobs/s", log=True)
    for way in ("local", "push"):
        for p in (P50, P99):
            label = f"{way} {p}"
            plots.line(fourth, results.find("create to start", way=way, p=p), "added", label=label, scale=1000)
    plots.finish(fourth, "create to start, idle", "ms")
    for axes in (first, second, third, fourth):
        axes.set_xlabel("ms added to a round trip")
        axes.set_xticks(sorted(int(item.labels["added"]) for item in results.find("round trip")))
