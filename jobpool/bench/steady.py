"""A process that creates and runs jobs for as long as one likes, and needs no more memory for more of them."""

from __future__ import annotations

import os
import threading
from collections import Counter
from itertools import count
from typing import Any

from ..errors import StoreUnavailable
from ..manager import JobManager
from ..pool import WorkerPool
from .bench import POOL, THREADS, Recorded, own_manager, some_jobs
from .child import GO, STOP, Parent
from .proof import wait_for

CREATORS, BATCH = 2, 500
SAY_EVERY = 0.1
PAUSE = 0.01
PAGE = 4096


class Tally:
    """How often each job was executed, in a byte per job. Threads: any."""

    def __init__(self, capacity: int) -> None:
        self._times = bytearray(capacity)
        for place in range(0, capacity, PAGE):  # all of it is resident from the beginning
            self._times[place] = 1
        self._times[0:capacity:PAGE] = bytes(len(range(0, capacity, PAGE)))
        # Two threads that execute one job at once may both write 1: this counter, which is atomic, still tells.
        self._entered = count()

    def add(self, number: int) -> None:
        """Count one execution."""
        next(self._entered)
        self._times[number] += 1

    def report(self, created: int) -> dict[str, int]:
        """Return the totals; to be called once, at the end."""
        times = Counter(self._times)
        return {
            "executions": next(self._entered),
            "once": times[1],
            "more than once": sum(jobs for how_often, jobs in times.items() if how_often > 1),
            "never": self._times[:created].count(0),
        }


class Creators:
    """Threads that create jobs, as long as few enough wait.

    Attributes:
        created: How many jobs are stored for certain.
        refused: How many calls raised, and were repeated.
    """

    def __init__(self, manager: JobManager, recorded: Recorded, jobs: int, backlog: int) -> None:
        self._manager = manager
        self._recorded = recorded
        self._jobs = jobs
        self._backlog = backlog
        self._lock = threading.Lock()  # guards all counts
        self._given = 0
        self.created = 0
        self.refused = 0
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._go_on, name=f"bench-creator-{number}") for number in range(CREATORS)
        ]
        for thread in self._threads:
            thread.start()

    def _go_on(self) -> None:
        while not self._ended.is_set():
            if self._given - self._recorded.count() > self._backlog:
                self._ended.wait(PAUSE)
                continue
            with self._lock:
                first, self._given = self._given, min(self._given + BATCH, self._jobs)
                jobs = self._given - first
            if not jobs:
                return
            self._create(some_jobs(jobs, first))

    def _create(self, jobs: list[dict[str, Any]]) -> None:
        while True:
            try:
                self._manager.create_many(jobs)
                break
            except StoreUnavailable:  # they may be stored: a repeat meets them, as equal work is one job
                with self._lock:
                    self.refused += 1
        with self._lock:
            self.created += len(jobs)

    def end(self) -> None:
        """End them; what they had begun to create is stored."""
        self._ended.set()
        for thread in self._threads:
            thread.join()


def run(settings: dict[str, Any], parent: Parent) -> None:
    """Role: create and run up to `jobs` jobs, `backlog` ahead, until told to stop; then drain.

    Settings: `uri`, `database`, `collection`, `jobs`, `backlog`.
    """
    tally = Tally(settings["jobs"])
    with own_manager(settings, lambda data: tally.add(data["n"])) as manager:
        recorded = Recorded(manager)
        parent.say("ready", os.getpid())
        parent.wait_for(GO)
        with WorkerPool(manager, threads=THREADS, name=POOL):
            creators = Creators(manager, recorded, settings["jobs"], settings["backlog"])
            _tell(parent, recorded)
            creators.end()
            wait_for(lambda: recorded.count() == creators.created, "the last job")
        totals = tally.report(creators.created)
    parent.say(
        "report",
        {**totals, "created": creators.created, "recorded": recorded.count(), "refused": creators.refused},
    )


def _tell(parent: Parent, recorded: Recorded) -> None:
    """Tell the parent how many outcomes are recorded, until it says to stop."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(SAY_EVERY):
            parent.say("recorded", recorded.count())

    teller = threading.Thread(target=tell, name="bench-teller", daemon=True)
    teller.start()
    parent.wait_for(STOP)
    ended.set()
    teller.join()
