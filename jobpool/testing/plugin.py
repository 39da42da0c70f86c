"""The pytest plugin: a MongoDB for the test run, a database for each test, managers on it.

It is loaded wherever jobpool and pytest are installed together, and so does
nothing before a fixture is asked for: no server, and no import of the driver.
``-p no:jobpool`` leaves it out.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from jobpool import JobManager

#: What the fixture `jobpool_manager` is: for annotations.
MakeManager = Callable[..., "JobManager"]

#: Seconds that the end of a test waits for executors of its pools: those of a failed test may hang.
CLOSE_TIME = 5.0


@pytest.fixture(scope="session")
def jobpool_server() -> Iterator[str]:
    """The URI of a MongoDB for the tests: $JOBPOOL_URI if that is set, else an embedded one, gone at the end.

    Where no mongod is installed, the tests that need it are skipped and say
    what to install; with $CI set they fail, so that nobody takes it for a pass.
    """
    given = os.environ.get("JOBPOOL_URI")
    if given:
        yield given
        return
    from jobpool.embedded import EmbeddedMongo
    from jobpool.errors import EmbeddedMongoError

    server = EmbeddedMongo(mongod=_find_mongod())
    try:
        server.start()
    except EmbeddedMongoError as error:
        pytest.fail(f"jobpool_server: {error}", pytrace=False)
    with server:
        yield server.uri


def _find_mongod() -> str:
    from jobpool.embedded import MONGOD_VARIABLE, find_mongod
    from jobpool.errors import EmbeddedMongoError

    try:
        return find_mongod()
    except EmbeddedMongoError as error:
        message = f"jobpool_server: {error}; or set $JOBPOOL_URI to a MongoDB for tests"
    if os.environ.get("CI") or os.environ.get(MONGOD_VARIABLE):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture
def jobpool_database(jobpool_server: str) -> Iterator[str]:
    """The name of a database that no other test has; it is dropped afterwards."""
    from jobpool import JobManager

    from .seams import drop_database

    name = f"jobpool_test_{uuid.uuid4().hex[:12]}"
    with JobManager(name, uri=jobpool_server) as manager:
        yield name
        drop_database(manager)


@pytest.fixture
def jobpool_manager(jobpool_server: str, jobpool_database: str) -> Iterator[MakeManager]:
    """Make managers on the test's database: ``manager = jobpool_manager(executors={...})``.

    Takes the options of `JobManager`. Each call makes another manager, as
    another process would have it; all of them are closed, and their pools
    stopped, at the end of the test.
    """
    from jobpool import JobManager

    with ExitStack() as stack:

        def make(**options: Any) -> JobManager:
            if "client" not in options:
                options.setdefault("uri", jobpool_server)
            manager = JobManager(jobpool_database, **options)
            stack.callback(manager.close, CLOSE_TIME)
            return manager

        yield make


def pytest_runtest_logfinish() -> None:
    """End the travels that the test has begun outside of a ``with`` block."""
    travels = sys.modules.get("jobpool.testing.travelling")
    if travels is not None:  # else nobody has travelled
        travels.end_of_test()
