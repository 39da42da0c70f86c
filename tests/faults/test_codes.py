"""What jobpool does when the server answers with an error, or closes the connection: code by code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from jobpool import JobManager, WorkerPool
from jobpool.errors import StoreError, StoreRefused, StoreUnavailable
from jobpool.job import Claim
from jobpool.store.claiming import Request

from ..waiting import PATIENCE, until
from . import app, recording
from .failpoints import Client, fail_command
from .processes import Run
from .report import FaultReport

ANSWERED, UNAVAILABLE, REFUSED = "answered", StoreUnavailable.__name__, StoreRefused.__name__

#: Codes of elections and shutdowns: the driver looks for the primary again.
ELECTION = {
    10107: "NotWritablePrimary",
    189: "PrimarySteppedDown",
    91: "ShutdownInProgress",
    11600: "InterruptedAtShutdown",
    11602: "InterruptedDueToReplStateChange",
}
NETWORK = {6: "HostUnreachable", 7: "HostNotFound", 89: "NetworkTimeout", 262: "ExceededTimeLimit"}
PASSING = {112: "WriteConflict", 50: "MaxTimeMSExpired", 64: "WriteConcernFailed"}
FORBIDDEN = {13: "Unauthorized"}
CODES = {**ELECTION, **NETWORK, **PASSING, **FORBIDDEN}

#: What the driver repeats by itself, as long as the time of the call lasts.
REPEATED = {"insert", "findAndModify", "find", "aggregate"}
WRITES = {"insert", "findAndModify", "update", "createIndexes"}
COMMANDS = (*sorted(REPEATED), "update", "createIndexes", "hello")

#: A failpoint's "not primary" does not reach the streaming monitor: a polling one sees the server again soon.
QUICK = "serverMonitoringMode=poll&heartbeatFrequencyMS=500"


def reaction(code: int, command: str) -> set[str]:
    """Return what the caller of jobpool may see, the table of README in one function."""
    if command == "hello":  # the driver's monitor asks it as well and may meet the error in our place
        return {ANSWERED, REFUSED if code in FORBIDDEN else UNAVAILABLE}
    if code in FORBIDDEN:
        return {REFUSED}
    if code in PASSING or command not in REPEATED:
        return {UNAVAILABLE}
    return {ANSWERED}


class Operations:
    """One operation of the store per command, each asked of the server again at every call."""

    def __init__(self, manager: JobManager, jobs: Any) -> None:
        self.manager = manager
        self._jobs = jobs
        self._created = 0
        self._single = manager.store.strategy("single")
        self._id = self.create()
        self._held = self.claim()

    def create(self) -> str:
        self._created += 1
        return self.manager.create("once", {"n": self._created}).id

    def claim(self) -> Claim:
        claimed = self._single.claim(Request(("once",), 1, "codes", 600.0))
        document = claimed.documents[0]
        return Claim(document["_id"], claimed.token, document["fence"])

    def prepare(self, command: str) -> None:
        """Let the next call need `command`."""
        if command == "findAndModify":
            self.create()
        if command == "createIndexes":
            self._jobs.drop_index("jobpool_failed")
        if command == "hello":
            self.manager.store.clock.forget()

    def call(self, command: str) -> None:
        calls: dict[str, Callable[[], object]] = {
            "insert": self.create,
            "findAndModify": self.claim,
            "update": self._extend,
            "find": lambda: self.manager.get(self._id),
            "aggregate": self.manager.count,
            "createIndexes": self.manager.ensure_indexes,
            "hello": self.manager.store.clock.now,
        }
        calls[command]()

    def _extend(self) -> None:
        assert self.manager.store.transitions.extend([self._held], 600.0) == {self._held}

    def outcome(self, command: str) -> str:
        try:
            self.call(command)
        except StoreError as error:
            return type(error).__name__
        return ANSWERED

    def recover(self, command: str) -> None:
        """Wait until the operation is answered: what failed once must not stay failed."""
        if command == "findAndModify":
            self.create()
        until(lambda: self.outcome(command) == ANSWERED, f"an answer to {command}")


def failing(code: int, command: str) -> dict[str, Any]:
    """Return the failpoint's options: a write-concern error comes after the write."""
    if code == 64 and command in WRITES:
        return {"write_concern_error": code}
    return {"code": code}


@pytest.mark.fault("F45")
@pytest.mark.parametrize("command", COMMANDS)
def test_f45_every_code_has_its_documented_reaction(
    fault: FaultReport, run: Run, client: Client, command: str
) -> None:
    manager = run.make_manager(uri=f"{run.uri}&appName=f45&{QUICK}")
    struck = cells = 0
    with manager:
        operations = Operations(manager, run.jobs)
        for times in fault.length((1,), (1, 2, 5)):
            for code, name in CODES.items():
                operations.prepare(command)
                with fail_command(client, [command], times=times, app="f45", **failing(code, command)) as point:
                    seen = operations.outcome(command)
                    until(lambda point=point: point.struck, f"the strike of {name}")  # type: ignore[misc]
                    struck += point.struck
                assert seen in reaction(code, command), f"{name} ({code}) x {times} in {command}: {seen}"
                operations.recover(command)
                cells += 1
        run.judge(ended=False)
    fault.struck(struck, f"errors in {command}")
    fault.figure(f"{command}, cells as documented", f"{cells}/{cells}")


@pytest.mark.fault("F45")
@pytest.mark.parametrize("command", ["findAndModify", "update", "find", "insert", "hello"])
def test_f45_a_pool_goes_on_after_every_code(fault: FaultReport, run: Run, client: Client, command: str) -> None:
    """A refused claim, start or finish is repeated as well: rights may come back, an outcome does not."""
    manager = run.make_manager(uri=f"{run.uri}&appName=f45&{QUICK}")
    struck = 0
    with manager, WorkerPool(manager, ["once"], lease=2, threads=4) as pool:
        for number, (code, name) in enumerate(CODES.items()):
            times = fault.length(1, 5)
            with fail_command(client, [command], times=times, app="f45", **failing(code, command)) as point:
                begun = time.monotonic()
                while not point.struck:
                    assert time.monotonic() < begun + PATIENCE, f"{name} did not strike in {command}"
                    work(manager if command == "insert" else run.manager, number)
                    if command == "hello":
                        manager.store.clock.forget()
                struck += point.struck
        run.create("once", 20, first=10_000)
        run.wait_until_done()
        until(lambda: pool.health().is_ready, "the all-clear")
        run.judge()
        assert {job["state"] for job in run.jobs.find({"data.n": {"$gte": 10_000}})} == {"succeeded"}
    fault.struck(struck, f"errors in {command} of a busy pool")
    fault.figure(f"pool under {command} errors, jobs done", run.jobs.count_documents({}))


def work(manager: JobManager, number: int) -> None:
    """Create a job and wait a moment, or be told that it may have been created."""
    try:
        manager.create("once", {"n": number, "at": time.monotonic()})
    except StoreError:
        return
    threading.Event().wait(0.02)


@pytest.mark.fault("F46")
def test_f46_all_threads_consume_again_after_closed_connections(
    fault: FaultReport, run: Run, client: Client
) -> None:
    threads = 4
    together = threading.Barrier(threads)
    manager = run.make_manager(uri=f"{run.uri}&appName=f46&{QUICK}")

    def meet(data: dict[str, Any]) -> dict[str, Any]:
        together.wait(PATIENCE)
        return app.work(data)

    manager.executor("meet")(recording.executor(run.history, meet))
    commands = ["insert", "update", "find", "findAndModify", "aggregate", "getMore", "hello"]
    worst = 0.0
    with manager, WorkerPool(manager, ["once", "retried", "meet"], lease=5, threads=threads) as pool:
        for times in (1, 2, 5, 50):
            with fail_command(client, commands, times=times, app="f46", close=True) as point:
                number = 0
                while point.struck < times:
                    run.create("retried", 5, first=times * 10_000 + number, ms=2)
                    number += 5
                    threading.Event().wait(0.05)
                fault.struck(point.struck, f"connections closed of {times}")
            began = time.monotonic()
            for n in range(threads):
                run.manager.create("meet", {"n": n, "round": times})
            run.wait_until_done()
            worst = max(worst, time.monotonic() - began)
        met = run.jobs.count_documents({"type": "meet", "state": "succeeded"})
        assert met == 4 * threads
        until(lambda: pool.health().is_ready, "the all-clear")
        run.judge()
    fault.figure("back at work after, s", worst)
    fault.figure("active threads after/before", f"{met // 4}/{threads}")
