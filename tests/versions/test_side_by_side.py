"""The version before this one and this one work side by side on one collection, as while a deployment rolls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import jobpool
from jobpool.store.documents import SCHEMA
from jobpool.store.indexes import INDEXES

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .conftest import NEW, OLD, SIDES, VERSION, Start

#: The indexes that the version before this one makes.
OLD_INDEXES = {"_id_", *(f"jobpool_{name}" for name in ("claim", "lease", "expire", "failed", "result"))}
NEW_INDEXES = {"_id_", *(model.document["name"] for model in INDEXES)}
#: Seconds, where a worker is killed; so long that none runs out on a busy machine.
LEASE = "3"


def other(side: str) -> str:
    return NEW if side == OLD else OLD


def ran(jobs: Jobs, **filter: Any) -> list[dict[str, Any]]:
    """Return the attempts that began."""
    return list(jobs.database["ran"].find(filter))


def sides(jobs: Jobs, **filter: Any) -> set[str]:
    return {attempt["side"] for attempt in ran(jobs, **filter)}


def test_the_programs_run_with_the_versions_that_they_should(start: Start, old_path: Path) -> None:
    old, new = start(OLD, "produce", "0", "0"), start(NEW, "produce", "0", "0")
    assert (old.version, old.path) == (VERSION, str(old_path / "jobpool"))
    assert new.path == str(Path(jobpool.__file__).parent)
    assert SCHEMA >= 1


@pytest.mark.parametrize("first", SIDES)
def test_every_job_of_either_is_run_once_by_one_of_both(
    start: Start, make_manager: MakeManager, jobs: Jobs, first: str
) -> None:
    """Whoever comes first makes its indexes; the same jobs are created by both, and are one."""
    workers = [start(first, "worker")]
    assert set(jobs.index_information()) == (OLD_INDEXES if first == OLD else NEW_INDEXES)
    manager = make_manager()
    created = 0
    while created < 200 or not {OLD, NEW} <= sides(jobs) or len(workers) < 2:
        numbers = range(created, created + 100)
        created += 100
        assert created <= 20_000, "one of both runs nothing"
        inserted = manager.create_many({"type": "quick", "data": n} for n in numbers[:60]).inserted
        producer = start(OLD, "produce", str(numbers[40]), str(numbers[-1] + 1))
        inserted += int(producer.line())
        assert inserted == 100, "20 of them were created by both"
        if len(workers) < 2:
            workers.append(start(other(first), "worker"))
            until(lambda: set(jobs.index_information()) == NEW_INDEXES)
        until(lambda: manager.count(state="succeeded") == manager.count())
    assert manager.backlog().pools_alive == 2
    for worker in workers:
        worker.end()
    attempts = ran(jobs)
    assert len(attempts) == len({attempt["job"] for attempt in attempts}) == created
    stored = list(jobs.find())
    assert {(job["state"], job["attempts"]) for job in stored} == {("succeeded", 1)}
    assert {job.get("schema") for job in stored} == {None, SCHEMA}
    ran_by = {attempt["job"]: attempt["side"] for attempt in attempts}
    crossed = {(ran_by[job["_id"]], "schema" in job) for job in stored}
    assert crossed == {(OLD, True), (OLD, False), (NEW, True), (NEW, False)}, "each ran jobs of both"
    assert manager.backlog().pools_alive == 0


@pytest.mark.parametrize("victim", SIDES)
def test_what_the_one_held_when_it_was_killed_is_taken_back_by_the_other(
    start: Start, make_manager: MakeManager, jobs: Jobs, victim: str
) -> None:
    manager = make_manager()
    ids = manager.create_many({"type": "once_endless", "data": n, "timeout": 600} for n in range(2)).ids
    queued = manager.create("quick", "behind them").id
    killed = start(victim, "worker", LEASE)
    until(lambda: len(ran(jobs)) == 2)
    start(other(victim), "worker", LEASE)
    killed.kill()
    for job in manager.wait_many([*ids, queued], PATIENCE):
        assert job.state == "succeeded"
        assert job.attempts == (1 if job.id == queued else 2)
        assert [error.type for error in job.errors] == ([] if job.id == queued else ["WorkerLost"])
    assert sides(jobs, attempt=2) == {other(victim)}
    assert all(job["schema"] == SCHEMA for job in jobs.find()), "whoever reaped them"


@pytest.mark.parametrize("victim", SIDES)
def test_a_job_without_attempts_left_fails_by_whoever_finds_it(
    start: Start, make_manager: MakeManager, jobs: Jobs, victim: str
) -> None:
    manager = make_manager()
    job = manager.create("held")
    killed = start(victim, "worker", LEASE)
    until(lambda: ran(jobs))
    start(other(victim), "worker", LEASE)
    killed.kill()
    ended = manager.wait(job.id, PATIENCE)
    assert (ended.state, ended.attempts, ended.error and ended.error.type) == ("failed", 1, "WorkerLost")
    assert len(ran(jobs)) == 1


def test_a_retry_may_begin_with_the_one_and_end_with_the_other(
    start: Start, make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager()
    workers = [start(side, "worker") for side in SIDES]
    for number in range(40):
        ids = manager.create_many({"type": "flaky", "data": [number, n]} for n in range(20)).ids
        ended = manager.wait_many(ids, PATIENCE)
        assert {(job.state, job.attempts, job.error_count) for job in ended} == {("succeeded", 2, 1)}
        by_job: dict[str, list[str]] = {}
        for attempt in jobs.database["ran"].find().sort("attempt"):
            by_job.setdefault(attempt["job"], []).append(attempt["side"])
        assert {len(attempts) for attempts in by_job.values()} == {2}
        if {(OLD, NEW), (NEW, OLD)} <= {tuple(attempts) for attempts in by_job.values()}:
            break
    else:
        pytest.fail("no job was run by both")
    for worker in workers:
        worker.end()


@pytest.mark.parametrize("holder", SIDES)
def test_either_hears_that_the_other_cancels(
    start: Start, make_manager: MakeManager, jobs: Jobs, holder: str
) -> None:
    manager = make_manager()
    runs = manager.create("held", "runs")
    worker = start(holder, "worker")
    until(lambda: ran(jobs))
    waits = manager.create("quick", "waits", delay=3600)
    for job, state in ((runs, "running"), (waits, "cancelled")):
        if holder == NEW:
            assert start(OLD, "cancel", job.id).line() == state
        else:
            assert manager.cancel(job.id).state == state
    assert [job.state for job in manager.wait_many([runs.id, waits.id], PATIENCE)] == ["cancelled"] * 2
    worker.end()


def test_fields_of_this_version_outlive_a_worker_that_does_not_know_them(
    start: Start, make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager()
    ids = [manager.create(type, 1).id for type in ("quick", "flaky")]
    jobs.update_many({}, {"$set": {"later": {"$x": ["$y"]}, "errors": [], "node.a": 1}})
    worker = start(OLD, "worker")
    manager.wait_many(ids, PATIENCE)
    worker.end()
    for job in jobs.find():
        assert (job["schema"], job["later"], job["node"]) == (SCHEMA, {"$x": ["$y"]}, {"a": 1})
    assert sides(jobs) == {OLD}
