"""Processes of the version before this one, and of this one, on one collection.

The wheel is that of the tag v0.1.0 (``pip wheel --no-deps`` of ``git archive v0.1.0``): tests need neither
the history nor the network for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobpool.embedded import EmbeddedMongo

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OLD, NEW = "old", "new"
SIDES = (OLD, NEW)
VERSION = "0.1.0"


@dataclass
class Program:
    """A process, and which jobpool it says that it runs with."""

    process: subprocess.Popen[str]
    version: str
    path: str

    def line(self) -> str:
        """Return the next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Let a worker drain and end; fail if it does not end well."""
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors


Start = Callable[..., Program]


@pytest.fixture(scope="session")
def old_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the version before this one is installed."""
    path = tmp_path_factory.mktemp("old")
    with zipfile.ZipFile(HERE / f"jobpool-{VERSION}-py3-none-any.whl") as wheel:
        wheel.extractall(path)
    return path


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The file that ends jobs of the type ``held``."""
    return tmp_path / "release"


@pytest.fixture
def start(server: EmbeddedMongo, database: str, old_path: Path, release: Path) -> Iterator[Start]:
    """Start programs of `app` with one version or the other; whatever is left of them is killed."""
    started: list[subprocess.Popen[str]] = []

    def program(side: str, *arguments: str) -> Program:
        environment = {
            **os.environ,
            "JOBPOOL_URI": server.uri,
            "TEST_DATABASE": database,
            "TEST_RELEASE": str(release),
            "TEST_SIDE": side,
            "PYTHONPATH": str(old_path if side == OLD else ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        process = subprocess.Popen(
            [sys.executable, str(HERE / "app.py"), *arguments],
            env=environment,
            cwd=release.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        version, _, path = process.stdout.readline().strip().partition(" ")
        if not version:
            raise AssertionError(process.communicate()[1])
        made = Program(process, version, path)
        if arguments[0] == "worker" and made.line() != "started":
            raise AssertionError(process.communicate()[1])
        return made

    yield program
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
