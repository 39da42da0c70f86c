"""Logs and representations hold names, never data, results or what errors say."""

from __future__ import annotations

import logging
import threading
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from jobpool import Backoff, CurrentJob, Executor, JobManager, WorkerPool, current_job
from jobpool.errors import InvalidJob, JobNotFound, StoreRefused
from jobpool.job import Claim, Job, JobError, Stuck
from jobpool.outcome import Finish, Outcome
from jobpool.request import JobRequest
from jobpool.store.claiming import Claimed, Request
from jobpool.store.failures import translate

from ..conftest import Jobs, MakeManager
from ..waiting import until

MARK = "s3cr3t-m4rk3r"
DATA = {"password": MARK, "$deep": [{"x": MARK}]}


def fail(data: Any) -> None:
    raise ValueError(f"cannot log in with {data}")


def exit_with(data: Any) -> None:
    raise SystemExit(f"{data}")


def unstorable(data: Any) -> Any:
    return {"result": MARK, "odd": {MARK}}


def too_large(data: Any) -> Any:
    return MARK * 200_000


def lose(data: Any) -> str:
    """Run on until somebody took the job away."""
    pause = threading.Event()
    while not current_job().lost:
        pause.wait(0.02)
    return MARK


async def coroutine(data: Any) -> None:
    fail(data)


EXECUTORS: dict[str, Any] = {
    "echo": lambda data: data,
    "fail": fail,
    "retry": Executor(fail, max_attempts=3, backoff=Backoff(base=0)),
    "exit": exit_with,
    "unstorable": unstorable,
    "too large": too_large,
    "coroutine": coroutine,
    "lose": lose,
}


def spoken(records: list[logging.LogRecord]) -> list[str]:
    """Return what handlers would write of the records of jobpool, tracebacks included."""
    format = logging.Formatter("%(name)s %(threadName)s %(message)s").format
    return [format(record) for record in records if record.name.partition(".")[0] == "jobpool"]


def test_no_record_of_a_pool_holds_data_results_or_texts_of_errors(
    make_manager: MakeManager, jobs: Jobs, client: MongoClient[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager(executors=EXECUTORS)
    with caplog.at_level(logging.DEBUG, "jobpool"), caplog.at_level(logging.INFO, "pymongo"):
        with WorkerPool(manager, name="watched", threads=4, lease=1, heartbeat=0.2) as pool:
            ids = {type: manager.create(type, DATA).id for type in EXECUTORS}
            until(lambda: jobs.count_documents({"_id": ids["lose"], "state": "running"}))
            jobs.update_one({"_id": ids["lose"]}, {"$set": {"claim": "another", "state": "failed"}})
            until(lambda: manager.count(state="failed") + manager.count(state="succeeded") == len(ids))
            # A validator that no outcome passes: what the server says of it is logged.
            client[jobs.database.name].command("collMod", "jobs", validator={"result": {"$exists": False}})
            refused = manager.create("echo", [DATA]).id
            until(lambda: manager.get(refused).state.final)
        assert not pool.health().is_ready
    lines = spoken(caplog.records)
    assert any("watched" in line for line in lines)
    assert any("lost" in line for line in lines)
    assert any("cannot be stored" in line for line in lines)
    assert [line for line in lines if MARK in line] == []
    stored = manager.get(ids["fail"])
    assert stored.error is not None
    assert MARK in stored.error.message, "the mark was there to be logged"


def test_what_the_server_says_of_a_refused_command_is_not_repeated() -> None:
    text = (
        'not authorized on shop to execute command { findAndModify: "jobs", query: { _id: "x" }, '
        f'update: {{ $set: {{ data: "{MARK}" }} }} }}'
    )
    refused = translate(OperationFailure(text, 13), "creating job 'x'")
    assert isinstance(refused, StoreRefused)
    assert str(refused) == (
        "creating job 'x': this user may not run findAndModify on shop.jobs: the right missing is update; "
        "it was refused"
    )


def test_errors_name_where_the_data_are_wrong_and_do_not_repeat_them(make_manager: MakeManager) -> None:
    manager = make_manager(data_limit=1024)
    for data in ({"a": {MARK}}, MARK * 1000, {"a": [MARK, {"b": range(3)}]}, {"a": {"k": f"{MARK}\ud800"}}):
        with pytest.raises(InvalidJob) as refused:
            manager.create("a", data)
        assert MARK not in str(refused.value)
        assert len(str(refused.value)) < 400


def test_representations_hold_no_data(make_manager: MakeManager, jobs: Jobs) -> None:
    shown: list[object] = []

    def run(data: Any) -> str:
        shown.extend((current_job(), current_job().logger))
        return MARK

    manager = make_manager(executors={"run": run, "fail": fail, "echo": lambda data: data})
    shown += [manager.create("run", DATA), manager.create("fail", DATA), manager.run("run"), manager.run("fail")]
    shown += [*manager.find(), manager.get(manager.create("echo", DATA).id)]
    failed = next(item for item in shown if isinstance(item, Job) and item.error)
    shown += [failed.error, failed.errors, Outcome(result=MARK), Finish(Claim("i", "t", 1), Outcome(MARK))]
    shown += [JobRequest(type="a", data=DATA, limit=1000), WorkerPool(manager), manager, manager.store]
    shown += [manager.executors["run"], manager.create_many([{"type": "echo", "data": [DATA]}])]
    claimed = manager.store.strategy("batch").claim(Request(("echo",), 2, "p", 30))
    assert len(claimed.documents) == 2
    shown += [claimed, current_of(claimed)]
    assert [repr(item) for item in shown if MARK in repr(item)] == []
    assert repr(failed.error).startswith("JobError(type='ValueError', attempt=1")


def current_of(claimed: Claimed) -> CurrentJob:
    from jobpool.pool.held import holding

    return CurrentJob(holding(claimed)[0])


@pytest.mark.parametrize("kind", [Job, JobError, Stuck, Outcome, JobRequest, Claimed])
def test_fields_that_hold_what_users_put_in_are_not_shown(kind: Any) -> None:
    assert is_dataclass(kind)
    private = {"data", "result", "message", "traceback", "stack", "documents"}
    assert [field.name for field in fields(kind) if field.name in private and field.repr] == []
    assert private & {field.name for field in fields(kind)}, "there is something to hide"


def test_an_error_about_a_long_id_stays_short(make_manager: MakeManager, jobs: Jobs) -> None:
    id = "\u202e" * 512
    manager = make_manager(executors={"a": fail})
    with pytest.raises(JobNotFound) as missing:
        manager.get(id)
    assert len(str(missing.value)) < 300
    manager.create("a", 1, id=id)
    with WorkerPool(manager, threads=1) as pool:
        until(lambda: manager.get(id).state.final)
    assert len(repr(pool)) < 300


def test_the_debug_log_of_the_driver_holds_documents(
    make_manager: MakeManager, caplog: pytest.LogCaptureFixture
) -> None:
    """Which README says, and why jobpool's own loggers are not enough to look at."""
    manager = make_manager()
    with caplog.at_level(logging.DEBUG, "pymongo.command"):
        manager.create("a", MARK)
    assert any(MARK in record.getMessage() for record in caplog.records if record.name == "pymongo.command")


def test_managers_say_their_collection_and_no_address(make_manager: MakeManager) -> None:
    manager = JobManager("shop", uri="mongodb://me:hunter2@127.0.0.1:1/?authSource=admin")
    assert repr(manager) == "<JobManager shop.jobs types=0>"
    manager.close()
