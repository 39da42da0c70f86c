"""Fixtures of the fault suite."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool.embedded import EmbeddedMongo

from .hosts import Script
from .processes import Run
from .replicas import ReplicaSet
from .report import FaultReport

Client = MongoClient[dict[str, Any]]


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Iterator[FaultReport]:
    """The report of a test that is marked ``@pytest.mark.fault("F16")``."""
    mark = request.node.get_closest_marker("fault")
    assert mark is not None, "a fault test is marked with its number"
    report = FaultReport(mark.args[0], request.node.name, request.config.getoption("--faults") == "full")
    yield report
    outcome = getattr(request.node, "call_report", None)
    if outcome is not None and outcome.passed:
        report.close()


@pytest.fixture
def script(server: EmbeddedMongo, database: str) -> Script:
    """A host in a process of its own."""
    return Script({**os.environ, "JOBPOOL_URI": server.uri, "TEST_DATABASE": database})


@pytest.fixture
def run(server: EmbeddedMongo, client: Client, tmp_path: Path) -> Iterator[Run]:
    """A run on the server of the session, which is a replica set of one."""
    with Run(server.uri, client, tmp_path) as run:
        yield run


@pytest.fixture(scope="session")
def shared_replicas() -> Iterator[ReplicaSet]:
    """Three members; use `replicas`."""
    with ReplicaSet() as replicas:
        yield replicas


@pytest.fixture
def replicas(shared_replicas: ReplicaSet) -> Iterator[ReplicaSet]:
    """A replica set of three that is whole at the beginning; a test may leave it otherwise."""
    yield shared_replicas
    for node in shared_replicas.nodes:
        if not node.running:
            node.start()
        node.send(signal.SIGCONT)
    shared_replicas.settle()


@pytest.fixture
def replica_run(replicas: ReplicaSet, tmp_path: Path) -> Iterator[Run]:
    """A run on three members."""
    with replicas.client() as client, Run(replicas.uri, client, tmp_path, lease=3.0) as run:
        yield run
