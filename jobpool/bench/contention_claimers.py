"""Claimers: processes that claim one backlog to its end and do nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..manager import JobManager
from ..store.claiming import ClaimStrategy, Request
from .bench import POOL, TYPE, Bench, collection_name, own_manager, some_jobs
from .child import GO, STOP, Parent
from .contention_figures import Call
from .counters import CommandCounter, ServerWork
from .proof import PATIENCE, expect, expect_once

#: Seconds. Nobody extends the leases here, and none may end while a backlog is claimed.
LEASE = 3600.0
#: To the claimers: make ready for the next backlog.
PREPARE = "prepare"


@dataclass(frozen=True)
class Claiming:
    """How a backlog was claimed.

    Attributes:
        seconds: From the word to go until the last job was claimed.
        calls: The claim calls of each pool.
        order: The numbers of the jobs in the order in which the server claimed them.
        commands: What all pools sent, each of which is a round trip.
        server: What the server did meanwhile.
        took: Seconds of the commands, by name.
    """

    seconds: float
    calls: list[list[Call]]
    order: list[int]
    commands: int
    took: dict[str, float]
    server: dict[str, float]

    @property
    def all_calls(self) -> list[Call]:
        """The calls of all pools."""
        return [call for calls in self.calls for call in calls]

    @property
    def served(self) -> list[int]:
        """How many jobs each pool got."""
        return [sum(call.won for call in calls) for calls in self.calls]


class Claimers:
    """So many processes, each the claimer of one pool. Making them takes longer than a backlog: they are kept."""

    def __init__(self, bench: Bench, count: int) -> None:
        self._bench = bench
        self._children = [
            bench.child("contention_claimers:claimer", pool=f"{POOL}-{number}") for number in range(count)
        ]
        for child in self._children:
            child.hear("ready")

    def claim(self, strategy: str, batches: Sequence[int], jobs: int) -> Claiming:
        """Let a pool for each of the `batches` claim from a new backlog; prove that each job was claimed once."""
        manager = self._bench.manager()
        manager.create_many(ordered_jobs(jobs))
        children = self._children[: len(batches)]
        for child, batch in zip(children, batches, strict=True):
            child.tell(PREPARE, collection=collection_name(manager), strategy=strategy, batch=batch)
        for child in children:
            child.hear("prepared")
        work, began_at = ServerWork(self._bench.client), time.monotonic()
        for child in children:
            child.tell(GO)
        reports = [child.hear("claimed", PATIENCE) for child in children]
        server = work.done()
        order = self._prove(manager, [report["numbers"] for report in reports], jobs)
        self._bench.drop(manager)
        return _claiming(reports, began_at, order, server)

    def _prove(self, manager: JobManager, numbers: list[list[int]], jobs: int) -> list[int]:
        """Prove that each job was claimed once, as pools and documents say; return the order of the claims."""
        expect_once([number for mine in numbers for number in mine], jobs)
        owner = {number: f"{POOL}-{place}" for place, mine in enumerate(numbers) for number in mine}
        stored = list(
            self._bench.raw(manager).find(
                {"state": "claimed", "fence": 1}, {"_id": 0, "n": "$data.n", "pool": 1, "lease_until": 1}
            )
        )
        right = sum(owner[document["n"]] == document["pool"] for document in stored)
        expect(right == jobs, f"{jobs - right} of {jobs} jobs are not recorded as claimed once by who got them")
        self._bench.results.executed += jobs
        # All leases are equally long and counted by the server: their ends tell the order of the claims.
        return [document["n"] for document in sorted(stored, key=lambda one: (one["lease_until"], one["n"]))]

    def close(self) -> None:
        """End the processes."""
        for child in self._children:
            child.finish()


def _claiming(
    reports: list[dict[str, Any]], began_at: float, order: list[int], server: dict[str, float]
) -> Claiming:
    calls = [[Call(*values) for values in report["calls"]] for report in reports]
    ended_at = max(call.ended_at for mine in calls for call in mine if call.won)
    took: dict[str, float] = {}
    for report in reports:
        for name, seconds in report["took"].items():
            took[name] = took.get(name, 0.0) + seconds
    commands = sum(report["commands"] for report in reports)
    return Claiming(ended_at - began_at, calls, order, commands, took, server)


def ordered_jobs(count: int) -> list[dict[str, Any]]:
    """Return jobs that are all due, each a millisecond behind the one before: there is one ideal order."""
    first_at = datetime.now(UTC) - timedelta(milliseconds=count, minutes=1)
    jobs = some_jobs(count)
    for number, job in enumerate(jobs):
        job["run_at"] = first_at + timedelta(milliseconds=number)
    return jobs


def claimer(settings: dict[str, Any], parent: Parent) -> None:
    """Role: the claimer of one pool, for one backlog after the other.

    Settings: `uri`, `database`, `pool`; with each `PREPARE` the `collection`,
    the `strategy` and the `batch`.
    """
    parent.say("ready", os.getpid())
    while (told := parent.hear())["word"] != STOP:
        parent.say("claimed", _claim_backlog({**settings, **told}, parent))
    parent.say("report", None)


def _claim_backlog(settings: dict[str, Any], parent: Parent) -> dict[str, Any]:
    commands = CommandCounter()
    with own_manager(settings, listeners=[commands]) as manager:
        manager.store.ready()
        strategy = manager.store.strategy(settings["strategy"])
        request = Request((TYPE,), settings["batch"], settings["pool"], LEASE)
        parent.say("prepared", None)
        parent.wait_for(GO)
        before = commands.report()["total"]
        calls, numbers = _claim_all(strategy, request)
        return {
            "calls": calls,
            "numbers": numbers,
            "commands": commands.report()["total"] - before,
            "took": {name: sum(commands.seconds[name]) for name in CLAIM_COMMANDS},
        }


#: What strategies send.
CLAIM_COMMANDS = ("find", "update", "findAndModify")


def _claim_all(strategy: ClaimStrategy, request: Request) -> tuple[list[tuple[float, float, int, int]], list[int]]:
    """Claim until nothing is due; return the calls, as `Call`, and the numbers of the jobs."""
    calls: list[tuple[float, float, int, int]] = []
    numbers: list[int] = []
    result = ""
    while result != "empty":
        began_at = time.monotonic()
        claimed = strategy.claim(request)
        ended_at = time.monotonic()
        calls.append((ended_at, ended_at - began_at, claimed.tried, len(claimed.documents)))
        numbers += [document["data"]["n"] for document in claimed.documents]
        result = claimed.result(request.limit)
    return calls, numbers
