"""Schedules on a real server: each due time is a job, once, whoever fires and whatever comes in between."""

from __future__ import annotations

import logging
import re
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from jobpool import AsyncJobManager, Executor, JobManager, Middleware, State, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import (
    InvalidConfiguration,
    InvalidJob,
    ScheduleNotFound,
    StoreRefused,
    StoreUnavailable,
)
from jobpool.logs import BUDGET
from jobpool.pool.firing import Firings
from jobpool.schedules import Schedule
from jobpool.store.firing import Due
from jobpool.testing import travel

from ..awaited import drive
from ..conftest import Jobs, MakeManager
from ..faults.proxy import Proxy
from ..waiting import PATIENCE, until

HOUR = timedelta(hours=1)


@dataclass
class Book:
    pages: int


@pytest.fixture
def stored(jobs: Jobs) -> Jobs:
    """The schedules as MongoDB has them."""
    return jobs.database["jobs.schedules"]


@pytest.fixture
def manager(make_manager: MakeManager) -> JobManager:
    return make_manager(executors={"a": lambda data: data})


def put_back(stored: Jobs, name: str, hours: float) -> datetime:
    """Let an hourly schedule be overdue since a minute, and so many hours before that, and return since when."""
    due = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1) - hours * HOUR
    assert stored.update_one({"_id": name}, {"$set": {"next_at": due, "anchor": due}}).matched_count
    return due


def firings(manager: JobManager) -> dict[str, int]:
    """Return how many due times of type a were dealt with, by what the metrics call it."""
    found = re.findall(rb'jobpool_schedule_firings_total{result="(\w+)",type="a"} (\d+)', manager.exposition()[1])
    return {result.decode(): int(number) for result, number in found}


def ids(jobs: Jobs) -> list[str]:
    return sorted(job["_id"] for job in jobs.find({}, {"_id": 1}))


def expected(name: str, first: datetime, count: int) -> list[str]:
    return [f"{name}@{(first + n * HOUR).isoformat().replace('+00:00', 'Z')}" for n in range(count)]


# --- one firing -----------------------------------------------------------------------------------


def test_a_firing_is_a_job_whose_id_is_name_and_due_time(manager: JobManager, stored: Jobs, jobs: Jobs) -> None:
    made = manager.schedule("hourly", 3600, "a", {"n": 1}, priority=3, max_attempts=2, timeout=9, key="k")
    assert made.next_at is not None
    assert timedelta(minutes=59) < made.next_at - made.created_at <= HOUR
    assert manager.schedules.fire_due() == 0
    due = put_back(stored, "hourly", 0)
    assert manager.schedules.fire_due() == 1
    assert manager.schedules.fire_due() == 0
    (id,) = expected("hourly", due, 1)
    job = manager.get(id)
    assert (job.type, job.data, job.priority, job.max_attempts, job.timeout) == ("a", {"n": 1}, 3, 2, 9.0)
    assert (job.state, job.run_at) == (State.PENDING, due)
    assert jobs.find_one({}, {"key": 1}) == {"_id": id, "key": "k"}
    fired = manager.schedules.get("hourly")
    assert fired.next_at == due + HOUR
    assert fired.last is not None
    assert (fired.last.id, fired.last.due, fired.last.state) == (id, due, State.PENDING)
    assert fired.last.at == job.created_at
    assert manager.run_all() == 1
    (listed,) = manager.schedules.list()
    assert listed.last is not None
    assert listed.last.state is State.SUCCEEDED
    manager.remove(id)
    gone = manager.schedules.get("hourly").last
    assert gone is not None
    assert gone.state is None


def test_pools_run_what_is_due_at_its_time(make_manager: MakeManager, manager: JobManager, jobs: Jobs) -> None:
    """Three pools of two managers, each second: a job for each, once, neither early nor late."""
    others = make_manager(executors={"a": lambda data: data})
    for one, name in ((manager, "x"), (manager, "y"), (others, "z")):
        one.start_watch(name=name, threads=2)
    manager.schedule("second", 1.0, "a")
    manager.schedule("cron", "* * * * * *", "a", tz="Australia/Lord_Howe", overlap="allow")
    until(lambda: jobs.count_documents({"state": "succeeded"}) >= 6)
    for name in ("second", "cron"):
        manager.schedules.pause(name)
    until(lambda: not jobs.count_documents({"state": {"$ne": "succeeded"}}))
    for name in ("second", "cron"):
        due = [datetime.fromisoformat(id.rpartition("@")[2]) for id in ids(jobs) if id.startswith(f"{name}@")]
        assert len(due) >= 2
        assert all((two - one) % timedelta(seconds=1) == timedelta() for one, two in pairwise(due))
    assert all(job["created_at"] >= job["run_at"] for job in jobs.find()), "never before its time"
    assert all(job["attempts"] == 1 for job in jobs.find())


def test_who_uses_no_schedules_has_none(manager: JobManager, jobs: Jobs) -> None:
    pool = manager.start_watch()
    until(lambda: pool._parts.scheduler._look_at > pool._parts.scheduler.advanced_at, "the first look")
    manager.create("a", 1).wait(PATIENCE)
    assert manager.schedules.list() == []
    with pytest.raises(ScheduleNotFound, match="no schedule 'x'"):
        manager.schedules.get("x")
    assert "jobs.schedules" not in jobs.database.list_collection_names()
    manager.schedule("x", 60, "a")
    assert "jobpool_next" in jobs.database["jobs.schedules"].index_information()


def test_a_look_for_what_is_due_is_covered(manager: JobManager, stored: Jobs) -> None:
    for n in range(20):
        manager.schedule(f"s{n}", 60, "a", {"large": "x" * 1000})
    for n in range(10):
        manager.schedules.pause(f"s{n}")
    plan = stored.find({"next_at": {"$gte": datetime(1970, 1, 1, tzinfo=UTC)}}, {"next_at": 1}).sort("next_at", 1)
    stats = plan.explain()["executionStats"]
    assert (stats["totalDocsExamined"], stats["nReturned"]) == (0, 10)


def test_a_schedule_of_here_fires_without_waiting_for_the_next_look(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobpool.pool.scheduler.LOOK_RARELY", 1e6)
    pool = manager.start_watch()
    until(lambda: pool._parts.scheduler._look_at > pool._parts.scheduler.advanced_at + 1e5, "a long rest")
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    manager.schedule("now", 86400, "a", start_at=start, catch_up="all")
    until(lambda: manager.count(state="succeeded") == 1)
    assert [job.run_at for job in manager.find()] == [start]


# --- stored, changed ------------------------------------------------------------------------------


def test_the_same_definition_again_changes_nothing(manager: JobManager, stored: Jobs) -> None:
    options: dict[str, Any] = {"tz": "Europe/Berlin", "jitter": 5, "catch_up": "none"}
    first = manager.schedule("nightly", "30 2 * * *", "a", {"n": 1}, **options)
    put_back(stored, "nightly", 3)
    before = stored.find_one()
    again = manager.schedule("nightly", "30  2 * * *", "a", {"n": 1}, **options)
    assert stored.find_one() == before
    assert again.revision == first.revision
    for change in ({"data": {"n": 1.0}}, {"type": "b"}, {"jitter": 6}, {"catch_up": "last"}):
        arguments = {"type": "a", "data": {"n": 1}, **options, **change}
        manager.schedule("nightly", "30 2 * * *", **arguments)
        changed = stored.find_one() or {}
        assert (changed["next_at"], changed["created_at"]) == (before["next_at"], before["created_at"])  # type: ignore[index]
        assert changed["revision"] != before["revision"]  # type: ignore[index]
        before = changed


def test_many_who_store_the_same_store_it_once(make_manager: MakeManager, stored: Jobs) -> None:
    managers = [make_manager() for _ in range(4)]
    gate = threading.Barrier(8)

    def store(n: int) -> Schedule:
        gate.wait()
        return managers[n % 4].schedule("hourly", 3600, "a", 1)

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(store, range(8)))
    assert len({one.revision for one in made}) == 1
    assert stored.count_documents({}) == 1


def test_many_who_change_it_leave_one_of_their_definitions(make_manager: MakeManager, stored: Jobs) -> None:
    manager = make_manager()
    manager.schedule("hourly", 3600, "a", -1)
    gate = threading.Barrier(8)

    def change(n: int) -> Schedule:
        gate.wait()
        return manager.schedule("hourly", 3600 + n, "a", n)

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(change, range(8)))
    assert [(one.every, one.data) for one in made] == [(3600 + n, n) for n in range(8)]
    last = stored.find_one() or {}
    assert last["every"] == 3600 + last["data"]
    assert len({one.revision for one in made}) == 8


def test_other_times_count_from_now_and_what_is_overdue_stays_so(manager: JobManager, stored: Jobs) -> None:
    manager.schedule("s", "0 * * * *", "a")
    due = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    stored.update_one({}, {"$set": {"next_at": due}})
    changed = manager.schedule("s", "0,1 * * * *", "a")
    assert changed.next_at == due, "a deployment at the full hour loses no firing"
    manager.schedules.fire_due()
    changed = manager.schedule("s", "59 23 31 12 *", "a")
    assert changed.next_at is not None
    assert (changed.next_at.month, changed.next_at.day) == (12, 31)
    assert changed.last is not None
    assert changed.last.due >= due


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("", 60, "a"), InvalidJob),
        (("a\nb", 60, "a"), InvalidJob),
        (("x" * 129, 60, "a"), InvalidJob),
        (("s", 60, ""), InvalidJob),
        (("s", 60, "a", {1: 2}), InvalidJob),
        (("s", 60, "a", "x" * 3000), InvalidJob),
        (("s", 60, "book", {"pages": "many"}), InvalidJob),
        (("s", "* * *", "a"), InvalidConfiguration),
        (("s", [60], "a"), InvalidConfiguration),
    ],
    ids=range(9),
)
def test_what_cannot_be_accepted_is_not_stored(
    make_manager: MakeManager, stored: Jobs, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    manager = make_manager(executors={"book": Executor(print, data=Book)}, data_limit=1024)
    with pytest.raises(error):
        manager.schedule(*arguments)
    assert stored.count_documents({}) == 0


def test_a_model_is_stored_as_its_fields(make_manager: MakeManager, stored: Jobs) -> None:
    read: list[Book] = []
    manager = make_manager(executors={"book": Executor(read.append, data=Book)})
    assert manager.schedule("s", 3600, "book", Book(7)).data == {"pages": 7}
    put_back(stored, "s", 0)
    manager.schedules.fire_due()
    assert manager.run_all() == 1
    assert read == [Book(7)]


# --- catching up, overlapping ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catch_up", "fired"), [("none", []), ("last", [4]), ("all", [0, 1, 2, 3, 4])], ids=["none", "last", "all"]
)
def test_what_nobody_fired_is_caught_up_on(
    manager: JobManager, stored: Jobs, jobs: Jobs, catch_up: str, fired: list[int]
) -> None:
    manager.schedule("s", 3600, "a", catch_up=catch_up, overlap="allow")
    # Half past: none is on time, whenever this runs.
    first = datetime.now(UTC).replace(microsecond=0) - 4.5 * HOUR
    stored.update_one({}, {"$set": {"next_at": first, "anchor": first}})
    manager.schedules.fire_due()
    assert ids(jobs) == [expected("s", first, 5)[n] for n in fired]
    assert firings(manager) == ({"late": len(fired)} if fired else {"missed": 1})
    assert manager.schedules.get("s").next_at == first + 5 * HOUR


def test_a_long_outage_is_caught_up_on_without_holding_up_others(
    manager: JobManager, stored: Jobs, jobs: Jobs
) -> None:
    manager.schedule("long", 3600, "a", catch_up="all", overlap="allow")
    manager.schedule("short", 3600, "a")
    first = put_back(stored, "long", 250)
    put_back(stored, "short", 0)
    look = Firings(manager).fire_due()
    assert look is not None
    assert look.dealt == 101, "a round of the first, and the second"
    assert manager.schedules.fire_due() == 151
    assert [id for id in ids(jobs) if id.startswith("long")] == sorted(expected("long", first, 251))


def test_a_firing_is_skipped_while_the_last_job_is_not_final(
    manager: JobManager, stored: Jobs, jobs: Jobs
) -> None:
    manager.schedule("s", 3600, "a")
    put_back(stored, "s", 2)
    manager.schedules.fire_due()
    (id,) = ids(jobs)
    put_back(stored, "s", 0.25)
    assert manager.schedules.fire_due() == 1
    assert ids(jobs) == [id]
    assert firings(manager)["skipped"] == 1
    made = manager.schedules.get("s")
    assert (made.skipped, made.last and made.last.id) == (1, id)
    manager.run_all()
    put_back(stored, "s", 0.5)
    manager.schedules.fire_due()
    assert len(ids(jobs)) == 2
    assert manager.schedules.get("s").skipped == 1


def test_a_firing_is_not_skipped_for_a_job_that_was_removed(manager: JobManager, stored: Jobs, jobs: Jobs) -> None:
    manager.schedule("s", 3600, "a")
    put_back(stored, "s", 5)
    manager.schedules.fire_due()
    manager.remove_many(all=True)
    put_back(stored, "s", 0.25)
    manager.schedules.fire_due()
    assert len(ids(jobs)) == 1


def test_queued_firings_run_one_after_another_however_each_ends(
    make_manager: MakeManager, stored: Jobs, jobs: Jobs
) -> None:
    running, most, order = [0], [0], []

    def work(data: object) -> None:
        from jobpool import current_job

        running[0] += 1
        most[0] = max(most[0], running[0])
        order.append(current_job().id)
        threading.Event().wait(0.01)
        running[0] -= 1
        if len(order) % 2:
            raise ValueError("every other one fails")

    manager = make_manager(executors={"a": work})
    manager.schedule("s", 3600, "a", catch_up="all")
    first = put_back(stored, "s", 5)
    manager.schedules.fire_due()
    jobs_due = expected("s", first, 6)
    assert [manager.get(id).state for id in jobs_due] == [State.PENDING] + [State.WAITING] * 5
    manager.start_watch(threads=4)
    done = manager.wait_many(jobs_due, PATIENCE)
    assert order == jobs_due
    assert most == [1]
    assert [job.state for job in done] == [State.FAILED, State.SUCCEEDED] * 3


def test_allowed_firings_run_beside_each_other(manager: JobManager, stored: Jobs, jobs: Jobs) -> None:
    manager.schedule("s", 3600, "a", overlap="allow", catch_up="all")
    put_back(stored, "s", 3)
    manager.schedules.fire_due()
    assert {job["state"] for job in jobs.find()} == {"pending"}
    assert jobs.count_documents({}) == 4


def test_jitter_delays_the_job_and_not_the_schedule(manager: JobManager, stored: Jobs, jobs: Jobs) -> None:
    manager.schedule("s", 3600, "a", jitter=86400)
    due = put_back(stored, "s", 0)
    manager.schedules.fire_due()
    (job,) = manager.find()
    assert due < job.run_at < due + 24 * HOUR
    assert manager.schedules.get("s").next_at == due + HOUR


# --- pause, remove, run now --------------------------------------------------------------------------


def test_a_paused_schedule_fires_nothing_and_does_not_catch_up(
    manager: JobManager, stored: Jobs, jobs: Jobs
) -> None:
    manager.schedule("s", 3600, "a", catch_up="all")
    due = put_back(stored, "s", 5)
    paused = manager.schedules.pause("s")
    assert (paused.paused, paused.next_at, paused.next(3)) == (True, None, [])
    assert manager.schedules.pause("s") == paused
    assert manager.schedules.fire_due() == 0
    assert manager.schedule("s", 7200, "a", catch_up="all").paused, "a process that starts does not resume it"
    manager.schedule("s", 3600, "a", catch_up="all")
    stored.update_one({}, {"$set": {"anchor": due}})
    resumed = manager.schedules.resume("s")
    assert resumed.next_at is not None
    assert not resumed.paused
    assert resumed.next_at == due + 6 * HOUR, "the first behind now"
    assert manager.schedules.resume("s") == resumed
    assert manager.schedules.fire_due() == 0
    assert ids(jobs) == []
    for call in (manager.schedules.pause, manager.schedules.resume, manager.schedules.run_now):
        with pytest.raises(ScheduleNotFound):
            call("other")


def test_a_removed_schedule_leaves_its_jobs(manager: JobManager, stored: Jobs, jobs: Jobs) -> None:
    manager.schedule("s", 3600, "a")
    put_back(stored, "s", 0)
    manager.schedules.fire_due()
    assert (manager.schedules.remove("s"), manager.schedules.remove("s")) == (True, False)
    assert manager.schedules.fire_due() == 0
    assert manager.run_all() == 1


def test_run_now_runs_whatever_and_changes_nothing(manager: JobManager, stored: Jobs, jobs: Jobs) -> None:
    manager.schedule("s", 3600, "a", {"n": 1}, priority=2)
    manager.schedules.pause("s")
    before = stored.find_one()
    first, second = manager.schedules.run_now("s"), manager.schedules.run_now("s")
    assert first.id != second.id
    assert first.id.startswith("s@now-")
    assert (first.type, first.data, first.priority, first.created) == ("a", {"n": 1}, 2, True)
    keyed = manager.schedules.run_now("s", token="deploy 7")
    assert keyed.id == "s@now-deploy 7"
    assert not manager.schedules.run_now("s", token="deploy 7").created
    assert stored.find_one() == before
    manager.start_watch()
    assert keyed.wait(PATIENCE).state is State.SUCCEEDED


# --- several who fire, and who comes in between ------------------------------------------------------


def test_many_who_fire_at_once_fire_each_due_time_once(
    make_manager: MakeManager, stored: Jobs, jobs: Jobs
) -> None:
    managers = [make_manager() for _ in range(3)]
    for overlap in ("allow", "queue"):
        managers[0].schedule(overlap, 3600, "a", catch_up="all", overlap=overlap)
    first = {overlap: put_back(stored, overlap, 19) for overlap in ("allow", "queue")}
    gate = threading.Barrier(6)

    def fire(n: int) -> int:
        gate.wait()
        dealt = 0
        while any(one.next_at and one.next_at <= datetime.now(UTC) for one in managers[0].schedules.list()):
            dealt += managers[n % 3].schedules.fire_due()
        return dealt

    with ThreadPoolExecutor(6) as threads:
        dealt = list(threads.map(fire, range(6)))
    assert ids(jobs) == sorted(id for name, due in first.items() for id in expected(name, due, 20))
    assert sum(dealt) == 40, "each was fired by one"


@contextmanager
def before_the_firing(manager: JobManager, what: Callable[[], object]) -> Iterator[list[str]]:
    """Let something happen between the look at a schedule and its transaction; yield what came of firings."""
    due = manager.store.due
    results: list[str] = []

    def fire(*args: Any, **options: Any) -> Any:
        if not results:
            results.append("")
            what()
        fired = Due.fire(due, *args, **options)
        results[-1:] = [fired.result]
        return fired

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(due, "fire", fire)
        yield results


def remake(manager: JobManager) -> None:
    manager.schedules.remove("s")
    manager.schedule("s", 3600, "b", "other")
    manager.store._connection.jobs.database["jobs.schedules"].update_one({}, {"$set": {"next_at": LONG_AGO}})


LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)

BETWEEN: dict[str, Callable[[JobManager], object]] = {
    "paused": lambda other: other.schedules.pause("s"),
    "removed": lambda other: other.schedules.remove("s"),
    "other data": lambda other: other.schedule("s", 3600, "a", "other"),
    "other times": lambda other: other.schedule("s", "0 5 * * *", "a"),
    "paused and resumed": lambda other: (other.schedules.pause("s"), other.schedules.resume("s")),
}


@pytest.mark.parametrize("change", BETWEEN)
def test_what_was_changed_before_the_transaction_is_not_fired_as_it_was(
    manager: JobManager, make_manager: MakeManager, stored: Jobs, jobs: Jobs, change: str
) -> None:
    manager.schedule("s", 3600, "a", "old")
    put_back(stored, "s", 0)
    other = make_manager()
    with before_the_firing(manager, lambda: BETWEEN[change](other)) as results:
        Firings(manager).fire_due()
    assert results == ["conflict"]
    assert ids(jobs) == []


def test_one_that_was_made_anew_is_another_although_it_is_due_at_the_same_time(
    manager: JobManager, make_manager: MakeManager, stored: Jobs, jobs: Jobs
) -> None:
    manager.schedule("s", 3600, "a", "old")
    stored.update_one({}, {"$set": {"next_at": LONG_AGO}})
    other = make_manager()
    with before_the_firing(manager, lambda: remake(other)) as results:
        Firings(manager).fire_due()
    assert results == ["conflict"]
    manager.schedules.fire_due()
    assert [job["data"] for job in jobs.find()] == ["other"]


def test_who_slept_while_the_job_was_fired_run_and_removed_does_not_make_it_again(
    manager: JobManager, make_manager: MakeManager, stored: Jobs, jobs: Jobs
) -> None:
    manager.schedule("s", 3600, "a")
    put_back(stored, "s", 0)
    other = make_manager(executors={"a": lambda data: data})

    def meanwhile() -> None:
        assert other.schedules.fire_due() == 1
        assert other.run_all() == 1
        assert other.remove_many(all=True) == 1

    with before_the_firing(manager, meanwhile) as results:
        Firings(manager).fire_due()
    assert results == ["conflict"]
    assert ids(jobs) == []


@pytest.mark.parametrize("change", ["paused", "removed", "other data"])
def test_who_changes_it_within_the_transaction_waits_for_its_end(
    manager: JobManager,
    make_manager: MakeManager,
    stored: Jobs,
    jobs: Jobs,
    client: MongoClient[dict[str, Any]],
    change: str,
) -> None:
    """What was fired when the call returned stays so, and nothing is fired later."""
    manager.schedule("s", 3600, "a", "old")
    put_back(stored, "s", 0)
    other, due = make_manager(), manager.store.due
    other.ensure_indexes()  # before the transaction, which has as long as a call
    changing: list[Future[object]] = []

    def waiting() -> bool:
        """Say whether an update or a delete has met the transaction, and is repeated until that ends."""
        at_work = {"op": {"$in": ["update", "remove"]}, "ns": stored.full_name, "writeConflicts": {"$gt": 0}}
        return bool(list(client.admin.aggregate([{"$currentOp": {}}, {"$match": at_work}])))

    with ThreadPoolExecutor(1) as beside, pytest.MonkeyPatch.context() as patch:

        def create(*args: Any) -> Any:
            changing.append(beside.submit(BETWEEN[change], other))
            until(waiting, "the change to meet the transaction", patience=5)
            assert not changing[0].done()
            return Due._create(due, *args)

        patch.setattr(due, "_create", create)
        assert Firings(manager).fire_due() is not None
        changing[0].result()
    assert [job["data"] for job in jobs.find()] == ["old"]
    manager.schedules.fire_due()
    assert jobs.count_documents({}) == 1


# --- lost replies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 1000], ids=["once", "always"])
@pytest.mark.parametrize("command", ["update", "insert", "commitTransaction"])
def test_a_firing_whose_reply_is_lost_is_fired_once(
    proxy: Proxy, make_manager: MakeManager, stored: Jobs, jobs: Jobs, command: str, times: int
) -> None:
    manager = make_manager(uri=proxy.uri, timeout=1.0)
    manager.schedule("s", 3600, "a")
    due = put_back(stored, "s", 0)
    proxy.lose_reply_of(command, times)
    for _ in range(3):
        with suppress(StoreUnavailable):
            manager.schedules.fire_due()
    assert proxy.lost[0] == command
    proxy.forgive()

    def settled() -> bool:
        """Or the transaction of a reply that was lost still holds the schedule: the server ends it by itself."""
        manager.schedules.fire_due()
        return manager.schedules.get("s").next_at == due + HOUR

    until(settled, patience=90)
    assert ids(jobs) == expected("s", due, 1)
    made = manager.schedules.get("s")
    assert (made.next_at, made.skipped) == (due + HOUR, 0)


@pytest.mark.parametrize("command", ["update", "insert", "delete", "find"])
def test_changes_whose_replies_are_lost_may_be_repeated(
    proxy: Proxy, make_manager: MakeManager, stored: Jobs, command: str
) -> None:
    manager = make_manager(uri=f"{proxy.uri}&retryWrites=false&retryReads=false", timeout=5.0)
    manager.ensure_indexes()

    def repeat(call: Callable[[], Any]) -> Any:
        proxy.lose_reply_of(command)
        while True:
            try:
                return call()
            except StoreUnavailable:
                continue

    made = repeat(lambda: manager.schedule("s", 3600, "a"))
    assert made.next_at is not None
    assert repeat(lambda: manager.schedule("s", 3600, "a", 2)).data == 2
    assert repeat(lambda: manager.schedules.pause("s")).paused
    assert not repeat(lambda: manager.schedules.resume("s")).paused
    repeat(lambda: manager.schedules.run_now("s", token="once"))
    assert manager.count() == 1
    assert manager.schedules.get("s").next_at == made.next_at
    repeat(lambda: manager.schedules.remove("s"))
    assert stored.count_documents({}) == 0
    assert command in proxy.lost
    proxy.forgive()


# --- what cannot be fired ----------------------------------------------------------------------------


def test_what_cannot_be_fired_here_is_told_once_and_holds_up_nobody(
    manager: JobManager,
    stored: Jobs,
    jobs: Jobs,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken: dict[str, dict[str, Any]] = {
        "bad cron": {"cron": "whenever"},
        "bad zone": {"tz": "Mars/Olympus"},
        "bad type": {"type": 7},
        "bad data": {"data": {"$x": {"y": float("inf")}}},
        "bad last": {"last": 7},
        "bad time": {"every": "often"},
    }
    for name, fields in broken.items():
        manager.schedule(name, "0 * * * *" if name in ("bad cron", "bad zone") else 3600, "a")
        put_back(stored, name, 9)
        stored.update_one({"_id": name}, {"$set": fields})
    manager.schedule("cron", "0 * * * *", "a")
    manager.schedule("interval", 3600, "a")
    due = [put_back(stored, name, 1) for name in ("cron", "interval")]
    monkeypatch.setattr("jobpool.pool.firing.PAGE", 3)
    monkeypatch.setattr("jobpool.pool.firing.HELD_FOR", 1e6)
    firings = Firings(manager)
    with caplog.at_level(logging.WARNING, "jobpool"), monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cronsim", None)
        for _ in range(8):
            BUDGET.reset()
            firings.fire_due()
    assert [id.partition("@")[0] for id in ids(jobs)] == ["interval"]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 7, told
    assert len([line for line in told if "pip install 'jobpool[cron]'" in line and "'cron'" in line]) == 1
    assert Firings(manager).fire_due() is not None
    monkeypatch.setattr("jobpool.pool.firing.PAGE", 100)
    assert manager.schedules.fire_due() == 1, "a pool that has cronsim"
    assert len(due) == jobs.count_documents({})


def insert_foreign(stored: Jobs, **fields: Any) -> None:
    """Store a copy of a schedule as somebody else might; an int for `next_at` is milliseconds, also far ones."""
    copy = {**(stored.find_one({"_id": "good"}) or {}), **fields}
    if isinstance(number := copy["next_at"], int):
        stand_in = datetime(2000, 1, 1, tzinfo=UTC)
        raw = bson.encode({**copy, "next_at": stand_in})
        places = [struct.pack("<q", milliseconds) for milliseconds in (946_684_800_000, number)]
        assert raw.count(places[0]) == 1
        stored.insert_one(RawBSONDocument(raw.replace(*places)))  # type: ignore[arg-type]
    else:
        stored.insert_one(copy)


def test_foreign_documents_hold_up_nobody(
    manager: JobManager, stored: Jobs, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    manager.schedule("good", 3600, "a")
    due = put_back(stored, "good", 0)
    early = due - HOUR
    insert_foreign(stored, _id={"a": 1}, next_at=early, type=7)
    insert_foreign(stored, _id=5, next_at=early, type=7)
    insert_foreign(stored, _id="bad", next_at=early, type=7)
    insert_foreign(stored, _id="bad last", next_at=early, last={"x": 1})
    insert_foreign(stored, _id="far", next_at=253_402_300_800_000)
    firings = Firings(manager)
    for _ in range(3):
        firings.fire_due()
    assert ids(jobs) == expected("good", due, 1)
    assert "bad last" not in {one.name for one in manager.schedules.list()}
    assert "'bad last' is no schedule that can be read" in caplog.text
    with pytest.raises(StoreRefused, match=r"'bad last' in .* was broken by somebody .*: remove it, and store it"):
        manager.schedule("bad last", 3600, "a")
    assert manager.schedules.remove("bad last")
    assert firings.fire_due() is not None


def test_one_without_a_revision_is_fired_and_changed(manager: JobManager, stored: Jobs, jobs: Jobs) -> None:
    manager.schedule("s", 3600, "a")
    put_back(stored, "s", 0)
    stored.update_one({}, {"$unset": {"revision": ""}})
    assert manager.schedules.fire_due() == 1
    assert jobs.count_documents({}) == 1
    assert manager.schedules.pause("s").paused


def test_a_job_in_a_state_of_a_newer_version_is_not_final(manager: JobManager, stored: Jobs, jobs: Jobs) -> None:
    manager.schedule("s", 3600, "a")
    put_back(stored, "s", 0)
    assert manager.schedules.fire_due() == 1
    jobs.update_many({}, {"$set": {"state": "resting"}})
    put_back(stored, "s", 0)
    stored.update_one({}, {"$set": {"next_at": datetime.now(UTC).replace(microsecond=0)}})
    assert manager.schedules.fire_due() == 1
    (listed,) = manager.schedules.list()
    assert listed.last is not None
    assert (str(listed.last.state), listed.skipped) == ("resting", 1)


def test_one_that_was_repaired_is_fired_again(
    manager: JobManager, stored: Jobs, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobpool.pool.firing.HELD_FOR", 0.0)
    manager.schedule("s", 3600, "a")
    put_back(stored, "s", 0)
    stored.update_one({}, {"$set": {"type": 7}})
    firings = Firings(manager)
    firings.fire_due()
    assert ids(jobs) == []
    manager.schedule("s", 3600, "a")
    firings.fire_due()
    assert len(ids(jobs)) == 1


def test_who_may_not_read_schedules_runs_jobs_and_says_so_once(
    manager: JobManager, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = StoreRefused("this user may not run find")
    refused.kind = refused.reason = "rights"
    asked: list[int] = []

    def upcoming(*args: object) -> list[Any]:
        asked.append(1)
        raise refused

    monkeypatch.setattr(manager.store.due, "upcoming", upcoming)
    monkeypatch.setattr("jobpool.pool.scheduler.LOOK_REFUSED", 0.01)
    with caplog.at_level(logging.INFO, "jobpool"), WorkerPool(manager) as pool:
        until(lambda: len(asked) > 3)
        assert manager.create("a", 1).wait(PATIENCE).state is State.SUCCEEDED
        assert pool.health().is_ready
    told = [record for record in caplog.records if "may not read the schedules" in record.getMessage()]
    assert [record.levelname for record in told] == ["INFO"]


def test_a_schedule_of_a_type_that_is_unknown_here_is_fired(manager: JobManager, stored: Jobs) -> None:
    manager.schedule("s", 3600, "elsewhere", 1)
    put_back(stored, "s", 0)
    assert manager.schedules.fire_due() == 1
    assert manager.find()[0].type == "elsewhere"


# --- a standalone server -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def standalone() -> Iterator[EmbeddedMongo]:
    with EmbeddedMongo(replicated=False) as server:
        yield server


def test_without_transactions_each_due_time_is_fired_once_also_after_a_crash_between_its_steps(
    standalone: EmbeddedMongo, make_manager: MakeManager
) -> None:
    manager = make_manager("alone", uri=standalone.uri, executors={"a": lambda data: data})
    manager.schedule("s", 3600, "a")
    stored = manager.store._connection.jobs.database["jobs.schedules"]
    put_back(stored, "s", 3)

    def killed(*args: Any, **options: Any) -> bool:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manager.store.due, "_advance", killed)
        with pytest.raises(KeyboardInterrupt):
            manager.schedules.fire_due()
    assert manager.count() == 1
    (due,) = [job.run_at for job in manager.find()]
    stored.update_one({}, {"$set": {"next_at": due}})  # an hour may have passed
    other = make_manager("alone", uri=standalone.uri)
    assert other.schedules.fire_due() == 1
    assert manager.count() == 1
    made = manager.schedules.get("s")
    assert (made.skipped, made.last and made.last.due) == (0, due)
    with before_the_firing(manager, lambda: other.schedules.pause("s")) as results:
        put_back(stored, "s", 0)
        Firings(manager).fire_due()
    assert results == ["conflict"]
    assert manager.count() == 1


def test_without_transactions_many_who_fire_at_once_fire_each_due_time_once(
    standalone: EmbeddedMongo, make_manager: MakeManager
) -> None:
    managers = [make_manager("many", uri=standalone.uri, executors={"a": lambda data: data}) for _ in range(4)]
    managers[0].schedule("s", 3600, "a", catch_up="all")
    stored = managers[0].store._connection.jobs.database["jobs.schedules"]
    first = put_back(stored, "s", 30)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda one: one.schedules.fire_due(), managers))
    assert sorted(job.id for job in managers[0].find(limit=100)) == expected("s", first, 31)  # whoever was first
    managers[0].start_watch(threads=4)
    assert {job.state for job in managers[0].wait_many(expected("s", first, 31), PATIENCE)} == {State.SUCCEEDED}


# --- what else belongs to it ----------------------------------------------------------------------------


def test_an_event_loop_has_the_same(
    server: EmbeddedMongo, database: str, stored: Jobs, manager: JobManager
) -> None:
    async def use() -> None:
        async with AsyncJobManager(database, uri=server.uri) as jobs:
            made = await jobs.schedule("s", "0 * * * *", "a", {"n": 1}, tz="Europe/Berlin", jitter=0)
            assert made == manager.schedule("s", "0 * * * *", "a", {"n": 1}, tz="Europe/Berlin")
            assert await jobs.schedules.list() == [made]
            assert (await jobs.schedules.pause("s")).paused
            assert not (await jobs.schedules.resume("s")).paused
            job = await jobs.schedules.run_now("s", token="x")
            assert (await jobs.get("s@now-x")).id == job.id
            put_back(stored, "s", 0)
            manager.schedules.fire_due()
            last = (await jobs.schedules.get("s")).last
            assert last is not None
            assert last.state is State.PENDING
            assert await jobs.schedules.remove("s")
            with pytest.raises(ScheduleNotFound):
                await jobs.schedules.get("s")
            with pytest.raises(InvalidConfiguration):
                await jobs.schedule("s", "never", "a")

    drive(use())


def test_who_travels_in_time_sees_schedules_fire(manager: JobManager, jobs: Jobs) -> None:
    manager.schedule("daily", "0 4 * * *", "a", tz="Europe/Berlin")
    with travel(manager, days=1):
        assert manager.schedules.fire_due() == 1
        assert manager.run_all() == 1
    with travel(manager, days=40):
        manager.start_watch()
        until(lambda: jobs.count_documents({"state": "succeeded"}) == 2)
        manager.stop_watch()
    assert manager.schedules.fire_due() == 0, "it is due in forty days"


def test_hooks_metrics_and_logs_hear_of_firings(
    make_manager: MakeManager, stored: Jobs, jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    class Watching(Middleware):
        @contextmanager
        def creating(self, requests: Any) -> Iterator[None]:
            yield
            seen.extend(request.id for request in requests)

    manager = make_manager(middleware=[Watching()])
    manager.schedule("s", 3600, "a", "secret")
    due = put_back(stored, "s", 0)
    with caplog.at_level(logging.DEBUG, "jobpool"):
        manager.schedules.fire_due()
    assert seen == expected("s", due, 1)
    assert firings(manager) == {"late": 1}
    _, text = manager.exposition()
    assert b'jobpool_jobs_created_total{result="inserted",type="a"} 1.0' in text
    assert b'jobpool_store_operation_seconds_count{operation="fire"} 1.0' in text
    lines = [record.getMessage() for record in caplog.records if "schedule" in record.getMessage()]
    assert len(lines) == 1
    assert "secret" not in lines[0]
    jobs.delete_many({})  # so that the next one is not skipped
    stored.update_one({}, {"$set": {"next_at": datetime.now(UTC)}})
    manager.schedules.fire_due()
    assert firings(manager) == {"late": 1, "fired": 1}


def test_a_name_is_a_value_and_nothing_else(manager: JobManager, stored: Jobs) -> None:
    for name in ("$where", "a.b", "{}", "é" * 100):
        manager.schedule(name, 3600, "a")
        put_back(stored, name, 0)
    assert manager.schedules.fire_due() == 4
    assert {job.id.rpartition("@")[0] for job in manager.find()} == {"$where", "a.b", "{}", "é" * 100}
    hostile: tuple[Any, ...] = (7, {"$ne": 1}, None)
    for bad in hostile:
        with pytest.raises(InvalidJob):
            manager.schedules.get(bad)


def test_a_pool_that_stops_ends_its_scheduler(manager: JobManager) -> None:
    pool = manager.start_watch()
    scheduler = pool._parts.scheduler
    assert scheduler.alive
    assert pool.stop().threads == ()
    assert scheduler.begun
    assert not scheduler._thread.is_alive()
