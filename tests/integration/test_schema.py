"""Documents of other versions: older ones are understood, and what newer ones wrote is left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from jobpool import Cancel, JobManager, Retry, Snooze, WorkerPool, current_job
from jobpool.aio import AsyncJobManager
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import UnsupportedSchema
from jobpool.executors import Executor
from jobpool.job import State
from jobpool.store.contact import Contact
from jobpool.store.documents import SCHEMA, to_job
from jobpool.store.driver import run as driven
from jobpool.testing import expire_leases, kill_between

from ..awaited import drive
from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..waiting import PATIENCE, until

#: What a version to come may have written on a job, in its own fields and in entries that we know.
LATER: dict[str, Any] = {"later": {"a": [1, {"b": None}], "$x": "$y"}, "routing": "eu", "schema": SCHEMA + 1}
ENTRY = {
    "type": "E",
    "message": "m",
    "traceback": "",
    "attempt": 1,
    "claim": "t",
    "at": datetime(2026, 1, 1, tzinfo=UTC),
    "node": "n7",
}
LINE = {"level": "INFO", "text": "t", "attempt": 1, "at": datetime(2026, 1, 1, tzinfo=UTC), "node": "n7"}
PROGRESS = {"done": 1, "total": 2, "note": "", "at": datetime(2026, 1, 1, tzinfo=UTC), "node": "n7"}


def executors() -> dict[str, Any]:
    def busy(data: Any) -> Any:
        job = current_job()
        job.save_checkpoint(1)
        job.progress(1, 2)
        job.log("a line")
        return data

    def fail(data: Any) -> None:
        raise ValueError("no")

    def later(data: Any) -> None:
        if current_job().fence == 1:
            raise Snooze(0)

    def withdrawn(data: Any) -> None:
        raise Cancel("withdrawn")

    def again(data: Any) -> None:
        if current_job().attempt == 1:
            raise Retry("again", after=0)

    return {
        "ok": Executor(busy, log_lines=5, keep_result=0, max_attempts=2, backoff=0),
        "fail": Executor(fail, keep_failed=3600),
        "again": Executor(again, max_attempts=3),
        "snooze": later,
        "cancel": withdrawn,
    }


Walk = Callable[[JobManager, str], None]


def run(manager: JobManager, type: str) -> None:
    while manager.run(type) is not None:
        pass


def killed(after: str, before: str) -> Walk:
    def walk(manager: JobManager, type: str) -> None:
        with kill_between(manager, after, before):
            manager.run(type)
        expire_leases(manager)
        run(manager, type)

    return walk


def cancelled(manager: JobManager, type: str) -> None:
    manager.cancel(type)


def revived(manager: JobManager, type: str) -> None:
    run(manager, type)
    manager.create(type, id=type, on_duplicate="revive")
    run(manager, type)


def in_a_pool(manager: JobManager, type: str) -> None:
    with WorkerPool(manager, [type], threads=1):
        manager.wait(type, PATIENCE)


def result_forgotten(manager: JobManager, type: str) -> None:
    run(manager, type)
    until(lambda: result_dropped(manager, type))


def result_dropped(manager: JobManager, id: str) -> bool:
    driven(manager.store.purging.expire_results())
    return manager.get(id).result is None


def rerun_by_another(manager: JobManager, type: str) -> None:
    """Cancelled while it runs, by the store's word, and then its worker is lost."""
    with kill_between(manager, "executor", "finish"):
        manager.run(type)
    manager.cancel(type)
    expire_leases(manager)


WALKS: list[tuple[str, Walk, str]] = [
    ("ok", run, "succeeded"),
    ("ok", in_a_pool, "succeeded"),
    ("ok", result_forgotten, "succeeded"),
    ("ok", killed("claim", "start"), "succeeded"),
    ("ok", killed("start", "executor"), "succeeded"),
    ("ok", killed("executor", "finish"), "succeeded"),
    ("ok", rerun_by_another, "cancelled"),
    ("fail", run, "failed"),
    ("fail", in_a_pool, "failed"),
    ("fail", killed("executor", "finish"), "failed"),
    ("fail", revived, "failed"),
    ("again", run, "succeeded"),
    ("again", in_a_pool, "succeeded"),
    ("snooze", run, "succeeded"),
    ("snooze", in_a_pool, "succeeded"),
    ("cancel", run, "cancelled"),
    ("cancel", cancelled, "cancelled"),
]


@pytest.mark.parametrize(
    ("type", "walk", "state"), WALKS, ids=[f"{n}-{walk[0]}-{walk[1].__name__}" for n, walk in enumerate(WALKS)]
)
def test_what_a_newer_version_wrote_survives_a_job_s_life(
    make_manager: MakeManager, jobs: Jobs, type: str, walk: Walk, state: str
) -> None:
    manager = make_manager(executors=executors())
    manager.create(type, 1, id=type)
    extra = {**LATER, "errors": [ENTRY], "error_count": 1, "logs": [LINE], "progress": PROGRESS}
    jobs.update_one({"_id": type}, {"$set": extra})
    assert manager.get(type).errors[0].message == "m"
    walk(manager, type)
    (stored,) = jobs.find()
    assert stored["state"] == state
    assert {name: stored.get(name) for name in LATER} == LATER
    assert stored["errors"][0]["node"] == "n7"
    if "logs" in stored:  # a life that begins anew forgets them
        assert stored["logs"][0]["node"] == "n7"
    if type != "ok" and "progress" in stored:  # a progress is replaced whole by the next
        assert stored["progress"]["node"] == "n7"
    manager.get(type)


def test_every_new_job_says_by_which_schema_it_is_stored(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    manager.create("a", 1)
    manager.create_many([{"type": "a", "data": 2}, {"type": "a", "data": 3, "timeout": 5}])

    async def create() -> None:
        async with AsyncJobManager(manager.store.name.partition(".")[0], uri=_uri(jobs)) as other:
            await other.create("a", 4)

    drive(create())
    assert [job["schema"] for job in jobs.find()] == [SCHEMA] * 4


def _uri(jobs: Jobs) -> str:
    host, port = jobs.database.client.address or ("", 0)
    return f"mongodb://{host}:{port}/?directConnection=true"


def first_version(id: str, type: str, **more: Any) -> dict[str, Any]:
    """A job as 0.1.0 stores it."""
    now = datetime.now(UTC)
    job = {"_id": id, "type": type, "data": {"n": 1}, "state": "pending", "priority": 0, "run_at": now}
    return {**job, "attempts": 0, "max_attempts": None, "fence": 0, "created_at": now, **more}


@pytest.mark.parametrize("type", ["ok", "fail", "again", "snooze", "cancel"])
def test_a_job_of_the_first_version_lives_as_any_other(make_manager: MakeManager, jobs: Jobs, type: str) -> None:
    manager = make_manager(executors=executors())
    jobs.insert_one(first_version("x", type))
    assert manager.get("x").state == "pending"
    run(manager, type)
    ended = manager.get("x")
    assert ended.state == {"fail": "failed", "cancel": "cancelled"}.get(type, "succeeded")
    assert "schema" not in jobs.find_one({"_id": "x"})  # type: ignore[operator]


def test_a_state_of_a_newer_version_is_shown_as_it_is(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors=executors())
    jobs.insert_many([first_version("x", "ok", state="frozen"), first_version("y", "ok")])
    (job,) = [job for job in manager.find() if job.id == "x"]
    assert (job.state, str(job.state), repr(job.state)[:7]) == ("frozen", "frozen", "<State.")
    assert (job.state.final, job.state.held) == (False, False)
    assert job.state not in set(State)
    assert manager.run_all("ok") == 1, "and it is not claimed"
    assert jobs.find_one({"_id": "x"})["state"] == "frozen"  # type: ignore[index]
    with pytest.raises(ValueError, match="frozen"):
        State("frozen")


def test_entries_without_what_came_later_are_read() -> None:
    entry = {"type": "E", "message": "m", "attempt": 1}
    job = to_job({**first_version("x", "a"), "error": entry, "errors": [entry]})
    assert (job.error.traceback, job.errors[0].at) == ("", None)  # type: ignore[union-attr]


# --- what is required of everybody ------------------------------------------------------------


def require(jobs: Jobs, number: Any) -> None:
    settings = jobs.database[f"{jobs.name}.settings"]
    settings.update_one({"_id": "schema"}, {"$set": {"required": number}}, upsert=True)


def test_who_is_too_old_for_what_is_required_creates_and_claims_nothing(
    make_manager: MakeManager, jobs: Jobs
) -> None:
    require(jobs, SCHEMA + 1)
    manager = make_manager(executors={"a": lambda data: data})
    words = rf"need a jobpool that stores schema {SCHEMA + 1}, and this one stores {SCHEMA}: upgrade"
    for call in (
        lambda: manager.create("a"),
        lambda: manager.create_many([{"type": "a"}]),
        lambda: manager.run("a"),
        lambda: WorkerPool(manager).start(),
        lambda: manager.find(),
        manager.ensure_indexes,
    ):
        with pytest.raises(UnsupportedSchema, match=words):
            call()

    async def create() -> None:
        async with AsyncJobManager(manager.store.name.partition(".")[0], uri=_uri(jobs)) as other:
            await other.create("a")

    with pytest.raises(UnsupportedSchema, match=words):
        drive(create())
    assert jobs.database.list_collection_names() == [f"{jobs.name}.settings"], "no index was made either"
    require(jobs, SCHEMA)
    assert manager.create("a").created


def test_a_number_that_a_shell_stored_as_a_double_is_one(make_manager: MakeManager, jobs: Jobs) -> None:
    require(jobs, SCHEMA + 1.0)
    with pytest.raises(UnsupportedSchema, match=rf"stores schema {SCHEMA + 1}, and"):
        make_manager().create("a")


@pytest.mark.parametrize("number", [0, SCHEMA, None, "9", [9], 9.5, DatetimeMS(2**60)], ids=str)
def test_what_is_no_higher_number_binds_nobody(make_manager: MakeManager, jobs: Jobs, number: Any) -> None:
    require(jobs, number)
    assert make_manager().create("a").created


def test_a_running_pool_stops_claiming_when_more_is_required_and_goes_on_afterwards(
    make_manager: MakeManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hold(data: Any) -> Any:
        if data == "held":
            began.set()
            go_on.wait(PATIENCE)
        return data

    monkeypatch.setattr(Contact, "CHECK_AFTER", 0.0)  # a look before every claim instead of one a minute
    manager = make_manager(executors={"a": hold})
    with WorkerPool(manager, threads=2, poll_interval=0.05) as pool:
        manager.create("a", "held")
        assert began.wait(PATIENCE)
        require(jobs, SCHEMA + 1)
        until(lambda: pool.health().ready["indexes"])
        jobs.insert_one(first_version("waits", "a"))
        go_on.set()
        until(lambda: jobs.find_one({"state": "succeeded"}), "what runs is finished and recorded")
        assert pool.health().is_live
        assert jobs.find_one({"_id": "waits"})["state"] == "pending"  # type: ignore[index]
        require(jobs, SCHEMA)
        until(lambda: jobs.find_one({"_id": "waits", "state": "succeeded"}))
        until(lambda: pool.health().is_ready)


def test_who_may_not_read_the_requirement_is_not_bound_by_it(
    make_manager: MakeManager, client: MongoClient[dict[str, Any]], jobs: Jobs, server: EmbeddedMongo
) -> None:
    manager = make_manager()
    with fail_command(client, ["find"], code=13, times=1) as point:
        assert manager.create("a", run_at=datetime.now(UTC) - timedelta(seconds=1)).created
        assert point.struck == 1
