"""What the version before this one does with jobs that use what it does not know."""

from __future__ import annotations

from jobpool import Executor, Limit, WorkerPool

from ..conftest import Jobs, MakeManager
from ..waiting import PATIENCE, until
from .conftest import NEW, OLD, Program, Start
from .test_side_by_side import ran, sides


def end_all(*workers: Program) -> None:
    for worker in workers:
        worker.end()


def test_a_job_that_waits_for_others_is_released_by_a_newer_pool_whoever_ran_those(
    start: Start, make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager()
    first = manager.create("quick", 1)
    second = manager.create("quick", 2, after=[first.id])
    old = start(OLD, "worker")
    manager.wait(first.id, PATIENCE)
    later = manager.create("quick", 3)
    manager.wait(later.id, PATIENCE)
    assert manager.get(second.id).state == "waiting", "no worker of the older version runs it before its time"
    assert start(OLD, "state", second.id).line() == "ValueError", "as README says: it does not know the state"
    assert start(NEW, "state", second.id).line() == "waiting"
    new = start(NEW, "worker")
    assert manager.wait(second.id, PATIENCE).state == "succeeded"
    end_all(old, new)
    assert len(ran(jobs)) == 3


def test_a_pause_holds_for_pools_of_this_version_only(start: Start, make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager()
    manager.pause("quick")
    new = start(NEW, "worker")  # it reads what is paused before it claims
    flaky = manager.create("flaky").wait(PATIENCE)
    assert flaky.state == "succeeded"
    assert sides(jobs) == {NEW}
    id = manager.create("quick").id
    old = start(OLD, "worker")
    manager.wait(id, PATIENCE)
    assert sides(jobs, job=id) == {OLD}
    end_all(old, new)


def test_jobs_of_a_type_with_a_limit_are_run_once_by_either(
    start: Start, make_manager: MakeManager, jobs: Jobs
) -> None:
    """Limits bind the pools that know of them: the older one takes what it finds."""
    manager = make_manager(executors={"quick": Executor(lambda data: data, limit=Limit(running=10))})
    old = start(OLD, "worker")
    with WorkerPool(manager, name="limited", threads=4, poll_interval=0.1):
        ids: list[str] = []
        while not ({"limited", OLD} <= {job["pool"] for job in jobs.find({"state": "succeeded"})}):
            assert len(ids) < 5_000, "one of both runs nothing"
            new = manager.create_many({"type": "quick", "data": n} for n in range(len(ids), len(ids) + 50)).ids
            ids += new
            manager.wait_many(new, PATIENCE)
    end_all(old)
    assert {(job["state"], job["attempts"]) for job in jobs.find()} == {("succeeded", 1)}
    by_old = {attempt["job"] for attempt in ran(jobs)}
    assert by_old == {job["_id"] for job in jobs.find({"pool": OLD})}


def test_a_renamed_type_is_run_by_both_until_all_know_its_new_name(
    start: Start, make_manager: MakeManager, jobs: Jobs
) -> None:
    manager = make_manager(executors={"fast": Executor(lambda data: data, aliases=("quick",))})
    old = start(OLD, "worker")
    with WorkerPool(manager, name="renamed", threads=2, poll_interval=0.1):
        created = 0
        while not ({"renamed", OLD} <= {job["pool"] for job in jobs.find({"type": "quick"})}):
            assert created < 5_000, "one of both runs nothing"
            ids = manager.create_many(
                {"type": type, "data": n} for n in range(created, created + 50) for type in ("quick", "fast")
            ).ids
            created += 50
            manager.wait_many(ids, PATIENCE)
    end_all(old)
    assert {job["pool"] for job in jobs.find({"type": "fast"})} == {"renamed"}
    assert jobs.count_documents({"attempts": 1, "state": "succeeded"}) == 2 * created


def test_both_are_seen_alive(start: Start, make_manager: MakeManager) -> None:
    manager = make_manager()
    workers = start(OLD, "worker"), start(NEW, "worker")
    until(lambda: {pool.name for pool in manager.backlog().pools} == {OLD, NEW})
    backlog = manager.backlog()
    assert {pool.name: pool.threads for pool in backlog.pools_of(["quick"])} == {OLD: 2, NEW: 2}
    assert {pool.name for pool in backlog.pools if pool.rates} <= {NEW}
    end_all(*workers)
