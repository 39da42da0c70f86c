"""The jobs of the fault suite, and the programs that work on them and create them.

``python -m tests.faults.app worker`` and ``creator``; what they do is in their environment (see
`processes`), and everything they ask, are told and run is in the history.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobpool import Backoff, Executor, JobManager, WorkerPool, current_job
from jobpool.errors import StoreUnavailable

from . import recording, seeds
from .history import History

FAST = Backoff(base=0.05, longest=0.2)


def work(data: dict[str, Any]) -> dict[str, Any]:
    """Take `data["ms"]` milliseconds and return what the checker looks for."""
    if data.get("ms"):
        threading.Event().wait(data["ms"] / 1000)
    return {"n": data["n"], "attempt": current_job().attempt}


def flaky(data: dict[str, Any]) -> dict[str, Any]:
    """As `work`, and every third job fails in its first attempt."""
    result = work(data)
    if data["n"] % 3 == 0 and current_job().attempt == 1:
        raise ValueError("the first attempt of every third job fails")
    return result


def doomed(data: dict[str, Any]) -> None:
    """As `work`, and fail."""
    work(data)
    raise ValueError("always")


def endless(data: dict[str, Any]) -> None:
    """Never return."""
    threading.Event().wait()


def hog(data: dict[str, Any]) -> dict[str, Any]:
    """As `work`, without ever letting go of the interpreter lock."""
    ctypes.PyDLL(None).usleep(data["ms"] * 1000)
    return {"n": data["n"], "attempt": current_job().attempt}


def until_released(data: dict[str, Any]) -> dict[str, Any]:
    """Return when a file appears: the test decides."""
    pause = threading.Event()
    while not os.path.exists(os.environ["FAULTS_RELEASE"]):
        pause.wait(0.01)
    return work(data)


EXECUTORS: dict[str, tuple[Any, int]] = {
    "once": (work, 1),
    "twice": (work, 2),
    "retried": (flaky, 3),
    "doomed": (doomed, 2),
    "hog": (hog, 1),
    "endless": (endless, 1),
    "endless_twice": (endless, 2),
    "until_released": (until_released, 1),
    "until_released_twice": (until_released, 2),
}


def make_manager(history: History, database: str, uri: str, **options: Any) -> JobManager:
    """Return a recorded manager with the executors of the suite."""
    executors = {
        type: Executor(recording.executor(history, fn), max_attempts=attempts, backoff=FAST)
        for type, (fn, attempts) in EXECUTORS.items()
    }
    return recording.record(JobManager(database, uri=uri, executors=executors, **options), history)


def counted(manager: JobManager) -> dict[str, float]:
    """Return what the manager's counters say of claims."""
    found: dict[str, float] = {}
    for family in manager.metrics.registry.collect():
        for sample in family.samples:
            if sample.name.endswith("_total"):
                key = ",".join([sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))])
                found[key] = sample.value
    return found


def manager() -> JobManager:
    """Return the manager that the environment describes."""
    uri, database = os.environ["FAULTS_URI"], os.environ["FAULTS_DATABASE"]
    return make_manager(open_history(), database, uri, timeout=float(os.environ.get("FAULTS_TIMEOUT", "5")))


def open_history() -> History:
    """Return the history that the environment names."""
    return History(Path(os.environ["FAULTS_HISTORY"]))


class Paused:
    """Stops a thread for good behind a store operation: the place where the test kills the process."""

    def __init__(
        self, real: Any, name: str, history: History, *, after: bool, where: Callable[[Any], Any] = bool
    ) -> None:
        self._real = real
        self._name = name
        self._history = history
        self._after = after
        self._where = where

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        return self._pausing(found) if name == self._name else found

    def _pausing(self, call: Any) -> Any:
        def pausing(*arguments: Any, **options: Any) -> Any:
            answer: Any = call(*arguments, **options) if self._after else None
            if answer is None or self._where(answer):
                self._history.say("paused")
                threading.Event().wait()
            return answer

        return pausing


def plant_pause(manager: JobManager, history: History) -> None:
    """Pause where the environment says: behind a claim for the queue or for free threads, or before a finish."""
    store: Any = manager.store
    place = os.environ.get("FAULTS_PAUSE")
    if place in ("claim", "start"):
        make = store.strategy

        def where(claimed: Any) -> bool:
            return bool(claimed.documents) and claimed.started == (place == "start")

        store.strategy = lambda name: Paused(make(name), "claim", history, after=True, where=where)
    elif place == "finish":
        store.transitions = Paused(store.transitions, "finish", history, after=False)


def asked_to_end() -> threading.Event:
    """Return an event that SIGTERM sets."""
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: asked.set())
    return asked


def run_worker(options: dict[str, Any]) -> None:
    """Run a pool until SIGTERM, which stops it with a grace, as a host would."""
    asked, history, jobs = asked_to_end(), open_history(), manager()
    plant_pause(jobs, history)
    grace = options.pop("grace", 30.0)
    types = options.pop("types", ["once", "twice", "retried", "doomed"])
    pool = WorkerPool(jobs, types, **options).start()
    history.say("up")
    asked.wait()
    recording.stop(pool, history, grace)
    history.say("counted", **counted(jobs))


def run_creator(options: dict[str, Any]) -> None:
    """Create jobs until SIGTERM; what is not confirmed is repeated, as users should."""
    asked, history, jobs = asked_to_end(), open_history(), manager()
    pause: float = options["pause"]
    history.say("up")
    for n in itertools.count(options["first"]):
        if asked.wait(pause):
            break
        type = ("once", "twice", "retried", "doomed")[n % 4]
        batch = [{"type": type, "data": {"n": n * 1000 + m, "ms": n % 30}} for m in range(1 + n % 10)]
        create_until_known(jobs, history, batch, asked)


def create_until_known(
    jobs: JobManager, history: History, batch: list[dict[str, Any]], asked: threading.Event
) -> None:
    """Create `batch`, and again while nobody knows whether it stands."""
    while True:
        try:
            if len(batch) == 1:
                jobs.create(batch[0])
            else:
                jobs.create_many(batch)
            return
        except StoreUnavailable:
            history.say("create-error")
            if asked.wait(0.2):
                return


if __name__ == "__main__":
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    seeds.plant()
    roles = {"worker": run_worker, "creator": run_creator}
    roles[sys.argv[1]](json.loads(os.environ["FAULTS_OPTIONS"]))
    # An executor that does not end must not keep the process.
    sys.stderr.flush()
    os._exit(0)
