"""Pools in processes of their own that drain one collection together."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from ..manager import JobManager
from ..pool import WorkerPool
from .bench import (
    POOL,
    THREADS,
    Bench,
    Recorded,
    collection_name,
    expect_recorded_once,
    own_manager,
    some_jobs,
)
from .child import GO, STOP, Child, Parent
from .counters import CommandCounter, OwnWork
from .proof import expect_once

#: Between two words of a child on how far it is: the error of a measured time.
SAY_EVERY = 0.01


def drain(bench: Bench, processes: int, count: int, **settings: Any) -> tuple[float, list[dict[str, Any]]]:
    """Create `count` no-op jobs, let so many processes drain them, prove that each ran once.

    Args:
        bench: The run.
        processes: How many, with one pool each.
        count: How many jobs.
        settings: For `pool`.

    Returns:
        The seconds from the word to go until the last outcome was recorded, and the reports of the pools.
    """
    manager = bench.manager()
    manager.create_many(some_jobs(count))
    seconds, reports = run(bench, manager, processes, count, **settings)
    expect_once([n for report in reports for n in report["ran"]], count)
    expect_recorded_once(bench, manager, count)
    bench.drop(manager)
    return seconds, reports


def run(
    bench: Bench,
    manager: JobManager,
    processes: int,
    count: int,
    *,
    beside: Callable[[], object] | None = None,
    **settings: Any,
) -> tuple[float, list[dict[str, Any]]]:
    """Let processes drain the collection of `manager`; as `drain`, without its proofs.

    `beside` is called here when they have begun.
    """
    collection = collection_name(manager)
    children = [
        bench.child("fleet:pool", collection=collection, number=number, **settings) for number in range(processes)
    ]
    for child in children:
        child.hear("ready")
    began = time.perf_counter()
    for child in children:
        child.tell(GO)
    if beside is not None:
        beside()
    bench.wait_for(lambda: _recorded(children) >= count, "the last job")
    seconds = time.perf_counter() - began
    return seconds, [child.finish() for child in children]


def _recorded(children: list[Child]) -> float:
    return sum(float(child.news("recorded", 0)) for child in children)


def pool(settings: dict[str, Any], parent: Parent) -> None:
    """Role: one pool. Its report has the numbers of the jobs it ran, its commands and claims, and what it spent.

    Settings: `uri`, `database`, `collection`, `number`; `threads`, `options` of the
    pool, `core` to be pinned to, and `listen` to count its commands, which costs speed.
    """
    if settings.get("core") is not None:
        psutil.Process().cpu_affinity([settings["core"]])
    name = f"{POOL}-{settings.get('number', 0)}"
    commands = CommandCounter()
    listeners = [commands] if settings.get("listen") else []
    ran: list[int] = []
    with own_manager(settings, lambda data: ran.append(data["n"]), listeners) as manager:
        manager.ensure_indexes()
        pool = WorkerPool(
            manager,
            threads=settings.get("threads", THREADS),
            name=name,
            **settings.get("options", {}),
        )
        recorded, claims = Recorded(manager), Claims(manager, name)
        parent.say("ready", os.getpid())
        parent.wait_for(GO)
        work = OwnWork()
        with pool:
            _say_until_stopped(parent, recorded, claims)
        parent.say(
            "report",
            {
                "ran": ran,
                "recorded": recorded.count(),
                "work": work.done(),
                "commands": commands.report(),
                "claims": claims.report(),
            },
        )


class Claims:
    """What the metrics of a pool say of its claims. Threads: one looks; `report` when that has ended."""

    def __init__(self, manager: JobManager, pool: str) -> None:
        self._value = manager.metrics.registry.get_sample_value
        self._pool = pool
        self._factors: list[float] = []

    def _of(self, name: str, **labels: str) -> float:
        return self._value(name, {"pool": self._pool, **labels}) or 0.0

    def look(self) -> None:
        """Note how wide the claims look now."""
        self._factors.append(self._of("jobpool_claim_window_factor"))

    def report(self) -> dict[str, Any]:
        """Return the counts, the largest factor and its mean over all looks."""
        results = ("full", "partial", "empty", "contended", "error")
        return {
            "calls": {result: self._of("jobpool_claims_total", result=result) for result in results},
            "won": self._of("jobpool_jobs_claimed_total"),
            "conflicts": self._of("jobpool_claim_conflicts_total"),
            "largest factor": max(self._factors, default=0.0),
            "mean factor": sum(self._factors) / max(1, len(self._factors)),
        }


def _say_until_stopped(parent: Parent, recorded: Recorded, claims: Claims) -> None:
    """Tell the parent how many outcomes are recorded, until it says to stop."""
    ended = threading.Event()

    def say() -> None:
        said = -1.0
        while not ended.wait(SAY_EVERY):
            claims.look()
            if (now := recorded.count()) != said:
                parent.say("recorded", said := now)

    teller = threading.Thread(target=say, name="bench-teller", daemon=True)
    teller.start()
    parent.wait_for(STOP)
    ended.set()
    teller.join()
