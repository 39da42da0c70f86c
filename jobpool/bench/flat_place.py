"""A collection in which `flat` drains and claims again and again, and what it finds."""

from __future__ import annotations

import time
import uuid
from typing import Any

from pymongo.errors import OperationFailure

from ..config import PoolConfig
from ..pool import WorkerPool
from ..store.claiming import Request
from .bench import POOL, REGISTRY, THREADS, TYPE, Bench
from .counters import ServerWork, percentiles
from .proof import expect, expect_once, wait_for
from .results import Measure, Results, paired

#: Jobs of one claim call.
CLAIM = 100
#: A claim must not be taken back while the claims are timed.
LEASE = 3600.0
KEYS = "examined keys"


class Place:
    """A collection, and a manager with executors for all that is due in it.

    Args:
        bench: The run.
        types: How many types the due jobs have.
        priorities: How many priorities.
    """

    def __init__(self, bench: Bench, types: int = 1, priorities: int = 1) -> None:
        self.types = [TYPE, *(f"{TYPE} {number}" for number in range(1, types))]
        self.priorities = priorities
        self._bench = bench
        self._ran: list[int] = []
        self.manager = bench.manager(executors=dict.fromkeys(self.types, self._execute))

    def _execute(self, data: dict[str, Any]) -> None:
        self._ran.append(data["n"])

    def _create(self, count: int) -> list[str]:
        """Create so many due jobs, other ones than ever; return their ids."""
        run, several = uuid.uuid4().hex[:8], len(self.types)
        jobs = [
            {
                "type": self.types[number % several],
                "data": {"n": number, "run": run, "text": "x" * 48},
                "priority": number // several % self.priorities,
            }
            for number in range(count)
        ]
        created = self.manager.create_many(jobs)
        expect(created.inserted == count, "the jobs to drain were there already")
        return created.ids

    def drain(self, count: int, **options: Any) -> tuple[float, float | None]:
        """Let a pool drain so many no-op jobs; prove that each ran once.

        Returns:
            Jobs per second, and the index keys that the server examined per job if it tells.
        """
        ids, before = self._create(count), _recorded()
        self._ran.clear()
        pool = WorkerPool(self.manager, threads=THREADS, name=POOL, **options)
        work = _server_work(self._bench)
        began = time.perf_counter()
        with pool:
            wait_for(lambda: len(self._ran) >= count and _recorded() - before >= count, "the last job")
            seconds = time.perf_counter() - began
        keys = None if work is None else work.done()[KEYS] / count
        expect_once(self._ran, count)
        once = {"_id": {"$in": ids}, "state": "succeeded", "attempts": 1, "fence": 1}
        stored = self._bench.raw(self.manager).count_documents(once)
        expect(stored == count, f"{count - stored} of {count} jobs are not recorded as run once")
        self._bench.results.executed += count
        return count / seconds, keys

    def claim_seconds(self, calls: int) -> list[float]:
        """Claim `CLAIM` jobs so many times; prove that each was claimed once; return the seconds of each call."""
        ids = self._create(calls * CLAIM)
        strategy = self.manager.store.strategy(PoolConfig().strategy)
        request = Request(tuple(self.types), CLAIM, POOL, LEASE)
        won: list[str] = []
        seconds = []
        for _ in range(calls):
            began = time.perf_counter()
            claimed = strategy.claim(request)
            seconds.append(time.perf_counter() - began)
            won += [document["_id"] for document in claimed.documents]
        expect(sorted(won) == sorted(ids), "the claims did not win each job once")
        self._bench.raw(self.manager).delete_many({"_id": {"$in": ids}})
        return seconds

    def clear(self) -> None:
        """Remove all jobs, but not what their coming and going left behind in the indexes."""
        self._bench.raw(self.manager).delete_many({})

    def drop(self) -> None:
        """Remove the collection."""
        self._bench.drop(self.manager)


def _recorded() -> float:
    """Return how many jobs of any type the store has acknowledged as succeeded."""
    families = REGISTRY.restricted_registry(["jobpool_attempts_total"]).collect()
    samples = (sample for family in families for sample in family.samples)
    return sum(sample.value for sample in samples if sample.labels.get("outcome") == "succeeded")


def _server_work(bench: Bench) -> ServerWork | None:
    try:
        return ServerWork(bench.client)
    except OperationFailure:  # this user may not ask
        return None


class Found:
    """What was measured in one kind of place, a value per repetition."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.keys: list[float] = []
        self.claims: dict[str, list[float]] = {"p50": [], "p95": []}

    def take(self, place: Place, jobs: int, calls: int) -> None:
        """Measure once, without the count of the backlog: how dear that is, is measured for itself."""
        rate, keys = place.drain(jobs, backlog_interval=0)
        self.rates.append(rate)
        if keys is not None:
            self.keys.append(keys)
        claims = percentiles(place.claim_seconds(calls))
        for name, values in self.claims.items():
            values.append(claims[name])

    def report(self, results: Results, over: str, **labels: Any) -> dict[str, Measure]:
        """Add the measures; return those to make ratios of."""
        made = {"drain": results.measure(f"drain by {over}", self.rates, "jobs/s", "higher", **labels)}
        if self.keys:
            made["examined keys"] = results.measure(
                f"examined by {over}", self.keys, "keys/job", "lower", **labels
            )
        for name, values in self.claims.items():
            made[name] = results.measure(f"claim of {CLAIM} by {over}, {name}", values, "s", "lower", **labels)
        made["median claim"] = made.pop("p50")
        made.pop("p95")
        return made


def compare(
    results: Results,
    over: dict[str, Measure],
    under: dict[str, Measure],
    what: str,
    bar: float | None,
    **labels: Any,
) -> None:
    """Add the ratios of two reports; the bar is that of the drain."""
    for name, measure in over.items():
        better, own = ("higher", bar) if name == "drain" else ("lower", None)
        results.ratio(f"{name}, {what}", paired(measure, under[name]), better=better, bar=own, **labels)
