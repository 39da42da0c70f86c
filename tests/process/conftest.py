"""Real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobpool import JobManager
from jobpool.cli import main
from jobpool.embedded import EmbeddedMongo

from ..conftest import MakeManager
from ..waiting import until
from .cli import Cli, Here

ROOT = Path(__file__).parents[2]


class Worker:
    """A ``jobpool`` process and what its jobs noted."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    def notes(self) -> list[str]:
        """Return the events of all workers so far."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [line.rpartition(" ")[0] for line in lines]

    def wait_for(self, event: str, times: int = 1) -> None:
        """Wait until `event` was noted that often."""
        until(lambda: sum(note.startswith(event) for note in self.notes()) >= times, event)

    def wait_for_line(self, part: str) -> str:
        """Read stderr up to a line that holds `part`, and return that line."""
        assert self.process.stderr is not None
        return next(line for line in self.process.stderr if part in line)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return exit code and stderr."""
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


StartWorker = Callable[..., Worker]


@pytest.fixture
def environment(server: EmbeddedMongo, database: str, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "JOBPOOL_URI": server.uri,
        "TEST_DATABASE": database,
        "TEST_LOG": str(tmp_path / "log"),
        "TEST_RELEASE": str(tmp_path / "release"),
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def start_worker(environment: dict[str, str]) -> Iterator[StartWorker]:
    """Start ``jobpool worker`` processes; whatever is left of them is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **variables: str) -> Worker:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobpool", "worker", "tests.process.app:manager", *arguments],
            env={**environment, **variables},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return Worker(process, Path(environment["TEST_LOG"]))

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    """The producer's side."""
    manager = make_manager()
    manager.ensure_indexes()
    return manager


@pytest.fixture
def cli(server: EmbeddedMongo, database: str, tmp_path: Path) -> Cli:
    """Run commands on the test's database; see `tests.process.cli`."""
    return Cli(server.uri, database, tmp_path)


@pytest.fixture
def here(
    server: EmbeddedMongo,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Here:
    """Run commands on the test's database in this process; for those that need no terminal and no signal."""
    for name in [name for name in os.environ if name.startswith("JOBPOOL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("JOBPOOL_URI", server.uri)
    monkeypatch.setenv("JOBPOOL_DATABASE", database)
    monkeypatch.chdir(tmp_path)
    return Here(main, capsys.readouterr, tmp_path)
