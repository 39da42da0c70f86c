"""From `create` to the executor's entry: one job on an idle pool, and jobs among others at several loads."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from pymongo import MongoClient

from ..manager import JobManager
from ..pool import WorkerPool
from . import raw
from .bench import POOL, THREADS, TYPE, Bench, Recorded, collection_name, expect_recorded_once
from .child import GO
from .counters import percentiles
from .latency_figures import BARS, Figures, draw
from .latency_load import LOADS, measure_loads
from .probes import DurableWrites, Probes
from .proof import expect_once, wait_for

__all__ = ["draw", "measure"]

REPEAT = 3
#: The first jobs open connections and are not counted.
WARM = 5
#: Pools that wait for their polls side by side, as each wait takes a second and no processor.
POLLING = 8
#: The command that a write of jobpool is, and the same alone.
TRIPS = {"insert": "insert", "findAndModify": "claim"}


def measure(bench: Bench) -> None:
    """Measure everything in every repetition."""
    idle, polled = bench.size(200, 6), bench.size(5, 1)
    seconds, probes = bench.size(40, 4) / 10, bench.size(120, 8)
    loads = LOADS if not bench.quick else (50,)
    bench.results.settings.update(threads=THREADS, idle_probes=idle, load_probes=probes, load_seconds=seconds)
    repeat = bench.repeat(REPEAT)
    loaded = repeat if not bench.quick else 1
    bench.progress.expect(repeat * 2 + loaded * (1 + 2 * len(loads)))
    figures = Figures(bench.results)
    for turn in range(repeat):
        measure_idle(bench, idle, figures)
        measure_polling(bench, polled, figures)
        if turn < loaded:
            measure_loads(bench, loads, seconds, probes, figures)


def measure_idle(bench: Bench, count: int, figures: Figures) -> None:
    """One job at a time, woken in the process and by push, by turns with the raw round trips."""
    bench.progress.step("idle, with push")
    writes, probes = DurableWrites(), Probes()
    with MongoClient[dict[str, Any]](bench.uri, event_listeners=[writes]) as client:
        manager = bench.manager(client=client, executors={TYPE: probes.execute})
        writes.collection = collection_name(manager)
        probes.watch(manager)
        numbers, trips = _idle_by_turns(bench, manager, probes, count + WARM)
        expect_once(probes.ran, 2 * (count + WARM))
        expect_recorded_once(bench, manager, 2 * (count + WARM))
        bench.drop(manager)
    done = writes.usual_between([probes.at[number] for number in numbers["local"][WARM:]])
    floor = sum(median(trip[TRIPS.get(name, "start")] for trip in trips[WARM:]) for name in done)
    figures.add("durable round trips of a job", floor, "s", "lower", trips=" + ".join(done))
    figures.add("number of durable round trips", len(done), "trips", "lower")
    for way, those in numbers.items():
        figures.ways(probes, those[WARM:], 0, way)
        found = percentiles(probes.totals(those[WARM:]))
        for p, bar in BARS.items():
            figures.ratio(f"create to start {p} / durable round trips", found[p] / floor, bar, way=way)


def _idle_by_turns(
    bench: Bench, manager: JobManager, probes: Probes, count: int
) -> tuple[dict[str, list[int]], list[dict[str, float]]]:
    """Return the numbers of the probes by way, and the seconds of the raw trips."""
    child = bench.child("probes:produce", collection=collection_name(manager))
    child.hear("ready")
    floor, trips = bench.manager(), []
    recorded = Recorded(manager)
    with WorkerPool(manager, threads=THREADS, name=POOL):
        wait_for(manager.wakeups.pushing_since, "the change stream")
        for number in range(0, 2 * count, 2):
            probes.run(manager, number)
            _rest(recorded, number + 1)
            child.tell(GO, first=number + 1, count=1)
            probes.arrival(number + 1)
            _rest(recorded, number + 2)
            document = {**(bench.raw(manager).find_one() or {}), "state": "trip"}
            trips.append(raw.round_trip(bench.raw(floor), document, f"trip-{number}"))
    probes.created(child.finish())
    bench.drop(floor)
    return {"local": list(range(0, 2 * count, 2)), "push": list(range(1, 2 * count, 2))}, trips


def _rest(recorded: Recorded, count: int) -> None:
    """Wait until the pool is idle: the last job is recorded, and a moment has passed."""
    wait_for(lambda: recorded.count() == count, "the record of a job")
    threading.Event().wait(random.uniform(0.005, 0.015))


def measure_polling(bench: Bench, count: int, figures: Figures) -> None:
    """One job at a time, without push and from another manager: it waits for a poll."""
    bench.progress.step("idle, without push")
    interval = 1.0 if not bench.quick else 0.1
    with ThreadPoolExecutor(POLLING) as threads:
        polled = list(threads.map(lambda _: _polled(bench, count, interval), range(POLLING)))
    together = Probes()
    for pool, (manager, probes) in enumerate(polled):
        expect_once(probes.ran, count)
        expect_recorded_once(bench, manager, count)
        together.at.update({pool * count + number: at for number, at in probes.at.items()})
        bench.drop(manager)
    figures.ways(together, list(together.at), 0, "no push")


def _polled(bench: Bench, count: int, interval: float) -> tuple[JobManager, Probes]:
    probes = Probes()
    manager = bench.manager(executors={TYPE: probes.execute})
    probes.watch(manager)
    creator = bench.manager(collection=collection_name(manager))
    with WorkerPool(manager, threads=1, name=POOL, push=False, poll_interval=interval):
        for number in range(count):
            # The waits between polls double up to the interval: before that the pool is not idle.
            threading.Event().wait(random.uniform(2, 3) * interval)
            probes.run(creator, number)
    return manager, probes
