"""``jobpool worker``: signals, bursts, and nonsense."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest

from jobpool import JobManager, State

from ..conftest import Jobs
from .conftest import ROOT, StartWorker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains(
    manager: JobManager, jobs: Jobs, start_worker: StartWorker, environment: dict[str, str], number: signal.Signals
) -> None:
    manager.create_many([{"type": "until_released", "data": n} for n in range(3)])
    worker = start_worker("--threads", "3")
    worker.wait_for("began", 3)
    manager.create("quick", "afterwards")
    worker.send(number)
    worker.wait_for_line("draining")
    open(environment["TEST_RELEASE"], "w").close()
    code, _ = worker.end()
    assert code == 0
    assert manager.count(type="until_released", state="succeeded") == 3
    assert jobs.count_documents({"state": {"$in": ["claimed", "running"]}}) == 0


def test_the_second_signal_forces_and_names_what_is_left(
    manager: JobManager, jobs: Jobs, start_worker: StartWorker
) -> None:
    id = manager.create("endless", 1).id
    worker = start_worker("--threads", "1")
    worker.wait_for("began")
    worker.send(signal.SIGTERM)
    worker.wait_for_line("draining")  # two pending signals of one kind would be one
    worker.send(signal.SIGTERM)
    code, errors = worker.end()
    assert code == 1
    assert f"abandoned: {id}" in errors
    assert manager.get(id).state is State.RUNNING, "left to its lease"


def test_a_drain_that_takes_too_long_gives_up(manager: JobManager, start_worker: StartWorker) -> None:
    id = manager.create("endless", 1).id
    worker = start_worker("--drain-timeout", "0.3")
    worker.wait_for("began")
    worker.send(signal.SIGTERM)
    code, errors = worker.end()
    assert code == 1
    assert f"abandoned: {id}" in errors


def test_a_thread_that_was_given_up_does_not_keep_the_process(
    manager: JobManager, start_worker: StartWorker
) -> None:
    job = manager.create("stubborn", 1)
    worker = start_worker("--threads", "1", "--max-stuck", "1")
    assert job.wait(60).stuck is not None
    worker.send(signal.SIGTERM)
    code, errors = worker.end()
    assert code == 1
    assert "still running: jobpool-default-worker" in errors


def test_a_burst_ends_when_no_job_is_due(manager: JobManager, start_worker: StartWorker) -> None:
    manager.create_many([{"type": "quick", "data": n} for n in range(200)])
    later = manager.create("quick", "tomorrow", delay=86400)
    code, errors = start_worker("--burst").end()
    assert (code, manager.count(state="succeeded")) == (0, 200), errors
    assert manager.get(later.id).state is State.PENDING


def test_settings_come_from_the_environment(manager: JobManager, start_worker: StartWorker) -> None:
    id = manager.create("quick", 1).id
    code, errors = start_worker("--burst", JOBPOOL_NAME="from-env", JOBPOOL_THREADS="3").end()
    assert code == 0, errors
    assert manager.get(id).pool == "from-env"
    assert "3 threads" in errors


def test_metrics_are_served_on_request(manager: JobManager, start_worker: StartWorker) -> None:
    manager.create("endless", 1)
    worker = start_worker("--metrics-port", "0")
    worker.wait_for("began")
    line = worker.wait_for_line("metrics on ")
    assert "jobpool_threads_busy" in urlopen(line.removeprefix("metrics on ").strip()).read().decode()


def test_a_log_in_json_is_one_object_a_line_and_names_the_job(
    manager: JobManager, start_worker: StartWorker
) -> None:
    id = manager.create("talkative", "loud").id
    arguments = ("--burst", "--name", "night", "--metrics-port", "0")
    code, errors = start_worker(*arguments, JOBPOOL_LOG_FORMAT="json").end()
    lines = [json.loads(line) for line in errors.splitlines()]
    job = {"job_id": id, "job_type": "talkative", "pool": "night", "attempt": 1}
    own = [line for line in lines if line["logger"] in ("shop.images", "jobpool.job")]
    assert [line["message"].partition(" ")[0] for line in own] == ["of", "%d", "failed", "by"]
    assert [line for line in own if not job.items() <= line.items()] == []
    assert own[2]["exc"].endswith("ValueError: with\ttabs")
    assert any(line["message"].startswith("metrics on http") for line in lines)
    assert any("'night'" in line["message"] and "job_id" not in line for line in lines)
    assert code == 0


def test_a_log_in_text_names_the_job(manager: JobManager, start_worker: StartWorker) -> None:
    id = manager.create("talkative", "loud").id
    _, errors = start_worker("--burst").end()
    assert f"INFO jobpool.job: by its own [job '{id}']" in errors


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["worker", "nonsense"], 2, "MODULE:MANAGER"),
        (["worker", "no_such_module:manager"], 2, "no module 'no_such_module'"),
        (["worker", "tests.process.app:nothing"], 2, "has no 'nothing'"),
        (["worker", "tests.process.app:ROOT"], 2, "has no 'ROOT'"),
        (["worker", "tests.process.app:os"], 2, "not a JobManager"),
        (["worker", "tests.process.app:manager", "--types", "unknown"], 1, "no executor for type 'unknown'"),
        (["worker", "tests.process.app:manager", "--threads", "0"], 2, "threads must be between 1 and 1000"),
        (["worker", "tests.process.app:manager", "--lease", "nan"], 2, "lease"),
        (["worker", "tests.process.app:manager", "--threads", "many"], 2, "invalid int value"),
        (["worker", "tests.process.app:manager", "--log-format", "xml"], 2, "neither text nor json"),
        (["worker", "nonsense", "--log-format", "json"], 2, '"level": "ERROR"'),
        (["frobnicate"], 2, "there is no command 'frobnicate'"),
        ([], 2, ""),
    ],
)
def test_nonsense_gets_a_clear_error(
    environment: dict[str, str], arguments: list[str], code: int, message: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jobpool", *arguments], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_away_is_exit_code_3(environment: dict[str, str]) -> None:
    script = (
        "import os, sys; from jobpool import JobManager; from jobpool.cli import main;"
        "import tests.process.app as app;"
        "app.manager = lambda: JobManager('x', uri='mongodb://127.0.0.1:1', timeout=0.3, executors={'a': print});"
        "sys.exit(main(['worker', 'tests.process.app:manager']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
