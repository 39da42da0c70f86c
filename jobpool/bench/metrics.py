"""What the metrics cost: the drain with and without them, and one count of a large backlog."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from prometheus_client import CollectorRegistry

from ..manager import JobManager
from ..metrics import Metrics
from ..observer import Observer
from ..store.documents import new_document
from . import plots
from .bench import Bench, drain_pool, some_jobs
from .proof import expect
from .results import Results, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPEAT = 7
COUNTS = 5
TYPES = 20
PRIORITIES = 3
INSERT = 10_000
#: Seconds between two scrapes in the drain with metrics: fifteen times as often as is usual.
SCRAPE_EVERY = 1.0
EVENTS = [name for name in vars(Observer) if not name.startswith("_") and name != "finished"]


class Silent(Metrics):
    """Hears everything and counts nothing but the finishes, by which the drain knows its end."""


for event in EVENTS:
    setattr(Silent, event, getattr(Observer, event))


def _count_only(self: Metrics, type: str, outcome: str, duration: float, error: str | None) -> None:  # noqa: ARG001
    self.jobs.attempts(type, outcome).inc()


Silent.finished = _count_only  # type: ignore[method-assign]


def measure(bench: Bench) -> None:
    """Drain by turns with and without metrics, then count a backlog."""
    jobs, backlog = bench.size(20_000, 1_000), bench.size(1_000_000, 20_000)
    repeat, counts = bench.repeat(REPEAT), bench.repeat(COUNTS)
    bench.results.settings.update(jobs=jobs, backlog=backlog, types=TYPES, scrape_every=SCRAPE_EVERY)
    bench.progress.expect(repeat * 2 + counts)
    rates: dict[str, list[float]] = {"on": [], "off": []}
    for _ in range(repeat):
        for name, kind in (("on", Metrics), ("off", Silent)):
            bench.progress.step(f"metrics {name}")
            rates[name].append(jobs / drain(bench, kind, jobs))
    on, off = (
        bench.results.measure("drain", values, "jobs/s", "higher", metrics=name) for name, values in rates.items()
    )
    bench.results.ratio("metrics on / off", paired(on, off), bar=0.95)
    count_backlog(bench, backlog, counts)


def drain(made: Bench, kind: type[Metrics], jobs: int) -> float:
    """Drain with this kind of metrics, scraped meanwhile; return the seconds."""
    with patch("jobpool.manager.common.Metrics.on", lambda *_: kind(CollectorRegistry())), scraped() as scrape:
        return drain_pool(made, jobs, beside=scrape)


@contextmanager
def scraped() -> Iterator[Any]:
    """Scrape a manager again and again, as a Prometheus does."""
    ended = threading.Event()
    threads: list[threading.Thread] = []

    def scrape(manager: JobManager) -> None:
        while not ended.wait(SCRAPE_EVERY):
            manager.exposition()

    def watch(manager: JobManager) -> None:
        threads.append(threading.Thread(target=scrape, args=(manager,)))
        threads[-1].start()

    try:
        yield watch
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def count_backlog(bench: Bench, jobs: int, times: int) -> None:
    """Count so many pending jobs; prove the count."""
    manager = bench.manager()
    fill(bench, manager, jobs)
    seconds = []
    for _ in range(times):
        bench.progress.step(f"counting {jobs:,} jobs of {TYPES} types")
        total = (backlog := manager.backlog()).total
        expect(total.due + total.scheduled == jobs, "the count of the backlog is wrong")
        expect(len(backlog.types) == TYPES, "a type is missing from the backlog")
        seconds.append(backlog.seconds)
    bench.results.settings["scheduled"] = total.scheduled
    bench.results.measure("count of the backlog", seconds, "s", "lower", jobs=jobs, types=TYPES)
    bench.drop(manager)


def fill(made: Bench, manager: JobManager, jobs: int) -> None:
    collection, now = made.raw(manager), datetime.now(UTC)
    for first in range(0, jobs, INSERT):
        made.progress.say(f"{first:,} of {jobs:,} jobs created")
        collection.insert_many(
            [
                new_document(
                    id=f"{number:08}",
                    type=f"type {number % TYPES}",
                    data=some_jobs(1)[0]["data"],
                    priority=number % PRIORITIES,
                    run_at=now + timedelta(seconds=number % 7200 - 3600),  # one half is due
                    max_attempts=None,
                    created_at=now,
                )
                for number in range(first, min(first + INSERT, jobs))
            ],
            ordered=False,
        )


def draw(results: Results, figure: Figure) -> None:
    """Draw the drains with and without metrics, and the counts."""
    first, second = figure.subplots(1, 2)
    drains = results.find("drain")
    plots.bars(first, drains, [f"metrics {item.labels['metrics']}" for item in drains])
    plots.finish(first, "no-op jobs", "jobs/s")
    counts = results.find("count of the backlog")
    plots.bars(
        second, counts, [f"{item.labels['jobs']:,} jobs of {item.labels['types']} types" for item in counts]
    )
    plots.finish(second, "one count of the backlog", "s")
