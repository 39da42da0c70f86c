"""A run: worker processes on one database, their history, and its judgement."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from jobpool import JobManager

from ..waiting import until
from . import app
from .checker import check
from .history import Event, History, count, events
from .oplog import Change, changes
from .violation import Violation

ROOT = Path(__file__).parents[2]
Client = MongoClient[dict[str, Any]]
#: Of the workers: short, so that recoveries are; see `Run.lease`.
LEASE = 1.5
#: Seconds for the end of a database; its server may not answer any more.
DROP_TIME = 20.0


class Program:
    """A worker or creator process. Its log is in a file, so nobody has to read a pipe."""

    def __init__(self, run: Run, command: list[str], options: dict[str, Any], variables: dict[str, str]) -> None:
        self.log = run.directory / f"{uuid.uuid4().hex[:8]}.log"
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "FAULTS_URI": variables.pop("uri", run.uri),
            "FAULTS_DATABASE": run.database,
            "FAULTS_HISTORY": str(run.history.path),
            "FAULTS_RELEASE": str(run.directory / "release"),
            "FAULTS_OPTIONS": json.dumps(options),
            **variables,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._history = run.history.path

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def wait_until_up(self) -> Program:
        """Wait until its pool runs."""
        until(lambda: self.said("up") or self.process.poll() is not None, "a worker")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def said(self, name: str) -> int:
        """Return how many events of that name it wrote."""
        return sum(event.name == name and event.pid == self.pid for event in events(self._history))

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it with -9 and wait for its end."""
        self.process.kill()
        self.process.wait()

    def end(self, timeout: float = 60) -> int:
        """Stop it in order and return its exit code."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
            self.send(signal.SIGCONT)
        return self.process.wait(timeout)


class Run:
    """One database, its history, any number of workers; a context manager that ends them.

    Args:
        uri: What clients connect to.
        client: The tests' own eyes on the server.
        directory: For the history and the logs.
        lease: Seconds, of every worker that is not started with another.
    """

    def __init__(self, uri: str, client: Client, directory: Path, *, lease: float = LEASE) -> None:
        self.uri = uri
        self.client = client
        self.directory = directory
        self.lease = lease
        self.database = f"faults_{uuid.uuid4().hex[:12]}"
        self.history = History(directory / "history.jsonl")
        self.workers: list[Program] = []
        self.manager = self.make_manager()

    @property
    def jobs(self) -> Any:
        """The collection as MongoDB has it."""
        return self.client[self.database]["jobs"]

    def make_manager(self, **options: Any) -> JobManager:
        """Return a recorded manager in this process."""
        options.setdefault("uri", self.uri)
        return app.make_manager(self.history, self.database, **options)

    def worker(self, *, wait: bool = True, variables: dict[str, str] | None = None, **options: Any) -> Program:
        """Start a worker process with these pool options."""
        options.setdefault("lease", self.lease)
        program = self._program(["tests.faults.app", "worker"], options, variables)
        return program.wait_until_up() if wait else program

    def creator(self, *, first: int, pause: float = 0.05, flow: bool = False, wait: bool = True) -> Program:
        """Start a process that creates jobs numbered from `first` on, until it is ended.

        Args:
            flow: Also jobs that wait for others, have limits, or complete in transactions.
        """
        options = {"first": first, "pause": pause, "flow": flow}
        program = self._program(["tests.faults.app", "creator"], options, None)
        return program.wait_until_up() if wait else program

    def canceller(self, *, seed: int, pause: float = 0.1, wait: bool = True) -> Program:
        """Start a process that cancels jobs at random, every `pause` seconds on average, until it is ended."""
        program = self._program(["tests.faults.app", "canceller"], {"seed": seed, "pause": pause}, None)
        return program.wait_until_up() if wait else program

    def operator(self, *, seed: int, pause: float = 0.3, wait: bool = True) -> Program:
        """Start a process that does what operators do, every `pause` seconds on average, until it is ended."""
        program = self._program(["tests.faults.app", "operator"], {"seed": seed, "pause": pause}, None)
        return program.wait_until_up() if wait else program

    def command(self, *arguments: str) -> Program:
        """Start ``jobpool worker`` with these arguments."""
        return self._program(["jobpool", "worker", "tests.faults.app:manager", *arguments], {}, None)

    def _program(self, command: list[str], options: dict[str, Any], variables: dict[str, str] | None) -> Program:
        program = Program(self, command, options, dict(variables or {}))
        self.workers.append(program)
        return program

    def create(self, type: str, number: int, *, first: int = 0, ms: int = 0, **fields: Any) -> list[str]:
        """Create jobs; their data have `n` and `ms`."""
        jobs = [{"type": type, "data": {"n": n, "ms": ms}, **fields} for n in range(first, first + number)]
        return self.manager.create_many(jobs).ids

    def release(self) -> None:
        """Let the jobs of type ``until_released`` return."""
        (self.directory / "release").touch()

    def count(self, name: str, **fields: Any) -> int:
        """Return how many such events there are."""
        return count(self.history.path, name, **fields)

    def wait_for(self, name: str, times: int = 1, patience: float = 30.0, **fields: Any) -> None:
        """Wait until such an event was written that often."""
        until(lambda: self.count(name, **fields) >= times, f"{times} times {name} {fields}", patience)

    def open_jobs(self) -> int:
        """Return how many jobs are not final."""
        number: int = self.jobs.count_documents({"state": {"$in": ["waiting", "pending", "claimed", "running"]}})
        return number

    def wait_until_done(self, patience: float = 60.0) -> None:
        """Wait until every job is final."""
        until(lambda: not self.open_jobs(), "the last job", patience)

    def events(self) -> list[Event]:
        """Return the history so far."""
        return list(events(self.history.path))

    def changes(self) -> Iterator[Change]:
        """Yield what the server did with jobs."""
        return changes(self.client, f"{self.database}.jobs")

    def violations(self, *, ended: bool = True, oplog: bool = True) -> list[Violation]:
        """Return what the checker finds."""
        seen = self.changes() if oplog else None
        return check(events(self.history.path), self.jobs.find(), seen, ended=ended)

    def judge(self, *, ended: bool = True, oplog: bool = True) -> None:
        """Fail on any violation."""
        found = self.violations(ended=ended, oplog=oplog)
        assert not found, "\n".join(map(str, found[:20]))

    def end(self) -> None:
        """Stop all workers in order."""
        for worker in self.workers:
            worker.end()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.manager.close()
        self.history.close()
        with pymongo.timeout(DROP_TIME), suppress(PyMongoError):  # of a server that the test has ruined
            self.client.drop_database(self.database)


MakeRun = Callable[..., Run]
