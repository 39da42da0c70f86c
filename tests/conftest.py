"""One mongod per session, one database per test."""

from __future__ import annotations

import faulthandler
import signal
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient
from pymongo.collection import Collection

from jobpool import JobManager
from jobpool.embedded import EmbeddedMongo
from jobpool.logs import BUDGET

from .faults import seeds
from .faults.proxy import Proxy

faulthandler.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults",
        choices=["short", "full"],
        default="short",
        help="repetitions of the fault tests: a short run of each, or the full lengths",
    )


def pytest_configure() -> None:
    seeds.plant()  # a bug on purpose, if the environment asks for one
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # a shell does so in the background, and children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures see how their test ended."""
    report = yield
    if report.when == "call":
        item.call_report = report  # type: ignore[attr-defined]
    return report


# Examples are drawn anew in every run and printed when they fail; a slow machine is not a failure.
settings.register_profile("jobpool", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("jobpool")


@pytest.fixture(autouse=True)
def log_budget() -> None:
    """Let every test write as many lines about trouble as a process of its own."""
    BUDGET.reset()


Jobs = Collection[dict[str, Any]]
MakeManager = Callable[..., JobManager]


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedMongo]:
    """A one-node replica set that takes failpoints."""
    with EmbeddedMongo(parameters={"enableTestCommands": 1}) as server:
        yield server


@pytest.fixture(scope="session")
def client(server: EmbeddedMongo) -> Iterator[MongoClient[dict[str, Any]]]:
    """The tests' own eyes on the server."""
    with MongoClient[dict[str, Any]](server.uri, tz_aware=True) as client:
        yield client


@pytest.fixture
def database(client: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """The name of a database of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    client.drop_database(name)


@pytest.fixture
def jobs(client: MongoClient[dict[str, Any]], database: str) -> Jobs:
    """The collection as MongoDB has it."""
    return client[database]["jobs"]


@pytest.fixture
def make_manager(server: EmbeddedMongo, database: str) -> Iterator[MakeManager]:
    """Make managers on the test's database; they are closed at its end."""
    with ExitStack() as stack:

        def make(*args: Any, **options: Any) -> JobManager:
            if "client" not in options:
                options.setdefault("uri", server.uri)
            return stack.enter_context(JobManager(*(args or (database,)), **options))

        yield make


@pytest.fixture
def proxy(server: EmbeddedMongo) -> Iterator[Proxy]:
    """A way to the server that can lose replies."""
    host = server.uri.split("/")[2]
    with Proxy(("127.0.0.1", int(host.rpartition(":")[2]))) as proxy:
        yield proxy
