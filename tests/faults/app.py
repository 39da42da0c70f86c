"""The jobs of the fault suite, and the programs that work on them, create them, and operate on them.

``python -m tests.faults.app worker`` and ``creator``; what they do is in their environment (see
`processes`), and everything they ask, are told and run is in the history.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import json
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from jobpool import Backoff, Executor, JobManager, Limit, WorkerPool, current_job
from jobpool.errors import StoreUnavailable
from jobpool.signals import Cancel, Retry, Snooze, TimedOut

from . import recording, seeds
from .history import History
from .operating import Operator

FAST = Backoff(base=0.05, longest=0.2)
STEPS = 6


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
    wait_for_release()
    return work(data)


def wait_for_release() -> None:
    """Wait for the file."""
    pause = threading.Event()
    while not os.path.exists(os.environ["FAULTS_RELEASE"]):
        pause.wait(0.01)


def snoozed(data: dict[str, Any]) -> dict[str, Any]:
    """As `work`, and two of three claims snooze before they have done anything."""
    if (data["n"] + current_job().fence) % 3:
        raise Snooze(0.05)
    return work(data)


def ruled(data: dict[str, Any]) -> dict[str, Any]:
    """As `work`, and every third job says when its second attempt is to be, every fifth that there is no point."""
    if data["n"] % 3 == 0 and current_job().attempt == 1:
        raise Retry("once more", after=0.05)
    if data["n"] % 5 == 0:
        raise Cancel("there is no point")
    return work(data)


def patient(data: dict[str, Any]) -> dict[str, Any]:
    """As `work`, and end at once when told to."""
    current_job().wait(data["ms"] / 1000)
    return {"n": data["n"], "attempt": current_job().attempt}


def tidy(data: dict[str, Any]) -> dict[str, Any]:
    """As `patient`, and take a moment to clear up when told to end."""
    try:
        return patient(data)
    except TimedOut:
        threading.Event().wait(0.1)
        raise


def hung(data: dict[str, Any]) -> dict[str, Any]:
    """Return at once, but for the first attempt, which hears nothing until a file appears."""
    return until_released(data) if current_job().attempt == 1 else work(data)


def stepwise(data: dict[str, Any]) -> dict[str, Any]:
    """Do `STEPS` steps, each noted as an effect, from the checkpoint on."""
    job, history = current_job(), open_history()
    for step in range(job.checkpoint or 0, STEPS):
        history.say("effect", id=job.id, step=step, attempt=job.attempt)
        job.save_checkpoint(step + 1)
    return work(data)


@functools.cache
def effects() -> Any:
    """Return a collection of the run's database, for effects of executors, by a client of their own."""
    client: MongoClient[dict[str, Any]] = MongoClient(os.environ["FAULTS_URI"])
    return client[os.environ["FAULTS_DATABASE"]]["effects"]


def transferred(data: dict[str, Any]) -> None:
    """As `work`, with an effect in a transaction that completes the job; now and then it is given up."""
    job, chance = current_job(), random.Random(os.urandom(8))
    steps = threading.Event()

    def act(session: Any) -> None:
        effects().insert_one({"job": job.id, "attempt": job.attempt}, session=session)
        result = work(data)
        job.complete(result, session=session)
        steps.wait(chance.uniform(0, 0.02))
        if data["n"] % 5 == 0 and job.attempt == 1:
            raise ValueError("the first transaction of every fifth job is aborted")

    with effects().database.client.start_session() as session:
        session.with_transaction(act)
    steps.wait(chance.uniform(0, 0.02))
    if data["n"] % 7 == 0:
        raise ValueError("every seventh job raises behind its commit")


def in_child(data: dict[str, Any]) -> int:
    """Note the process and return its id when the file is there; for a child process."""
    open_history().say("child", child=os.getpid(), attempt=current_job().attempt)
    wait_for_release()
    return os.getpid()


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
    "snoozed": (snoozed, 2),
    "ruled": (ruled, 2),
    "patient": (patient, 2),
    "hung": (hung, 2),
    "limited": (tidy, 2),
    "stepwise": (stepwise, 2),
    "in_child": (in_child, 2),
    "transferred": (transferred, 4),
    "tenanted": (work, 3),
}
#: Rules of some of them besides attempts and backoff.
RULES: dict[str, dict[str, Any]] = {
    "hung": {"timeout": 0.5, "grace": 0.3},
    "limited": {"timeout": 1.0, "grace": 1.0},
    "in_child": {"isolation": "process"},
    "tenanted": {"key": "tenant", "key_limit": Limit(running=1)},
}
#: What workers of a run that mixes everything take.
MIXED = ("once", "twice", "retried", "doomed", "snoozed", "ruled")
#: The same and what pools have to agree on, or hand over.
FLOWING = (*MIXED, "transferred", "tenanted")
#: Of the jobs of limited types.
TENANTS = 3


def make_manager(history: History, database: str, uri: str, **options: Any) -> JobManager:
    """Return a recorded manager with the executors of the suite."""
    executors = {
        type: Executor(_callable(history, fn, type), max_attempts=attempts, backoff=FAST, **RULES.get(type, {}))
        for type, (fn, attempts) in EXECUTORS.items()
    }
    return recording.record(JobManager(database, uri=uri, executors=executors, **options), history)


def _callable(history: History, fn: Any, type: str) -> Any:
    """Return what is called: recorded, unless a child process has to find it by its name."""
    return fn if "isolation" in RULES.get(type, {}) else recording.executor(history, fn)


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
    """Pause where the environment says: behind a claim for the queue or for free threads, behind a checkpoint, or
    before a finish.
    """
    store: Any = manager.store
    place = os.environ.get("FAULTS_PAUSE")
    if place in ("claim", "start"):
        make = store.strategy

        def where(claimed: Any) -> bool:
            return bool(claimed.documents) and claimed.started == (place == "start")

        store.strategy = lambda name: Paused(make(name), "claim", history, after=True, where=where)
    elif place == "finish":
        store.transitions = Paused(store.transitions, "finish", history, after=False)
    elif place == "checkpoint":
        steps = itertools.count(1)
        third = lambda saved: next(steps) == 3  # noqa: E731
        store.transitions = Paused(store.transitions, "save_checkpoint", history, after=True, where=third)


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
    types = options.pop("types", MIXED)
    pool = WorkerPool(jobs, types, **options).start()
    history.say("up")
    asked.wait()
    recording.stop(pool, history, grace)
    history.say("counted", **counted(jobs))


def run_creator(options: dict[str, Any]) -> None:
    """Create jobs until SIGTERM; what is not confirmed is repeated, as users should."""
    asked, history, jobs = asked_to_end(), open_history(), manager()
    pause: float = options["pause"]
    types = FLOWING if options["flow"] else MIXED
    history.say("up")
    for n in itertools.count(options["first"]):
        if asked.wait(pause):
            break
        type = types[n % len(types)]
        batch = [{"type": type, "data": {"n": n * 1000 + m, "ms": n % 30}} for m in range(1 + n % 10)]
        create_until_known(jobs, history, flowing(batch, n) if options["flow"] else batch, asked)


def flowing(batch: list[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    """Return the batch with tenants; of every third one its jobs wait for the first, and the last one for all."""
    for place, job in enumerate(batch):
        job["id"] = f"flow {job['data']['n']}"
        job["data"]["tenant"] = place % TENANTS
    if n % 3 == 0 and len(batch) > 1:
        first, *others = batch
        for job in others:
            job |= {"after": [first["id"]], "on_failure": "run" if n % 2 else "fail"}
        if len(others) > 1:
            others[-1]["after"] = [job["id"] for job in (first, *others[:-1])]
    return batch


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


def run_canceller(options: dict[str, Any]) -> None:
    """Cancel jobs at random until SIGTERM, of the newest ones that are not final."""
    asked, history, jobs = asked_to_end(), open_history(), manager()
    chance = random.Random(options["seed"])
    history.say("up")
    while not asked.wait(chance.uniform(0, 2 * options["pause"])):
        state = chance.choice(["pending", "claimed", "running"])
        with suppress(StoreUnavailable):  # whether it is cancelled then is for the judge to find out
            for job in jobs.find(state=state, limit=3):
                jobs.cancel(job.id)


def run_operator(options: dict[str, Any]) -> None:
    """Do what operators do, at random, until SIGTERM; then let everything go on."""
    asked, history, jobs = asked_to_end(), open_history(), manager()
    chance = random.Random(options["seed"])
    operator = Operator(jobs, history, FLOWING, options["seed"])
    history.say("up")
    while not asked.wait(chance.uniform(0, 2 * options["pause"])):
        operator.act()
    operator.rest()


if __name__ == "__main__":
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    seeds.plant()
    roles = {"worker": run_worker, "creator": run_creator, "canceller": run_canceller}
    roles["operator"] = run_operator
    roles[sys.argv[1]](json.loads(os.environ["FAULTS_OPTIONS"]))
    # An executor that does not end must not keep the process.
    sys.stderr.flush()
    os._exit(0)
