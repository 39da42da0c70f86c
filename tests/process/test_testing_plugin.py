"""The pytest plugin in the runs of others: their tests, in a pytest of their own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from jobpool.embedded import EmbeddedMongo

RunPytest = Callable[..., str]

USERS_TESTS = """
import pytest
from jobpool import Backoff, Executor
from jobpool.testing import assert_idempotent, expire_leases, kill_between, run_all, travel

names = set()

@pytest.fixture
def orders(jobpool_manager):
    return jobpool_manager(executors={"double": lambda data: data * 2})

def test_a_job(orders, jobpool_database):
    orders.create("double", 21)
    assert [job.result for job in run_all(orders, raises=True)] == [42]
    names.add(jobpool_database)

def test_a_fresh_database(orders, jobpool_database):
    assert orders.count() == 0
    names.add(jobpool_database)
    assert len(names) == 2

def test_two_managers_share_it(jobpool_manager):
    producer, worker = jobpool_manager(), jobpool_manager(executors={"a": print}, collection="jobs")
    producer.create("a")
    assert worker.run().state == "succeeded"

def test_the_future(orders):
    orders.create("double", 1, delay=3600)
    assert run_all(orders) == []
    with travel(orders, hours=1):
        assert run_all(orders)[0].result == 2

def test_a_crash(jobpool_manager):
    manager = jobpool_manager(executors={"a": Executor(print, max_attempts=2, backoff=Backoff(base=0))})
    manager.create("a")
    with kill_between(manager, "start", "executor"):
        manager.run()
    expire_leases(manager)
    assert manager.run().attempts == 2

def test_a_replay(jobpool_manager):
    paid = set()
    manager = jobpool_manager(executors={"pay": Executor(lambda data: paid.add(data), max_attempts=3)})
    assert_idempotent(manager, manager.create("pay", 7), state=lambda: paid)

def test_a_pool_that_is_left_running(orders):
    orders.start_watch(threads=1)
    assert orders.wait(orders.create("double", 4).id, timeout=30).result == 8
"""


@pytest.fixture
def run_pytest(tmp_path: Path) -> RunPytest:
    """Run a file of tests with the plugin as it is installed; return what pytest says."""

    def run(tests: str, *arguments: str, conftest: str = "", code: int = 0, **variables: str) -> str:
        (tmp_path / "test_users.py").write_text(tests)
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("JOBPOOL_URI", "CI", "PYTEST_ADDOPTS")
        }
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider", "-rA", *arguments],
            cwd=tmp_path,
            env={**kept, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    return run


def test_the_plugin_is_declared_under_its_name() -> None:
    (plugin,) = entry_points(group="pytest11", name="jobpool")
    assert plugin.value == "jobpool.testing.plugin"


def test_a_users_tests_pass_on_a_server_that_is_given(
    run_pytest: RunPytest, server: EmbeddedMongo, client: Any
) -> None:
    before = set(client.list_database_names())
    said = run_pytest(USERS_TESTS, JOBPOOL_URI=server.uri, PATH="", JOBPOOL_MONGOD="/nowhere")
    assert "7 passed" in said
    left = set(client.list_database_names()) - before
    assert not [name for name in left if name.startswith("jobpool_test_")], "every database is dropped"


def test_a_users_tests_pass_on_an_embedded_server_that_ends_with_them(run_pytest: RunPytest) -> None:
    tests = USERS_TESTS + '\ndef test_where(jobpool_server):\n    print("uri", jobpool_server)\n'
    said = run_pytest(tests, "-s")
    assert "8 passed" in said
    port = re.search(r"uri mongodb://127\.0\.0\.1:(\d+)/", said)
    assert port is not None
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(port[1])), timeout=5)


NO_MONGOD = "import jobpool.embedded\njobpool.embedded._packaged = lambda: None\n"
SIMPLE = "def test_jobs(jobpool_manager):\n    jobpool_manager().count()\n\ndef test_others():\n    pass\n"


def test_without_a_mongod_the_test_is_skipped_and_says_what_to_install(run_pytest: RunPytest) -> None:
    said = run_pytest(SIMPLE, conftest=NO_MONGOD, PATH="")
    assert "1 passed, 1 skipped" in said
    assert "python -m pip install 'jobpool[embedded]'" in said
    assert "or set $JOBPOOL_URI to a MongoDB for tests" in said


def test_without_a_mongod_in_ci_the_test_fails_and_says_the_same(run_pytest: RunPytest) -> None:
    said = run_pytest(SIMPLE, conftest=NO_MONGOD, PATH="", CI="true", code=1)
    assert "1 passed, 1 error" in said
    assert "python -m pip install 'jobpool[embedded]'" in said
    assert "Traceback" not in said


def test_a_mongod_that_is_named_and_not_there_fails(run_pytest: RunPytest) -> None:
    said = run_pytest(SIMPLE, JOBPOOL_MONGOD="/nowhere/mongod", code=1)
    assert "/nowhere/mongod is not an executable mongod" in said


def test_a_mongod_that_does_not_start_fails(run_pytest: RunPytest) -> None:
    said = run_pytest(SIMPLE, JOBPOOL_MONGOD="/bin/false", code=1)
    assert "mongod ended while starting" in said


def test_a_run_without_jobs_imports_nothing_of_the_driver(run_pytest: RunPytest) -> None:
    tests = (
        "import sys\n\n"
        "def test_modules(request):\n"
        "    assert request.config.pluginmanager.has_plugin('jobpool')\n"
        "    heavy = {'pymongo', 'bson', 'prometheus_client', 'jobpool.store', 'jobpool.embedded'}\n"
        "    assert heavy & set(sys.modules) == set()\n"
    )
    assert "1 passed" in run_pytest(tests)


def test_a_travel_without_a_block_ends_with_its_test_also_if_that_fails(
    run_pytest: RunPytest, server: EmbeddedMongo
) -> None:
    tests = (
        "import pytest\n"
        "from jobpool import JobManager\n"
        "from jobpool.testing import travel\n\n"
        "@pytest.fixture(scope='module')\n"
        "def manager(jobpool_server):\n"
        "    with JobManager('jobpool_test_travel', uri=jobpool_server, executors={'a': print}) as manager:\n"
        "        yield manager\n"
        "        manager.remove_many(all=True)\n\n"
        "def test_goes_far(manager):\n"
        "    manager.create('a', delay=3600)\n"
        "    clock = travel(manager)\n"
        "    clock.forward(hours=2)\n"
        "    assert manager.backlog().of('a').due == 2\n\n"
        "def test_is_back(manager):\n"
        "    assert manager.backlog().of('a').due == 0\n"
    )
    said = run_pytest(tests, JOBPOOL_URI=server.uri, code=1)
    assert "1 failed, 1 passed" in said
    assert "PASSED test_users.py::test_is_back" in said


def test_the_fixtures_are_listed_with_what_they_are_for(run_pytest: RunPytest) -> None:
    said = run_pytest("", "--fixtures")
    for words in ("The URI of a MongoDB for the tests", "a database that no other test has", "Make managers on"):
        assert words in said


def test_the_plugin_can_be_left_out(run_pytest: RunPytest) -> None:
    said = run_pytest(SIMPLE, "-p", "no:jobpool", code=1)
    assert "fixture 'jobpool_manager' not found" in said
