"""Limits and turns: what full keys cost, whom they hold up, how long a small tenant waits beside a large one."""

from __future__ import annotations

import argparse
import threading
import time
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from ..executors import Executor
from ..limits import Gate, Limit
from ..manager import JobManager
from ..pool import WorkerPool
from ..store.claiming import Request
from . import plots
from .arguments import within
from .bench import POOL, REGISTRY, THREADS, Bench, Recorded, expect_recorded_once
from .counters import CommandCounter, ServerWork
from .proof import expect, expect_once
from .results import Results, paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPEAT = 3
KEYS = 1_000
#: Of each of the keys: as many may run at once.
AT_ONCE = 2
#: Due jobs of each key that is full.
WAITING = 10
#: Seconds in which a pool is watched that has nothing but blocked jobs.
IDLE = 3.0
HOG, SMALL = 100_000, 10
LIMITED, PLAIN = "limited", "plain"
#: Under which settings the same jobs are drained: whether they have keys, a limit, and full keys beside them.
CASES = {
    "no limits": (False, False, False),
    "keys": (True, False, False),
    "limits": (True, True, False),
    "limits, 90 % full": (True, True, True),
}


def add_arguments(group: argparse._ArgumentGroup) -> None:
    """Declare how large the large tenant is."""
    group.add_argument(
        "--hog",
        type=within("a number of jobs", int, 100, 1e8),
        metavar="N",
        help=f"jobs of the large tenant (default: {HOG:,})",
    )


def measure(bench: Bench) -> None:
    """Drain the same jobs under every setting by turns; then let a small tenant wait beside a large one."""
    repeat = bench.repeat(REPEAT)
    size = Size(bench.size(KEYS, 50), bench.size(20_000, 300))
    hog = bench.options.hog or bench.size(HOG, 1_000)
    bench.results.settings.update(
        keys=size.keys, at_once=AT_ONCE, jobs=size.jobs, plain_jobs=size.jobs, hog=hog, threads=THREADS
    )
    bench.progress.expect(repeat * (len(CASES) + 2))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
    for _ in range(repeat):
        for name in CASES:
            bench.progress.step(name)
            found[name].append(Drain(bench, size, name).run())
    _note(bench, found)
    fair_share(bench, hog, repeat)


def _note(bench: Bench, found: dict[str, list[dict[str, float]]]) -> None:
    units = {
        "drain": ("jobs/s", "higher"),
        "drain beside": ("jobs/s", "higher"),
        "commands": ("commands/job", "lower"),
        "claim calls": ("calls/job", "lower"),
        "keys examined": ("keys/job", "lower"),
        "documents examined": ("documents/job", "lower"),
        "idle commands": ("commands/s", "lower"),
        "idle keys examined": ("keys/s", "lower"),
    }
    for case, runs in found.items():
        for name in runs[0]:
            bench.results.measure(name, [run[name] for run in runs], *units[name], by=case)
    beside = {str(item.labels["by"]): item for item in bench.results.find("drain beside")}
    for case in list(CASES)[1:]:
        bench.results.ratio(
            "type without limits, beside / alone", paired(beside[case], beside["no limits"]), by=case
        )


@dataclass(frozen=True)
class Size:
    """How much of everything: keys in all, and jobs that are run of each of the two types."""

    keys: int
    jobs: int

    @property
    def full(self) -> int:
        """How many keys are at their limit."""
        return self.keys * 9 // 10


class Drain:
    """One drain of jobs with keys, and of as many jobs of a type without limits beside them."""

    def __init__(self, bench: Bench, size: Size, case: str) -> None:
        self._bench = bench
        self._size = size
        self._keyed, limited, self._full = CASES[case]
        self._limit = Limit(running=AT_ONCE) if limited else None
        self._ran: list[int] = []
        self._plain: list[int] = []

    def run(self) -> dict[str, float]:
        """Drain; prove that each ran once; return what it cost."""
        bench, jobs = self._bench, self._size.jobs
        counter = CommandCounter()
        with MongoClient[dict[str, Any]](bench.uri, event_listeners=[counter]) as client:
            manager = bench.manager(client=client, executors=self._executors())
            self._create(manager)
            limited, plain = Recorded(manager, LIMITED), Recorded(manager, PLAIN)
            before, work, claims = counter.report()["total"], ServerWork(bench.client), _claims()
            began = time.perf_counter()
            seconds: dict[str, float] = {}
            with WorkerPool(manager, threads=THREADS, name=POOL, backlog_interval=0):
                bench.wait_for(lambda: self._ended(seconds, began, limited, plain), "the last job")
                commands, done = counter.report()["total"] - before, work.done()
                claims = _claims() - claims
                idle = self._idle(counter) if self._full else {}
        expect_once(self._ran, jobs)
        expect_once(self._plain, jobs)
        expect_recorded_once(bench, manager, 2 * jobs)
        bench.drop(manager)
        return {
            "drain": jobs / seconds[LIMITED],
            "drain beside": jobs / seconds[PLAIN],
            "commands": commands / 2 / jobs,
            "claim calls": claims / 2 / jobs,
            "keys examined": done["examined keys"] / 2 / jobs,
            "documents examined": done["examined documents"] / 2 / jobs,
            **idle,
        }

    def _executors(self) -> dict[str, Executor]:
        key = "key" if self._keyed else None
        return {
            LIMITED: Executor(lambda data: self._ran.append(data["n"]), key=key, key_limit=self._limit),
            PLAIN: Executor(lambda data: self._plain.append(data["n"])),
        }

    def _create(self, manager: JobManager) -> None:
        """Create the jobs; those of full keys are the oldest, and so in the way of all others."""
        size = self._size
        if self._full:
            self._fill(manager)
        free = size.keys - size.full
        manager.create_many(
            {"type": LIMITED, "data": {"n": n, "key": f"free {n % free}"}} for n in range(size.jobs)
        )
        manager.create_many({"type": PLAIN, "data": {"n": n}} for n in range(size.jobs))

    def _fill(self, manager: JobManager) -> None:
        """Hold all places of nine keys of ten, with more jobs due behind."""
        size = self._size
        manager.create_many(
            {"type": LIMITED, "data": {"n": -n, "key": f"full {n % size.full}"}}
            for n in range(size.full * (WAITING + AT_ONCE))
        )
        gated, key_limit = manager.store.gated(), Limit(running=AT_ONCE)
        request = Request((), 500, "holder", 600.0, None, {LIMITED: Gate(LIMITED, (LIMITED,), None, key_limit)})
        held = 0
        while held < size.full * AT_ONCE:
            held += len(gated.claim(request).documents)
            gated.reopen()

    def _ended(self, seconds: dict[str, float], began: float, limited: Recorded, plain: Recorded) -> bool:
        for name, recorded in ((LIMITED, limited), (PLAIN, plain)):
            if name not in seconds and recorded.count() >= self._size.jobs:
                seconds[name] = time.perf_counter() - began
        return len(seconds) == 2

    def _idle(self, counter: CommandCounter) -> dict[str, float]:
        """Watch the pool while nothing but blocked jobs is due."""
        seconds = 0.3 if self._bench.quick else IDLE
        before, work = counter.report()["total"], ServerWork(self._bench.client)
        threading.Event().wait(seconds)
        return {
            "idle commands": (counter.report()["total"] - before) / seconds,
            "idle keys examined": work.done()["examined keys"] / seconds,
        }


def fair_share(bench: Bench, hog: int, repeat: int) -> None:
    """Let ten jobs of one tenant come behind all those of another; note their waits, and what it costs."""
    waits: dict[str, list[float]] = {"no key": [], "key": []}
    rates: dict[str, list[float]] = {"no key": [], "key": []}
    for _ in range(repeat):
        for name in waits:
            bench.progress.step(f"{SMALL} jobs behind {hog:,}, {name}")
            wait, rate = _behind(bench, hog, key="tenant" if name == "key" else None)
            waits[name].append(wait)
            rates[name].append(rate)
    slow, fast = (
        bench.results.measure("wait of a small tenant", values, "s", "lower", by=name)
        for name, values in waits.items()
    )
    bench.results.ratio("wait of a small tenant, key / no key", paired(fast, slow), better="lower", bar=0.1)
    without, with_key = (
        bench.results.measure("drain of both tenants", values, "jobs/s", "higher", by=name)
        for name, values in rates.items()
    )
    bench.results.ratio("drain of both tenants, key / no key", paired(with_key, without))


def _behind(bench: Bench, hog: int, key: str | None) -> tuple[float, float]:
    """Drain; return the seconds until the last job of the small tenant was started, and the jobs per second."""
    ran: list[int] = []
    executor = Executor(lambda data: ran.append(data["n"]), key=key)
    manager = bench.manager(executors={LIMITED: executor})
    manager.create_many({"type": LIMITED, "data": {"n": n, "tenant": "large"}} for n in range(hog))
    manager.create_many({"type": LIMITED, "data": {"n": n, "tenant": "small"}} for n in range(hog, hog + SMALL))
    recorded = Recorded(manager, LIMITED)
    before = manager.store.clock.now()
    began = time.perf_counter()
    with WorkerPool(manager, threads=THREADS, name=POOL, backlog_interval=0):
        bench.wait_for(lambda: recorded.count() >= hog + SMALL, "the last job")
        rate = (hog + SMALL) / (time.perf_counter() - began)
    jobs = bench.client[bench.database][manager.store.name.partition(".")[2]]
    last = max(job["started_at"] for job in jobs.find({"data.tenant": "small"}))
    wait = max(0.001, (last.replace(tzinfo=UTC) - before).total_seconds())
    expect(len(ran) == hog + SMALL, "a job ran twice, or not at all")
    expect_once(ran, hog + SMALL)
    expect_recorded_once(bench, manager, hog + SMALL)
    bench.drop(manager)
    return wait, rate


def _claims() -> float:
    """Return how many claim calls pools have made so far."""
    labels = ({"pool": POOL, "result": result} for result in ("full", "partial", "empty", "contended"))
    return sum(REGISTRY.get_sample_value("jobpool_claims_total", label) or 0.0 for label in labels)


def draw(results: Results, figure: Figure) -> None:
    """Draw the drains, what they cost, and the waits."""
    first, second, third, fourth = figure.subplots(2, 2).flat
    for axes, name, title, unit in (
        (first, "drain", "jobs with keys", "jobs/s"),
        (second, "drain beside", "a type without limits beside them", "jobs/s"),
        (third, "commands", "commands of the driver", "per job"),
    ):
        items = results.find(name)
        plots.bars(axes, items, [str(item.labels["by"]) for item in items])
        plots.finish(axes, title, unit)
    waits = results.find("wait of a small tenant")
    plots.bars(fourth, waits, [str(item.labels["by"]) for item in waits])
    plots.finish(fourth, "wait of a small tenant", "s", log=True)
