"""Workers whose types are limited, killed and frozen at any instant; the oplog says what was held at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager

from ..conftest import Jobs
from ..gates import by_key, by_type, most_held
from ..waiting import until
from .conftest import ROOT

Client = MongoClient[dict[str, Any]]


class Fleet:
    """Worker processes, started again when they are killed."""

    def __init__(self, environment: dict[str, str], stack: ExitStack) -> None:
        self._environment = environment
        self._stack = stack

    def start(self) -> subprocess.Popen[bytes]:
        arguments = ("worker", "tests.process.limited:manager", "--threads", "4", "--lease", "1")
        process = subprocess.Popen(
            [sys.executable, "-m", "jobpool", *arguments],
            env=self._environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


@pytest.fixture
def fleet(environment: dict[str, str]) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(environment, stack)


def test_kills_and_pauses_never_let_more_through(
    manager: JobManager, jobs: Jobs, client: Client, fleet: Fleet
) -> None:
    """Three workers: one is killed again and again, one frozen for longer than its lease."""
    manager.create_many({"type": "one", "data": n} for n in range(150))
    manager.create_many({"type": "both", "data": {"tenant": n % 5, "n": n}} for n in range(300))
    steady, frozen, mortal = fleet.start(), fleet.start(), fleet.start()

    def finished() -> int:
        return jobs.count_documents({"state": "succeeded"})

    for blow in range(1, 5):
        until(lambda blow=blow: finished() > 60 * blow, "jobs", 60)  # type: ignore[misc]
        frozen.send_signal(signal.SIGSTOP)
        mortal.send_signal(signal.SIGKILL)
        before = finished()
        until(lambda before=before: finished() > before + 10, "jobs of the others", 60)  # type: ignore[misc]
        frozen.send_signal(signal.SIGCONT)
        mortal = fleet.start()
    until(lambda: finished() == 450, "all jobs", 60)
    assert steady.poll() is None
    assert frozen.poll() is None
    held = most_held(client, jobs.full_name, by_type)
    assert held["one"] == 1
    assert held["both"] <= 3
    keys = most_held(client, jobs.full_name, by_key)
    assert max(keys["both", str(tenant)] for tenant in range(5)) == 1
