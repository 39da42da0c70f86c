"""Creating jobs, by turns with PyMongo that inserts the same documents into the same indexes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from threading import Barrier
from typing import TYPE_CHECKING

from ..manager import CREATE_BATCH, MIB, JobManager
from ..request import request_of
from . import create_ways as ways
from . import plots
from .bench import Bench, some_jobs
from .create_ways import Document, Way
from .proof import expect
from .results import Measure, Results, paired
from .throughput import by_turns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPEAT = 5
BATCHES = (1, 10, 100, CREATE_BATCH, 10_000)
#: Of each repetition: a call is a wait for the journal, whatever is in it.
CALLS = 300
THREADS = (1, 2, 4, 8, 16)
#: In percent of the jobs.
DUPLICATES = (0, 50, 100)
#: What `create_many` is to reach of `insert_many`, in batches as they are by default.
BAR = 0.6

ONE = (Way("create", ways.create), Way("insert_one", ways.insert_one, raw=True))


def many(batch: int = CREATE_BATCH) -> tuple[Way, Way]:
    """Return the two ways to store batches."""
    return Way("create_many", ways.create_many(batch)), Way("insert_many", ways.insert_many(batch), raw=True)


def measure(bench: Bench) -> None:
    """Create one by one, in batches, from several threads, in transactions, and what exists already."""
    bench.results.proved = "is stored exactly once and as it was created"
    jobs, single = bench.size(20_000, 1_000), bench.size(CALLS, 30)
    bench.results.settings.update(jobs=jobs, calls=single, batch=CREATE_BATCH)
    repeat = bench.repeat(REPEAT)
    threads = THREADS if not bench.quick else (1, 16)
    batches = BATCHES if not bench.quick else (1, CREATE_BATCH)
    bench.progress.expect(2 * repeat * (len(batches) + 2 * len(threads) + 2 * len(DUPLICATES) + 2))
    by_batch(bench, batches, jobs, single, repeat)
    by_threads(bench, threads, jobs, single, repeat)
    by_duplicates(bench, jobs, single, repeat)
    in_transactions(bench, jobs, single, repeat)
    bench.results.settings["stored"] = bench.results.executed


def by_batch(bench: Bench, batches: Sequence[int], jobs: int, calls: int, repeat: int) -> None:
    """Compare batches of several sizes."""
    for batch in batches:
        ours, theirs = _rates(bench, "by batch", many(batch), min(jobs, batch * calls), repeat, batch=batch)
        bar = BAR if batch == CREATE_BATCH else None
        bench.results.ratio("create_many / insert_many", paired(ours, theirs), bar=bar, batch=batch)


def by_threads(bench: Bench, threads: Sequence[int], jobs: int, calls: int, repeat: int) -> None:
    """Compare several threads at once."""
    for number in threads:
        # They wait for the journal together, so more of them get more done in the same time.
        ours, theirs = _rates(bench, "by threads", ONE, calls * min(number, 4), repeat, threads=number)
        bench.results.ratio("create / insert_one", paired(ours, theirs), threads=number)
        ours, theirs = _rates(bench, "batches by threads", many(), jobs, repeat, threads=number)
        bench.results.ratio("create_many / insert_many", paired(ours, theirs), threads=number)


def by_duplicates(bench: Bench, jobs: int, calls: int, repeat: int) -> None:
    """Compare where a share of the jobs exists."""
    for percent in DUPLICATES:
        ours, theirs = _rates(bench, "by duplicates", ONE, calls, repeat, duplicates=percent)
        bench.results.ratio("create / insert_one", paired(ours, theirs), duplicates=percent)
        ours, theirs = _rates(bench, "batches by duplicates", many(), jobs, repeat, duplicates=percent)
        bench.results.ratio("create_many / insert_many", paired(ours, theirs), duplicates=percent)


def in_transactions(bench: Bench, jobs: int, calls: int, repeat: int) -> None:
    """Compare a transaction per job and one per batch."""
    if bench.results.setting["topology"] == "standalone":
        bench.results.notes.append("a standalone server has no transactions")
        return
    for batch, count in ((1, calls), (CREATE_BATCH, jobs)):
        pair = (
            Way("create", ways.in_transactions(ways.create_in, batch)),
            Way("insert", ways.in_transactions(ways.insert_in, batch), raw=True),
        )
        ours, theirs = _rates(bench, "in transactions", pair, count, repeat, batch=batch)
        bench.results.ratio("create / insert in transactions", paired(ours, theirs), batch=batch)


def _rates(
    bench: Bench, name: str, pair: tuple[Way, Way], count: int, repeat: int, **labels: int
) -> tuple[Measure, Measure]:
    """Measure two ways by turns; return what was found."""
    threads, percent = labels.get("threads", 1), labels.get("duplicates", 0)
    title = ", ".join([name, *(f"{label} {value}" for label, value in labels.items())])
    takes: dict[str, Callable[[], float]] = {
        f"{title}: {way.name}": partial(_rate, bench, way, count, threads, percent) for way in pair
    }
    found = by_turns(bench, takes, repeat)
    first, second = (
        bench.results.measure(name, values, "jobs/s", "higher", by=way.name, **labels)
        for way, values in zip(pair, found.values(), strict=True)
    )
    return first, second


def _rate(bench: Bench, way: Way, count: int, threads: int, percent: int) -> float:
    """Store `count` jobs, of which so many percent exist; prove what is stored then; return the rate."""
    manager, jobs = bench.manager(), some_jobs(count)
    there = jobs[: count * percent // 100]
    if there:
        manager.create_many(there)
    given = ways.documents(jobs) if way.raw else jobs
    shares = [given[number::threads] for number in range(threads)]
    seconds = _together(partial(way.work, bench, manager), shares)
    _prove(bench, manager, jobs)
    bench.drop(manager)
    return count / seconds


def _together(work: Callable[[Sequence[Document]], None], shares: list[list[Document]]) -> float:
    """Work on the shares, a thread each, all beginning at once; return the seconds until the last is done."""
    begin = Barrier(len(shares) + 1)

    def on_thread(share: list[Document]) -> None:
        begin.wait()
        work(share)

    with ThreadPoolExecutor(len(shares)) as threads:
        running = [threads.submit(on_thread, share) for share in shares]
        begin.wait()
        began = time.perf_counter()
        for one in running:
            one.result()
        return time.perf_counter() - began


def _prove(bench: Bench, manager: JobManager, jobs: list[Document]) -> None:
    """Prove that these jobs are stored with their data, as new as they were created, and nothing else."""
    wanted = {id: number for number, id in enumerate(_ids(len(jobs)))}
    collection = bench.raw(manager)
    new = collection.find({"state": "pending", "attempts": 0, "fence": 0}, {"data.n": 1})
    stored = {found["_id"]: found["data"]["n"] for found in new}
    right = sum(stored.get(id) == number for id, number in wanted.items())
    expect(right == len(jobs), f"{len(jobs) - right} of {len(jobs)} jobs are not stored as they were created")
    expect(collection.count_documents({}) == len(jobs), "more jobs are stored than were created")
    bench.results.executed += len(jobs)


@cache
def _ids(count: int) -> list[str]:
    """Return the ids of so many jobs: always the same ones."""
    return [request_of(job, MIB).job_id for job in some_jobs(count)]


def draw(results: Results, figure: Figure) -> None:
    """Draw the rates over batch, threads and duplicates, and those of transactions."""
    batches, threads, duplicates, transactions, many_threads, many_duplicates = figure.subplots(2, 3).flat
    one, several = [way.name for way in ONE], [way.name for way in many()]
    for axes, name, over, ways_ in (
        (batches, "by batch", "batch", several),
        (threads, "by threads", "threads", one),
        (duplicates, "by duplicates", "duplicates", one),
        (many_threads, "batches by threads", "threads", several),
        (many_duplicates, "batches by duplicates", "duplicates", several),
    ):
        for way in ways_:
            plots.line(axes, results.find(name, by=way), over, label=way)
        base = {"batch": 10.0, "threads": 2.0}.get(over)
        plots.ticks(axes, results.find(name), over, log=base)
        axes.set_xlabel("duplicates, %" if over == "duplicates" else over)
        plots.finish(axes, name, "jobs/s", log=over == "batch")
    found = results.find("in transactions")
    plots.bars(transactions, found, [f"{item.labels['by']}\n{item.labels['batch']:,} each" for item in found])
    transactions.tick_params(axis="x", labelrotation=0, labelsize=8)
    plots.finish(transactions, "in transactions", "jobs/s", log=True)
