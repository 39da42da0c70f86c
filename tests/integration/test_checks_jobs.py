"""The checks of jobs: each finds exactly the fault that it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from bson import ObjectId

from jobpool import JobManager
from jobpool.store.documents import SCHEMA
from jobpool.store.followers import chunks

from ..checking import bad, deployment, held, job, now, only, pool, waiting
from ..conftest import Jobs, MakeManager

MIB = 1024**2


@pytest.fixture
def manager(make_manager: MakeManager, jobs: Jobs) -> JobManager:
    """A manager of a deployment with indexes, one pool that lives, and no fault."""
    return deployment(make_manager, jobs)


# --- documents --------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "value"), [("type", 7), ("priority", "high"), ("run_at", "now")])
@pytest.mark.parametrize("there", [True, False], ids=["other", "missing"])
def test_a_pending_job_that_no_claim_finds(
    manager: JobManager, jobs: Jobs, field: str, value: object, there: bool
) -> None:
    jobs.insert_many([{**job("1", without=[field]), **({field: value} if there else {})}, job("2")])
    found = only(manager.check(), "documents.pending", "problem")
    assert (found.facts["what"], found.facts["count"], found.facts["example"]) == (field, 1, "1")


@pytest.mark.parametrize(
    ("what", "document", "level"),
    [
        ("state", lambda: job("1", state="paused"), "problem"),
        ("type", lambda: job("1", state="waiting", type=7), "problem"),
        ("created_at", lambda: job("1", without=["created_at"]), "problem"),
        ("attempts", lambda: job("1", attempts=None), "problem"),
        ("fence", lambda: job("1", without=["fence"]), "problem"),
        ("data", lambda: job("1", without=["data"]), "problem"),
        ("unheld", lambda: job("1", state="running", claim="x"), "problem"),
        ("unheld", lambda: held("1", without=["claim"]), "problem"),
        ("finished_at", lambda: job("1", state="failed"), "warning"),
        ("schema", lambda: job("1", schema=SCHEMA + 1), "warning"),
    ],
    ids=[
        "state",
        "type",
        "created_at",
        "attempts",
        "fence",
        "data",
        "no lease",
        "no claim",
        "finished_at",
        "schema",
    ],
)
def test_a_job_that_is_not_as_jobs_are(
    manager: JobManager, jobs: Jobs, what: str, document: Callable[[], dict[str, Any]], level: str
) -> None:
    jobs.insert_one(document())  # made now: its lease is to last
    found = only(manager.check(), "documents.shape", level)
    assert found.facts["what"] == what
    assert found.facts["whole"]


@pytest.mark.parametrize(("size", "level"), [(13 * MIB, "warning"), (int(15.5 * MIB), "problem")])
def test_a_job_is_large(manager: JobManager, jobs: Jobs, size: int, level: str) -> None:
    jobs.insert_one(job("1", data="x" * size))
    assert only(manager.check(), "documents.size", level).facts["largest"][0]["id"] == "1"


def test_of_a_large_collection_a_part_is_read(
    manager: JobManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobpool.store.checks.documents.WHOLE", 300)
    monkeypatch.setattr("jobpool.store.checks.documents.SAMPLE", 200)
    jobs.insert_many([job(f"{n}", state="odd") for n in range(1000)])
    found = only(manager.check(), "documents.shape", "problem")
    assert (found.facts["read"], found.facts["of"], found.facts["whole"]) == (200, 1000, False)
    assert found.facts["count"] == 200


# --- what sticks ------------------------------------------------------------------------


def test_a_lease_is_over_for_long(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_one(held("1", lease_until=now(-300)))
    assert "1 pool should take" in only(manager.check(), "jobs.leases", "problem").text
    jobs.database["jobs.pools"].delete_many({})
    assert "no pool is alive" in only(manager.check(), "jobs.leases", "problem").text


def test_a_lease_is_over_for_less_than_the_lease_of_the_pools(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].replace_one({"_id": "p1"}, pool(lease=3600.0))
    jobs.insert_one(held("1", lease_until=now(-300)))
    assert bad(manager.check()) == []


def test_nobody_runs_a_type(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many([job("1", type="b", run_at=now(-300)), job("2", type="c", run_at=now(300)), job("3")])
    assert only(manager.check(), "jobs.due", "problem").facts == {"type": "b", "count": 1}
    manager.pause("b")
    assert bad(manager.check()) == []


def test_an_alias_is_run(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].replace_one({"_id": "p1"}, pool(aliases=[{"alias": "old", "type": "a"}]))
    jobs.insert_one(job("1", type="old", run_at=now(-300)))
    assert bad(manager.check()) == []


def test_a_cancelled_job_runs_on(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many([held("1", cancel_requested_at=now(-900)), held("2", cancel_requested_at=now(-1))])
    assert only(manager.check(), "jobs.cancels", "warning").facts["jobs"] == ["1"]


def test_a_running_job_is_stuck(manager: JobManager, jobs: Jobs) -> None:
    stuck = {"after": 60.0, "stack": "", "at": now()}
    jobs.insert_many([held("1", stuck={**stuck, "attempt": 1}), held("2", stuck={**stuck, "attempt": 0})])
    assert only(manager.check(), "jobs.stuck", "warning").facts["jobs"] == ["1"]


def test_a_pool_that_is_gone_holds_jobs_for_long(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].insert_one(pool("gone", seen_at=now(-9999), fresh_until=now(-9000)))
    jobs.insert_many([held("1", claim="gone.x", lease_until=now(3600)), held("2")])
    assert only(manager.check(), "jobs.orphans", "warning").facts["jobs"] == ["1"]


def test_of_many_types_that_nobody_runs_the_first_are_named(manager: JobManager, jobs: Jobs) -> None:
    """Those with most jobs; what a program reads has all."""
    jobs.insert_many([job(f"{n}", type=f"b{n:02}", run_at=now(-300)) for n in range(12)])
    jobs.insert_one(job("more", type="b11", run_at=now(-300)))
    checkup = manager.check()
    assert bad(checkup) == [("jobs.due", "problem")] * 6
    first, *_, last = checkup.problems
    assert (first.facts, last.text) == ({"type": "b11", "count": 2}, "7 types more")
    assert last.facts == {"count": 7, "rest": [{"type": f"b{n:02}", "count": 1} for n in range(4, 11)]}


# --- waiting ----------------------------------------------------------------------------


def test_nobody_was_told_of_an_end(manager: JobManager, jobs: Jobs) -> None:
    ended = {"state": "succeeded", "followed": jobs.insert_one({}).inserted_id}
    jobs.delete_many({})
    jobs.insert_many(
        [job("1", finished_at=now(-300), **ended), waiting("2", "1"), waiting("3", "1", "4"), job("4")]
    )
    assert only(manager.check(), "waiting.told", "problem").facts["jobs"] == ["2", "3"]
    jobs.update_one({"_id": "1"}, {"$set": {"finished_at": now(-1)}})
    assert bad(manager.check()) == []


def test_who_was_just_created_to_wait_for_what_ended_long_ago_is_about_to_be_told(
    manager: JobManager, jobs: Jobs
) -> None:
    jobs.insert_one(job("1", state="succeeded", finished_at=now(-300), followed=ObjectId()))
    jobs.insert_one(waiting("2", "1", created_at=now(-1)))
    assert bad(manager.check()) == []


def test_a_job_waits_for_one_that_is_gone(manager: JobManager, jobs: Jobs) -> None:
    """Pools that live find this by themselves, if it is not for long."""
    jobs.insert_many([waiting("1", "2", "3"), job("2")])
    found = only(manager.check(), "waiting.gone", "warning")
    assert (found.facts["jobs"], found.facts["missing"]) == (["1"], ["3"])
    jobs.database["jobs.pools"].delete_many({})
    assert [one.facts["jobs"] for one in manager.check(only=["waiting"]).problems] == [["1"]]


@pytest.mark.parametrize("created_at", [None, 7, "then"])
def test_who_was_created_at_no_time_may_wait_for_one_that_is_gone(
    manager: JobManager, jobs: Jobs, created_at: object
) -> None:
    jobs.insert_one(waiting("1", "2", created_at=created_at))
    assert bad(manager.check(only=["waiting"])) == [("waiting.gone", "warning")]


def test_a_job_that_is_told_meanwhile_waits_for_nothing(
    manager: JobManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and what it waited for is deleted, between the reads of this check."""
    jobs.insert_many([waiting("1", "2"), job("2")])

    def meanwhile(ids: Sequence[str], most: int) -> Iterator[list[str]]:
        jobs.update_one({"_id": "1"}, {"$set": {"waits_for": [], "state": "pending"}})
        jobs.delete_one({"_id": "2"})
        return chunks(ids, most)

    monkeypatch.setattr("jobpool.store.checks.waiting.chunks", meanwhile)
    assert bad(manager.check(only=["waiting.gone"])) == []


def test_a_waiting_job_was_left_by_its_creator(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many([job("1"), waiting("2", "1", linking=now(-300)), waiting("3", "1", linking=now(-1))])
    assert only(manager.check(), "waiting.linking", "problem").facts["jobs"] == ["2"]


def test_jobs_wait_for_each_other(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many([waiting("1", "2"), waiting("2", "3"), waiting("3", "2"), waiting("4", "1")])
    assert sorted(only(manager.check(), "waiting.circles", "problem").facts["jobs"]) == ["2", "3"]
