"""Draining no-op jobs, creating many, and the way of one job through an idle pool, against raw PyMongo."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

from pymongo import MongoClient

from jobpool import JobManager, WorkerPool

from . import raw

TYPE = "noop"
REPEAT = 3
THREADS = 16
CREATE_BATCH = 1000
PATIENCE = 300.0


class Bench:
    """A server, and a fresh collection for every measurement."""

    def __init__(self, client: MongoClient[dict[str, Any]]) -> None:
        self._client = client
        self._database = f"jobpool_bench_{uuid.uuid4().hex[:8]}"

    def manager(self, **options: Any) -> JobManager:
        name = f"jobs_{uuid.uuid4().hex[:8]}"
        manager = JobManager(self._database, client=self._client, **{"collection": name, **options})
        manager.ensure_indexes()
        return manager

    def raw(self, manager: JobManager) -> raw.Jobs:
        return raw.durable(self._client[self._database][manager.store.name.partition(".")[2]])

    def close(self) -> None:
        self._client.drop_database(self._database)


@contextmanager
def bench(uri: str) -> Iterator[Bench]:
    with MongoClient[dict[str, Any]](uri) as client:
        made = Bench(client)
        try:
            yield made
        finally:
            made.close()


def run(uri: str, quick: bool) -> dict[str, Any]:
    """Measure everything, what is compared by turns; return the figures."""
    jobs, single, latencies = (2_000, 200, 50) if quick else (20_000, 2_000, 300)
    rates: dict[str, list[float]] = {}
    with bench(uri) as made:
        measures: dict[str, Callable[[], float]] = {
            "floor": lambda: jobs / drain_raw(made, jobs, raw.floor),
            "pool": lambda: jobs / drain_pool(made, jobs),
            "loop": lambda: single / drain_raw(made, single, raw.loop),
            "insert_many": lambda: jobs / insert_raw(made, jobs),
            "create_many": lambda: jobs / create_many(made, jobs),
        }
        for turn in range(REPEAT):
            for name, measure in measures.items():
                print(f"{turn + 1} of {REPEAT}: {name}", file=sys.stderr, flush=True)
                rates.setdefault(name, []).append(measure())
        latency = measure_latency(made, latencies)
    return {"jobs": jobs, "per_second": rates, "latency_seconds": latency, "ratios": ratios(rates, latency)}


def ratios(rates: dict[str, list[float]], latency: dict[str, Any]) -> dict[str, float]:
    """Return the figures that do not depend on the machine."""
    middle = {name: median(values) for name, values in rates.items()}
    trips = sum(latency["round_trips"].values())
    return {
        "pool / floor": middle["pool"] / middle["floor"],
        "pool / find_one_and_update loop": middle["pool"] / middle["loop"],
        "create_many / insert_many": middle["create_many"] / middle["insert_many"],
        **{
            f"create to start ({way}) p50 / three durable trips": latency[way]["p50"] / trips
            for way in ("local", "push")
        },
    }


def some_jobs(count: int) -> list[dict[str, Any]]:
    return [{"type": TYPE, "data": {"n": number, "text": "x" * 60}} for number in range(count)]


def drain_raw(made: Bench, count: int, work: Callable[[raw.Jobs, str], float]) -> float:
    manager = made.manager()
    manager.create_many(some_jobs(count))
    seconds = work(made.raw(manager), TYPE)
    expect(manager.count(state="succeeded") == count, "the raw loop did not finish every job")
    return seconds


def drain_pool(made: Bench, count: int) -> float:
    """Let a pool drain `count` no-op jobs; prove that each ran once; return the seconds."""
    ran: list[int] = []
    manager = made.manager(executors={TYPE: lambda data: ran.append(data["n"])})
    manager.create_many(some_jobs(count))
    pool = WorkerPool(manager, threads=THREADS)
    began = time.perf_counter()
    with pool:
        wait_for(lambda: recorded(manager) == count, "the last job")
        seconds = time.perf_counter() - began
    expect(Counter(ran) == Counter(range(count)), "a job ran twice or not at all")
    stored = made.raw(manager).count_documents({"state": "succeeded", "attempts": 1, "fence": 1})
    expect(stored == count, "a job is not recorded as run once")
    return seconds


def recorded(manager: JobManager) -> float:
    """Return how many outcomes the store has acknowledged."""
    labels = {"type": TYPE, "outcome": "succeeded"}
    return manager.metrics.registry.get_sample_value("jobpool_attempts_total", labels) or 0.0


def insert_raw(made: Bench, count: int) -> float:
    """Insert the very documents that `create_many` makes."""
    source = made.manager()
    source.create_many(some_jobs(count))
    documents = list(made.raw(source).find())
    target = made.manager()
    return raw.insert(made.raw(target), documents, CREATE_BATCH)


def create_many(made: Bench, count: int) -> float:
    manager = made.manager()
    jobs = some_jobs(count)
    began = time.perf_counter()
    created = manager.create_many(jobs, batch_size=CREATE_BATCH)
    seconds = time.perf_counter() - began
    expect(created.inserted == manager.count() == count, "create_many did not store every job")
    return seconds


def measure_latency(made: Bench, times: int) -> dict[str, Any]:
    """Time the way from `create` to the executor's entry, one job at a time on an idle pool."""
    started: dict[str, float] = {}
    arrived = threading.Event()

    def enter(data: dict[str, Any]) -> None:
        started[data["n"]] = time.perf_counter()
        arrived.set()

    consumer = made.manager(executors={TYPE: enter})
    name = consumer.store.name.partition(".")[2]
    producers = {"local": consumer, "push": made.manager(collection=name)}
    found: dict[str, Any] = {way: [] for way in producers}
    trips: list[dict[str, float]] = []
    with WorkerPool(consumer, threads=THREADS):
        wait_for(consumer.wakeups.pushing_since, "the change stream")
        for number in range(times):
            for way, producer in producers.items():
                key = f"{way}-{number}"
                arrived.clear()
                began = time.perf_counter()
                producer.create(TYPE, {"n": key, "text": "x" * 60})
                expect(arrived.wait(PATIENCE), "a job was not run")
                found[way].append(started[key] - began)
                # Idle means that the last job is recorded and the pool waits again.
                wait_for(lambda: recorded(consumer) == len(started), "the record of a job")
        document = made.raw(consumer).find_one() or {}
    trips.append(raw.round_trips(made.raw(made.manager()), {**document, "state": "trip"}, times))
    summary = {way: percentiles(seconds) for way, seconds in found.items()}
    return {**summary, "round_trips": trips[0]}


def percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        expect(time.monotonic() < deadline, f"{what} did not come within {PATIENCE:g} s")
        pause.wait(0.002)


def expect(holds: bool, failure: str) -> None:
    """End the benchmark if what it measures is not right."""
    if not holds:
        raise SystemExit(f"benchmark failed: {failure}")


def show(results: dict[str, Any]) -> None:
    """Print the figures."""
    print(f"\n{'per second':<14}{'min':>10}{'median':>10}{'max':>10}")
    for name, values in results["per_second"].items():
        print(f"{name:<14}{min(values):>10,.0f}{median(values):>10,.0f}{max(values):>10,.0f}")
    print(f"\n{'milliseconds':<14}{'p50':>10}{'p95':>10}{'p99':>10}")
    latency = results["latency_seconds"]
    for way in ("local", "push"):
        cells = "".join(f"{latency[way][name] * 1000:>10.1f}" for name in ("p50", "p95", "p99"))
        print(f"{way:<14}{cells}")
    trips = latency["round_trips"]
    print("durable trips ", ", ".join(f"{name} {seconds * 1000:.1f}" for name, seconds in trips.items()))
    print("\nratios")
    for name, value in results["ratios"].items():
        print(f"  {name:<52}{value:>8.2f}")
    print(f"every one of {results['jobs']} jobs ran exactly once in every repetition")
