"""Hosts that forget to stop their pool, or leave in other ways."""

from __future__ import annotations

import subprocess
import sys

import pytest

from jobpool import JobManager

from ..conftest import Jobs
from .conftest import ROOT

HOST = """
import os, sys, threading
sys.path.insert(0, ".")
from tests.process.app import manager
jm = manager()
began = threading.Event()
jm.executors["quick"]
pool = jm.start_watch("quick", threads=2, stop_timeout=5)
while not jm.count(state="succeeded"):
    threading.Event().wait(0.01)
"""


@pytest.mark.parametrize(("ending", "code"), [("pass", 0), ("sys.exit(7)", 7), ("raise RuntimeError('host')", 1)])
def test_a_host_that_ends_without_stopping_ends_and_leaves_nothing_claimed(
    manager: JobManager, jobs: Jobs, environment: dict[str, str], ending: str, code: int
) -> None:
    manager.create_many([{"type": "quick", "data": n} for n in range(2000)])
    done = subprocess.run(
        [sys.executable, "-c", HOST + ending],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert jobs.count_documents({"state": {"$in": ["claimed", "running"]}}) == 0
    assert manager.count(state="succeeded") >= 1
    assert manager.count(state="failed") == 0


def test_a_script_that_runs_a_job_and_ends_without_closing_ends(
    manager: JobManager, environment: dict[str, str]
) -> None:
    script = (
        "import sys; from tests.process.app import manager; jm = manager();"
        "jm.create('quick', 1); assert jm.run_all() == 1"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_forked_from_a_busy_host_ends_and_touches_nothing(
    manager: JobManager, jobs: Jobs, environment: dict[str, str]
) -> None:
    manager.create_many([{"type": "quick", "data": n} for n in range(2000)])
    script = HOST + (
        "children = []\n"
        "for _ in range(10):\n"
        "    child = os.fork()\n"
        "    if child == 0: sys.exit(3)\n"
        "    children.append(child)\n"
        "codes = {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}\n"
        "assert codes == {3}, codes\n"
        "jm.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert jobs.count_documents({"state": {"$in": ["claimed", "running"]}}) == 0


def test_the_package_imports_without_extras_and_without_warnings() -> None:
    script = (
        "import sys; sys.modules['rich'] = None; sys.modules['fiftyone'] = None;"
        "import jobpool, jobpool.cli; print(jobpool.job_id('a', 1))"
    )
    for flags in (["-W", "error"], ["-O", "-W", "error"], ["-X", "dev"]):
        done = subprocess.run([sys.executable, *flags, "-c", script], cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("v1:")
