"""Programs that run with either version of jobpool, so only with what the older one has.

``python app.py worker [LEASE]`` runs a pool until its stdin ends; ``produce FIRST END`` creates jobs,
``cancel ID`` cancels one and ``state ID`` looks at one. Each says on its first line which jobpool
it runs with. What its executors do is in the collection ``ran``, whatever becomes of the process.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib.metadata import version
from typing import Any

from pymongo import MongoClient

import jobpool
from jobpool import Executor, JobManager, WorkerPool, current_job

URI, DATABASE = os.environ["JOBPOOL_URI"], os.environ["TEST_DATABASE"]
RELEASE, SIDE = os.environ["TEST_RELEASE"], os.environ["TEST_SIDE"]
client: MongoClient[dict[str, Any]] = MongoClient(URI)


def note() -> None:
    """Write down which attempt of which job has begun, and where."""
    job = current_job()
    client[DATABASE]["ran"].insert_one({"job": job.id, "attempt": job.attempt, "side": SIDE, "pid": os.getpid()})


def quick(data: Any) -> Any:
    """Return what it gets."""
    note()
    return data


def flaky(data: Any) -> Any:
    """Fail the first attempt."""
    note()
    if current_job().attempt == 1:
        raise ValueError("the first attempt fails")
    return data


def held(data: Any) -> None:
    """Return when a file appears, or when told to end: the test decides."""
    note()
    while not os.path.exists(RELEASE):
        current_job().check()
        threading.Event().wait(0.01)


def once_endless(data: Any) -> Any:
    """Never return in the first attempt."""
    note()
    if current_job().attempt == 1:
        threading.Event().wait()
    return data


EXECUTORS: dict[str, Any] = {
    "quick": quick,
    "flaky": Executor(flaky, max_attempts=3, backoff=0),
    "held": held,
    "once_endless": Executor(once_endless, max_attempts=2, backoff=0),
}


def main(command: str, *arguments: str) -> None:
    """Do what the command line says."""
    print(version("jobpool"), os.path.dirname(jobpool.__file__), flush=True)
    with JobManager(DATABASE, uri=URI, executors=EXECUTORS) as manager:
        if command == "worker":
            lease = float(arguments[0]) if arguments else 30.0
            sizes: Any = {"threads": 2, "batch_size": 4, "queue_size": 4}
            with WorkerPool(manager, name=SIDE, lease=lease, poll_interval=0.1, **sizes):
                print("started", flush=True)
                sys.stdin.read()
        elif command == "produce":
            numbers = range(int(arguments[0]), int(arguments[1]))
            print(manager.create_many({"type": "quick", "data": n} for n in numbers).inserted)
        elif command == "cancel":
            print(manager.cancel(arguments[0]).state.value)
        else:
            try:
                print(manager.get(arguments[0]).state.value)
            except ValueError as error:
                print(type(error).__name__)


if __name__ == "__main__":
    main(*sys.argv[1:])
