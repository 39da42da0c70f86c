"""Pools that may be killed, or lose their primary, under a steady load; and the proof that nothing is lost."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from ..backoff import Backoff
from ..config import PoolOptions
from ..current import current_job
from ..errors import StoreUnavailable
from ..executors import Executor
from ..manager import JobManager
from ..pool import WorkerPool
from . import raw
from .bench import POOL, Bench, collection_name, own_manager, some_jobs
from .child import GO, STOP, Child, Parent
from .journal import Journal, Writer
from .proof import expect, wait_for

THREADS = 4
#: What an executor takes: short enough for pools to claim ahead, long enough to be killed in it.
WORK = 0.005
#: How often the trickle creates so many jobs: a tenth of what two pools get through.
TRICKLE_EVERY, TRICKLE = 0.05, 8
#: A killed attempt is followed by another, and several may be lost in one fail-over.
ATTEMPTS = 10


def pool(settings: dict[str, Any], parent: Parent) -> None:
    """Role: one pool whose executors write a journal.

    Settings: `uri`, `database`, `collection`, `name`, `lease`, `journal`.
    """
    journal = Writer(Path(settings["journal"]))

    def execute(data: dict[str, Any]) -> None:
        journal.enter(data["n"], current_job().attempt, settings["name"])
        time.sleep(WORK)

    executor = Executor(execute, max_attempts=ATTEMPTS, backoff=Backoff(base=0))
    options: PoolOptions = {"name": settings["name"], "lease": settings["lease"], "threads": THREADS}
    with own_manager(settings, executor) as manager, WorkerPool(manager, **options):
        parent.say("ready", os.getpid())
        parent.wait_for(GO)
        parent.wait_for(STOP)
    parent.say("report", {})


class Trickle:
    """Creates jobs all the time, on a thread of its own.

    Attributes:
        refused: How many calls raised, and were repeated until they did not.
    """

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager
        self._lock = threading.Lock()  # guards _created: numbers have no gaps
        self._created = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="bench-trickle", daemon=True)
        self._thread.start()
        self.refused = 0

    @property
    def created(self) -> int:
        """How many jobs are stored for certain."""
        return self._created

    def burst(self, count: int) -> None:
        """Create so many jobs at once."""
        with self._lock:
            jobs = some_jobs(count, self._created)
            while not self._create(jobs):
                pass
            self._created += count

    def _create(self, jobs: list[dict[str, Any]]) -> bool:
        try:
            self._manager.create_many(jobs)
        except StoreUnavailable:  # they may be stored: a repeat meets them, as equal work is one job
            self.refused += 1
            return False
        return True

    def _go_on(self) -> None:
        while not self._ended.wait(TRICKLE_EVERY):
            self.burst(TRICKLE)

    def end(self) -> int:
        """End it and return how many jobs there are."""
        self._ended.set()
        self._thread.join()
        return self._created


class Scene:
    """Two pools, their load, and what they did.

    Attributes:
        workers: The processes by the names of their pools.
    """

    def __init__(
        self, made: Bench, uri: str, client: MongoClient[dict[str, Any]], lease: float, path: Path
    ) -> None:
        self.journal = Journal(path)
        self.manager = made.manager(uri=uri)
        collection = collection_name(self.manager)
        self.jobs: raw.Jobs = raw.durable(client[made.database][collection])
        self.lease = lease
        self.workers: dict[str, Child] = {
            name: made.child(
                "mortal:pool", uri=uri, collection=collection, name=name, lease=lease, journal=str(path)
            )
            for name in (f"{POOL}-0", f"{POOL}-1")
        }
        for worker in self.workers.values():
            worker.hear("ready")
            worker.tell(GO)
        self.trickle = Trickle(self.manager)
        wait_for(
            lambda: {entry.pool for entry in self.journal.refresh()} >= set(self.workers), "work of both pools"
        )

    def overload(self, jobs: int, loaded: Callable[[], bool]) -> None:
        """Create many jobs at once, again and again until `loaded`."""
        while True:
            self.trickle.burst(jobs)
            deadline = time.monotonic() + jobs * WORK / THREADS
            while time.monotonic() < deadline:
                if loaded():
                    return

    def end(self) -> None:
        """End the load, let everything be finished, end the pools that live."""
        created = self.trickle.end()
        wait_for(lambda: self.jobs.count_documents({"state": "succeeded"}) == created, "the last job")
        for worker in self.workers.values():
            worker.finish()
        self.journal.refresh()

    def prove(self) -> int:
        """Prove that no job is lost and no attempt was begun twice; return how many jobs ran exactly once."""
        documents = list(self.jobs.find({}, {"data.n": 1, "state": 1, "attempts": 1}))
        entered = self.journal.attempts()
        numbers = {document["data"]["n"] for document in documents}
        expect(numbers == set(range(self.trickle.created)), "a job is not stored")
        expect(set(entered) == numbers, "a job is recorded as succeeded and did not run, or the other way round")
        for document in documents:
            attempts = entered[document["data"]["n"]]
            expect(document["state"] == "succeeded", "a job did not succeed")
            expect(len(set(attempts)) == len(attempts), "an attempt was begun twice")
            expect(max(attempts) <= document["attempts"], "an attempt was begun and not recorded")
        return sum(times == 1 for times in self.journal.times().values())

    def ran_more_than_once(self) -> set[int]:
        """Return the jobs that were executed more than once."""
        return {number for number, times in self.journal.times().items() if times > 1}

    def longest_gap(self) -> float:
        """Return the longest time between two finishes, by the server's clock."""
        at = sorted(document["finished_at"] for document in self.jobs.find({}, {"finished_at": 1}))
        gaps: list[float] = [(later - earlier).total_seconds() for earlier, later in pairwise(at)]
        return max(gaps)


@contextmanager
def scene(made: Bench, uri: str, client: MongoClient[dict[str, Any]], lease: float) -> Iterator[Scene]:
    """Set a scene; afterwards end what it left, and drop its jobs."""
    with tempfile.TemporaryDirectory(prefix="jobpool-bench-") as directory:
        set_up = Scene(made, uri, client, lease, Path(directory) / "journal")
        try:
            yield set_up
        finally:
            set_up.trickle.end()
            for worker in set_up.workers.values():
                worker.kill()
            client[made.database].drop_collection(set_up.jobs.name)
            set_up.manager.close()
