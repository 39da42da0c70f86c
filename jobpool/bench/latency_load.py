"""Jobs among others: a paced creator loads the pool to a share of its capacity."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient

from ..manager import JobManager
from ..pool import WorkerPool
from .bench import POOL, THREADS, TYPE, Bench, collection_name, expect_recorded_once, some_jobs
from .child import GO, Child, Parent
from .latency_figures import Figures
from .probes import Probes, producer
from .proof import PATIENCE, expect, expect_once, wait_for

#: Percent of the capacity.
LOADS = (10, 50, 90)
#: Jobs that the creator is ahead of the pool while the capacity is measured, and those of one batch.
AHEAD, BATCH = 3000, 500
#: Seconds between two batches of a paced creator.
TICK = 0.01
#: Seconds of load, at the most, before anything counts.
SETTLE = 1.0


def measure_loads(bench: Bench, loads: tuple[int, ...], seconds: float, count: int, figures: Figures) -> None:
    """Probes among the jobs of a paced creator, with and without push."""
    probes = Probes()
    manager = bench.manager(executors={TYPE: probes.execute})
    probes.watch(manager)
    collection = collection_name(manager)
    creator, prober = (
        bench.child(role, collection=collection) for role in ("latency_load:create_load", "probes:produce")
    )
    for child in (creator, prober):
        child.hear("ready")
    bench.progress.step("the capacity")
    capacity = _capacity(manager, creator, probes, seconds)
    figures.add("capacity", capacity, "jobs/s")
    done = 0
    for load in loads:
        for way in ("push", "no push"):
            bench.progress.step(f"{load} % of {capacity:,.0f} jobs/s, {way}")
            with _pool(manager, push=way == "push"):
                numbers = list(range(done, done + count))
                rate = _load(creator, prober, probes, capacity * load / 100, seconds, numbers)
            done += count
            figures.add("load", rate / capacity, "of 1", load=load, way=way)
            figures.ways(probes, numbers, load, way)
    prober.finish()
    total = creator.finish()
    expect_once(probes.others, total)
    expect_once(probes.ran, done)
    expect_recorded_once(bench, manager, total + done)
    bench.drop(manager)


@contextmanager
def _pool(manager: JobManager, *, push: bool = True) -> Iterator[None]:
    with WorkerPool(manager, threads=THREADS, name=POOL, push=push):
        if push:
            wait_for(manager.wakeups.pushing_since, "the change stream")
        yield


def _capacity(manager: JobManager, creator: Child, probes: Probes, seconds: float) -> float:
    """Return how many jobs a second are created and run at once, the creator always a bit ahead."""
    told, pause = 0, threading.Event()
    mark: tuple[float, int] | None = None
    deadline = time.monotonic() + PATIENCE
    with _pool(manager):
        while True:
            ran, now = len(probes.others), time.monotonic()
            expect(now < deadline, "the jobs of the creator are not run")
            if mark is None and ran > AHEAD:  # all is warm
                mark = (now, ran)
            if mark is not None and now - mark[0] >= seconds and ran - mark[1] >= BATCH:
                break
            if told - ran < AHEAD:
                creator.tell(GO, count=BATCH)
                told += BATCH
            else:
                pause.wait(0.002)
        wait_for(lambda: len(probes.others) >= told, "the last job")
    return (ran - mark[1]) / (now - mark[0])


def _load(creator: Child, prober: Child, probes: Probes, rate: float, seconds: float, numbers: list[int]) -> float:
    """Create jobs at that rate, probes among them, until all have run; return the rate that came about."""
    creator.tell(GO, rate=rate)
    threading.Event().wait(min(SETTLE, seconds))
    prober.tell(GO, first=numbers[0], count=len(numbers), gap=seconds / len(numbers), tell=True)
    probes.created(prober.hear("created", PATIENCE))
    creator.tell(GO)
    load = creator.hear("load")
    wait_for(lambda: len(probes.others) >= load["total"], "the last job of the load")
    wait_for(lambda: len(probes.ran) > numbers[-1], "the last probe")
    return float(load["rate"])


def create_load(settings: dict[str, Any], parent: Parent) -> None:
    """Role: creates jobs on demand: a `count` at once, or at a `rate` until the next word to go."""
    with MongoClient[dict[str, Any]](settings["uri"]) as client:
        manager = producer(settings, client)
        parent.say("ready", os.getpid())
        total = 0
        while (order := parent.hear())["word"] == GO:
            if "count" in order:
                manager.create_many(some_jobs(order["count"], total))
                total += order["count"]
            else:
                began = time.monotonic()
                created = _create_paced(manager, order["rate"], total, _another_word(parent))
                total += created
                parent.say("load", {"rate": created / (time.monotonic() - began), "total": total})
    parent.say("report", total)


def _another_word(parent: Parent) -> threading.Event:
    """Return an event that is set by the next word to go, or the end of the parent."""
    heard = threading.Event()

    def listen() -> None:
        try:
            parent.wait_for(GO)
        finally:
            heard.set()

    threading.Thread(target=listen, name="bench-listener", daemon=True).start()
    return heard


def _create_paced(manager: JobManager, rate: float, first: int, ended: threading.Event) -> int:
    """Create what is due at every tick; what a late tick missed comes with it."""
    began, done = time.monotonic(), 0
    while not ended.wait(TICK):
        due = int((time.monotonic() - began) * rate) - done
        if due:
            manager.create_many(some_jobs(due, first + done))
            done += due
    return done
