"""Overseeing: what all of it looks like together, for those who operate it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS

from jobpool import Executor, JobManager, Limit, WorkerPool, current_job
from jobpool.errors import InvalidConfiguration
from jobpool.overview import Finished, held_by, held_by_nobody

from ..conftest import Jobs, MakeManager
from ..waiting import until


class Gate:
    """Holds executors until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def hold(self, data: Any) -> None:
        current_job().progress(3, 4, "nearly")
        self.open.wait(30)


def fail(data: Any) -> None:
    raise ValueError(f"no {data} " + "x" * 500)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def overseen(make_manager: MakeManager, gate: Gate) -> JobManager:
    held = Executor(gate.hold, aliases=["was.held"], limit=Limit(running=50))
    manager = make_manager(executors={"held": held, "bad": fail, "good": str})
    manager.ensure_indexes()
    return manager


def failed(id: str, type: Any, at: Any, **fields: Any) -> dict[str, Any]:
    error = {"type": "ValueError", "message": id, "traceback": "", "attempt": 1}
    return {"_id": id, "type": type, "state": "failed", "finished_at": at, "error": error, "attempts": 1, **fields}


def test_only_what_is_removed_counts_as_removed(overseen: JobManager, jobs: Jobs) -> None:
    def looked() -> tuple[int, int]:
        seen = overseen.activity()
        assert seen.removed is not None
        return seen.documents, seen.removed

    _, before = looked()
    overseen.create_many({"type": "good", "data": n} for n in range(20))
    overseen.create_many({"type": "good", "data": n} for n in range(20))  # they are there
    assert overseen.run_all() == 20
    assert looked() == (20, before)
    jobs.delete_many({"data": {"$lt": 5}})
    assert looked() == (15, before + 5)


def test_what_runs_is_shown_with_its_pool_the_one_that_began_first_in_front(
    overseen: JobManager, gate: Gate
) -> None:
    with WorkerPool(overseen, ["held"], threads=2, name="holder") as pool:
        first = overseen.create("held", 1)
        until(lambda: overseen.get(first.id).progress)
        second = overseen.create("held", 2, key="mine")
        until(lambda: len(overseen.running()) == 2)
        shown = overseen.running(limit=10)
        one = overseen.running(limit=1)
        gate.open.set()
        overseen.wait_many([first.id, second.id], 30)
        assert [job.id for job in shown] == [first.id, second.id]
        assert [job.id for job in one] == [first.id]
        assert (shown[0].type, shown[0].pool, shown[0].pool_id) == ("held", "holder", pool.id)
        assert (shown[0].attempt, shown[1].key, shown[0].cancel_requested_at) == (1, "mine", None)
        assert shown[0].progress is not None
        assert (shown[0].progress.share, shown[0].progress.note) == (0.75, "nearly")
        assert shown[0].seconds >= 0
        assert shown[0].lease_until is not None
    assert overseen.running() == []


def test_what_pools_hold_is_counted_by_pool_and_type(overseen: JobManager, gate: Gate) -> None:
    with WorkerPool(overseen, ["held"], threads=1, name="a") as pool:
        overseen.create_many({"type": "held", "data": n} for n in range(2))
        until(lambda: sum(one.running for one in overseen.held()) == 1)
        until(lambda: overseen.pools())
        held = overseen.held()
        (alive,) = overseen.pools()
        gate.open.set()
        until(lambda: overseen.held() == ())
    assert {(one.pool, one.pool_id, one.type) for one in held} == {("a", pool.id, "held")}
    assert held_by(alive, held)[1] == 1
    assert held_by_nobody([alive], held) == ()


def test_what_an_older_version_or_somebody_else_holds_is_counted_as_well(overseen: JobManager, jobs: Jobs) -> None:
    later = datetime.now(UTC) + timedelta(seconds=60)
    common = {"lease_until": later, "state": "running", "started_at": datetime.now(UTC)}
    jobs.insert_many(
        [
            {"_id": "old", "type": "a", "pool": "x", "claim": "0123", "attempts": 1, **common},
            {"_id": "odd", "type": "a", "pool": 7, "claim": ["y"], "attempts": "many", "progress": 3, **common},
            {"_id": "none", "type": DatetimeMS(2**60), **common},
            {"_id": "late", "type": "a", "pool": "x", "claim": "0.1", **common, "started_at": DatetimeMS(2**60)},
        ]
    )
    held = [(one.pool, one.pool_id, one.type, one.running) for one in overseen.held()]
    assert sorted(held, key=str) == [("", None, "a", 1), ("x", "0", "a", 1), ("x", None, "a", 1)]
    assert {job.id for job in overseen.running()} == {"old", "odd"}


def test_the_newest_failures_are_found_whatever_their_types(overseen: JobManager, jobs: Jobs) -> None:
    now = datetime.now(UTC)
    many = [
        failed(f"{type}{n}", type, now - timedelta(seconds=n * 10 + k))
        for n in range(9)
        for k, type in enumerate("abcd")
    ]
    many += [
        failed("older", "rare", now - timedelta(days=9)),
        failed("odd", 7, now),
        failed("late", "a", DatetimeMS(2**60)),
    ]
    jobs.insert_many(many)
    assert [job.id for job in overseen.recent_failures(limit=6)] == ["a0", "b0", "c0", "d0", "a1", "b1"]
    assert [job.id for job in overseen.recent_failures(limit=1)] == ["a0"]
    found = overseen.recent_failures(limit=1000)
    assert (len(found), found[-1].id) == (37, "older")


def test_failures_of_more_types_than_a_pipeline_has_stages_are_found(overseen: JobManager, jobs: Jobs) -> None:
    now = datetime.now(UTC)
    jobs.insert_many(failed(f"{n:04}", f"type{n}", now - timedelta(seconds=n)) for n in range(1100))
    assert [job.id for job in overseen.recent_failures(limit=1000)] == [f"{n:04}" for n in range(1000)]


def test_a_list_that_somebody_wrote_as_the_type_of_a_failure_is_left_out(overseen: JobManager, jobs: Jobs) -> None:
    """It matches what is in it."""
    now = datetime.now(UTC)
    jobs.insert_many([failed("good", "a", now), failed("odd", ["a", "b"], now)])
    assert [job.id for job in overseen.recent_failures()] == ["good"]


def test_a_failure_tells_its_class_and_the_beginning_of_its_message(overseen: JobManager, jobs: Jobs) -> None:
    job = overseen.create("bad", 1)
    overseen.run_all("bad")
    (found,) = overseen.recent_failures()
    assert (found.id, found.type, found.error, found.attempts) == (job.id, "bad", "ValueError", 1)
    assert found.message == f"no 1 {'x' * 195}"
    now = datetime.now(UTC)
    jobs.insert_many(
        [failed("o1", "odd", now, error=3), failed("o2", "odd", now, error={"message": 5}, attempts="x")]
    )
    odd = [job for job in overseen.recent_failures() if job.type == "odd"]
    assert [(job.error, job.message, job.attempts) for job in odd] == [("", "", 1), ("", "", 0)]


def test_types_are_those_with_jobs_pools_or_pauses(overseen: JobManager, gate: Gate) -> None:
    overseen.create_many({"type": "orphan", "data": n} for n in range(3))
    overseen.create("good", delay=60)
    overseen.pause("never.seen", reason="a typing error")
    with WorkerPool(overseen, ["held"], threads=5):
        until(lambda: overseen.pools())
        types = {one.type: one for one in overseen.types()}
    assert set(types) == {"held", "was.held", "good", "orphan", "never.seen"}
    assert (types["orphan"].due, types["orphan"].pools, types["orphan"].nobody_runs_it) == (3, 0, True)
    assert (types["good"].scheduled, types["good"].due) == (1, 0)
    assert (types["held"].pools, types["held"].threads, types["held"].aliases) == (1, 5, ("was.held",))
    assert types["was.held"].alias_of == "held"
    limits = types["held"].limits
    assert limits is not None
    assert limits.limit == Limit(running=50)
    pause = types["never.seen"].pause
    assert pause is not None
    assert (pause.reason, types["never.seen"].paused) == ("a typing error", True)


def test_an_alias_that_a_pool_tells_of_counts_as_paused_with_its_type(
    overseen: JobManager, make_manager: MakeManager
) -> None:
    """Who counts may have no executors: nobody is to start pools for what may not begin."""
    watcher = make_manager()
    overseen.pause("held")
    with WorkerPool(overseen, ["held"], threads=1):
        until(watcher.pools)
        watcher.create_many({"type": "was.held", "data": n} for n in range(5))
        stats = watcher.stats()
    assert (stats.types["was.held"].due, stats.types["was.held"].paused) == (5, True)
    assert stats.suggested_pools == 0


def test_stats_tell_of_all_of_it(overseen: JobManager) -> None:
    overseen.create_many({"type": "good", "data": n} for n in range(4))
    overseen.create_many({"type": "bad", "data": n} for n in range(2))
    overseen.create("good", 9, delay=60)
    overseen.run_all("bad")
    overseen.run()
    overseen.cancel(overseen.create("bad", 9).id)
    overseen.pause("good")
    stats = overseen.stats()
    assert (stats.types["good"].due, stats.types["good"].scheduled, stats.types["bad"].failed) == (3, 1, 2)
    assert (stats.total.due, stats.documents, stats.finished) == (3, 8, None)
    assert (stats.pools_alive, stats.threads_alive, stats.suggested_pools) == (0, 0, 0)
    assert list(stats.paused.types) == ["good"]
    assert stats.size is not None
    assert stats.size.data_bytes > 0
    assert {"_id_", "jobpool_claim"} <= set(stats.size.index_bytes)
    finished = overseen.stats(finished=True).finished
    assert finished == {"bad": Finished(failed=2, cancelled=1), "good": Finished(succeeded=1)}


def test_a_collection_that_is_not_there_is_empty_and_is_not_made(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    stats = manager.stats(finished=True)
    assert (stats.documents, stats.finished, stats.size) == (0, {}, None)
    assert (manager.types(), manager.held(), manager.running(), manager.recent_failures()) == ((), (), [], [])
    assert manager.activity().documents == 0
    assert jobs.database.list_collection_names() == []


def test_activity_counts_what_failed_since_a_moment(overseen: JobManager, jobs: Jobs) -> None:
    now = overseen.activity().at
    jobs.insert_many(failed(f"{type}{n}", type, now - timedelta(seconds=n)) for n in range(1, 9) for type in "ab")
    assert overseen.activity(since=now - timedelta(seconds=4)).failed == 8
    assert overseen.activity().failed is None


def test_activity_knows_the_server(overseen: JobManager) -> None:
    overseen.create("good", 1)
    overseen.pause()
    found = overseen.activity()
    assert (found.replica_set, found.documents, bool(found.paused.everything)) == ("jobpool", 1, True)
    assert found.server.startswith("127.0.0.1:")
    assert (found.members, found.unreachable) == (1, ())
    assert (found.pools, found.held, found.running, found.failures) == ((), (), (), ())


@pytest.mark.parametrize("limit", [0, 1001, True, "3"], ids=str)
def test_nonsense_limits_are_refused(overseen: JobManager, limit: Any) -> None:
    for look in (overseen.running, overseen.recent_failures, overseen.activity):
        with pytest.raises(InvalidConfiguration, match="limit"):
            look(limit=limit)
