"""The checks of indexes, plans and clocks: each finds exactly the fault that it is for."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from jobpool import Executor, JobManager, Limit
from jobpool.store.checks import clocks, examining, plans
from jobpool.store.indexes import CLAIM_KEYS, INDEXES, LIMIT_INDEXES

from ..checking import bad, deployment, held, job, now, only, pool
from ..conftest import Jobs, MakeManager
from ..waiting import until

NAMES = [model.document["name"] for model in INDEXES]


@pytest.fixture
def manager(make_manager: MakeManager, jobs: Jobs) -> JobManager:
    """A manager of a deployment with indexes, one pool that lives, and no fault."""
    return deployment(make_manager, jobs)


# --- indexes ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_index_is_missing(manager: JobManager, jobs: Jobs, name: str) -> None:
    jobs.drop_index(name)
    checkup = manager.check()
    assert [one.facts["index"] for one in checkup.problems] == [name]
    assert {one.check for one in checkup.findings if one.level != "ok"} - {"topology.majority"} >= {
        "indexes.required"
    }
    assert {one.remedy for one in checkup.of("skipped")} <= {"see indexes.required"}


def test_an_index_is_another(manager: JobManager, jobs: Jobs) -> None:
    jobs.drop_index("jobpool_expire")
    jobs.create_index("expire_at", name="jobpool_expire", expireAfterSeconds=60)
    found = only(manager.check(), "indexes.required", "problem")
    assert re.search(r"has expireAfterSeconds: 60, where jobpool needs", found.text)
    assert "dropIndex" in (found.remedy or "")


def test_an_index_is_hidden(manager: JobManager, jobs: Jobs) -> None:
    jobs.database.command("collMod", "jobs", index={"name": "jobpool_expire", "hidden": True})
    assert "hidden" in only(manager.check(), "indexes.required", "problem").text


@contextmanager
def failpoint(client: MongoClient[Any], name: str) -> Iterator[None]:
    client.admin.command("configureFailPoint", name, mode="alwaysOn")
    try:
        yield
    finally:
        client.admin.command("configureFailPoint", name, mode="off")


def test_an_index_is_being_built(manager: JobManager, jobs: Jobs, client: MongoClient[Any]) -> None:
    (model,) = (one for one in INDEXES if one.document["name"] == "jobpool_expire")
    jobs.insert_one(job("1"))
    jobs.drop_index("jobpool_expire")
    with failpoint(client, "hangAfterStartingIndexBuild"):
        builder = threading.Thread(target=jobs.create_indexes, args=([model],))
        builder.start()
        until(lambda: "is being built" in "".join(one.text for one in manager.check(only=["indexes"]).problems))
        only(manager.check(), "indexes.required", "problem")
    builder.join()
    assert bad(manager.check()) == []


def test_pools_have_limits_and_their_indexes_are_missing(manager: JobManager, jobs: Jobs) -> None:
    limit = {"type": "a", "limit": {"running": 1, "rate": None, "per": 1.0, "burst": None}, "key_limit": None}
    jobs.database["jobs.pools"].replace_one({"_id": "p1"}, pool(limits=[limit]))
    checkup = manager.check()
    assert bad(checkup) == [("indexes.limits", "problem")] * len(LIMIT_INDEXES)
    manager.ensure_indexes(limits=True)
    assert bad(manager.check()) == []


@pytest.mark.parametrize(
    ("keys", "options", "level", "part"),
    [
        pytest.param("data.order", {"unique": True}, "problem", "unique", id="unique"),
        pytest.param("created_at", {"expireAfterSeconds": 9}, "problem", "not ended", id="ttl"),
        pytest.param("finished_at", {"expireAfterSeconds": 9}, "warning", "ended jobs", id="ttl of ended ones"),
        pytest.param(CLAIM_KEYS, {}, "warning", "jobpool_claim", id="twin"),
        pytest.param("data.order", {}, "warning", "pays for it", id="plain"),
    ],
)
def test_an_index_of_others(
    manager: JobManager, jobs: Jobs, keys: Any, options: dict[str, Any], level: str, part: str
) -> None:
    jobs.create_index(keys, name="theirs", **options)
    found = only(manager.check(), "indexes.others", level)
    assert part in found.text
    assert found.facts["index"] == "theirs"


# --- plans and clocks -------------------------------------------------------------------


def test_many_priorities_of_later_jobs_make_claims_slow(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many([job(f"{n}", priority=n, run_at=now(9999)) for n in range(3000)])
    found = only(manager.check(), "plans.claim", "warning")
    assert found.facts["keys"] >= 3000
    assert found.facts["returned"] == 0


def test_a_list_among_the_keys_has_claims_sort(manager: JobManager, jobs: Jobs) -> None:
    """For good: that is how MongoDB keeps such an index."""
    jobs.insert_many([job("1", run_at=[now(), 7]), job("2")])
    faults = [("documents.pending", "problem"), ("plans.claim", "problem")]
    assert bad(manager.check()) == faults
    jobs.delete_one({"_id": "1"})
    found = only(manager.check(), "plans.claim", "problem")
    assert found.text == "the look for due jobs sorts"
    assert 'dropIndex("jobpool_claim")' in (found.remedy or "")
    jobs.drop_index("jobpool_claim")
    manager.ensure_indexes()
    assert bad(manager.check()) == []


def test_many_schedules_without_their_index(manager: JobManager, jobs: Jobs) -> None:
    manager.schedule("first", timedelta(hours=1), "a")
    schedules = jobs.database["jobs.schedules"]
    schedules.drop_indexes()
    first = schedules.find_one() or {}
    schedules.insert_many([{**first, "_id": f"{n}"} for n in range(1100)])
    assert only(manager.check(), "plans.schedules", "warning").facts["documents"] == 1101


def test_many_later_jobs_of_a_key_make_claims_slow(make_manager: MakeManager, jobs: Jobs) -> None:
    manager = make_manager(executors={"k": Executor(print, key="k", key_limit=Limit(running=1))})
    manager.ensure_indexes(limits=True)
    jobs.database["jobs.pools"].insert_one(pool("p1", "k", "a"))
    jobs.insert_many([job(f"due{n}", type="k", key=f"{n}") for n in range(50)])
    (found,) = manager.check(only=["plans.keys"]).findings
    assert (found.level, found.facts["indexes"], found.facts["returned"]) == ("ok", ["jobpool_key"], 50)
    jobs.insert_many([job(f"{n}", type="k", key="0", priority=n, run_at=now(9999)) for n in range(3000)])
    jobs.delete_one({"_id": "due0"})
    faults = [("plans.claim", "warning"), ("plans.keys", "warning")]
    assert bad(manager.check()) == faults


SOON = now(9999)
MANY = 1200
#: By check: its index, what that has to hold, and a job that it holds and that is not looked for.
READS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "reap": ("jobpool_lease", "lease_until", {"state": "running", "lease_until": SOON}),
    "results": ("jobpool_result", "result_until", {"state": "succeeded", "result_until": SOON}),
    "ended": ("jobpool_followed", "followed", {"followed": ObjectId()}),
    "links": ("jobpool_waiting", "linking", {"state": "waiting", "linking": SOON}),
}


@pytest.mark.parametrize("check", READS)
def test_a_read_looks_at_far_more_than_it_finds(manager: JobManager, jobs: Jobs, check: str) -> None:
    """Its index has other keys."""
    name, field, fields = READS[check]
    (model,) = (one.document for one in INDEXES if one.document["name"] == name)
    jobs.drop_index(name)
    jobs.create_index(
        [("priority", 1), (field, 1)], name=name, partialFilterExpression=model["partialFilterExpression"]
    )
    jobs.insert_many([job(f"{n}", **fields) for n in range(MANY)])
    checkup = manager.check(only=["plans", "indexes.required"])
    assert bad(checkup) == [("indexes.required", "problem"), (f"plans.{check}", "warning")]
    (found,) = checkup.warnings
    assert (found.facts["indexes"], found.facts["keys"], found.facts["returned"]) == ([name], MANY, 0)


@pytest.mark.parametrize("check", READS)
@pytest.mark.parametrize("how", ["dropped", "hidden"])
def test_a_read_has_no_index(manager: JobManager, jobs: Jobs, check: str, how: str) -> None:
    """It is not made: it would read everything."""
    name = READS[check][0]
    if how == "dropped":
        jobs.drop_index(name)
    else:
        jobs.database.command("collMod", "jobs", index={"name": name, "hidden": True})
    checkup = manager.check(only=["plans", "indexes.required"])
    assert bad(checkup) == [("indexes.required", "problem"), (f"plans.{check}", "skipped")]
    (found,) = checkup.of("skipped")
    assert (found.text, found.remedy) == (
        f"it goes by the index {name}, which cannot be used",
        "see indexes.required",
    )


@pytest.mark.parametrize(
    ("read", "how"),
    [
        (lambda jobs: jobs.find({"priority": 1}), "reads the whole collection"),
        (lambda jobs: jobs.find({"lease_until": {"$gt": SOON}}).hint("jobpool_lease").sort("type"), "sorts"),
        (lambda jobs: jobs.find().hint("_id_"), "goes by another index"),
    ],
    ids=["scan", "sort", "other"],
)
def test_a_read_is_made_in_another_way(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch, read: Callable[[Jobs], object], how: str
) -> None:
    monkeypatch.setattr(plans, "expired", read)
    assert only(manager.check(), "plans.reap", "problem").text == f"the look for expired leases {how}"


@pytest.mark.parametrize(("seconds", "word"), [(60, "ahead of"), (-60, "behind")])
def test_this_machine_has_another_time(
    manager: JobManager, monkeypatch: pytest.MonkeyPatch, seconds: int, word: str
) -> None:
    monkeypatch.setattr(examining, "this_machine", lambda: now(seconds))
    assert word in only(manager.check(), "clocks.here", "warning").text


def test_a_secondary_has_another_time(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(_: object) -> tuple[str, float]:
        return "b:27017", -70.0

    monkeypatch.setattr(clocks, "_offset_of_one", answer)
    monkeypatch.setattr(clocks, "_others", lambda _: 1)
    assert "b:27017 by -70 s" in only(manager.check(), "clocks.members", "problem").text


def test_a_lease_is_longer_than_leases_are(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_one(held("1", lease_until=now(9 * 86400)))
    assert only(manager.check(), "clocks.leases", "problem").facts["jobs"] == ["1"]


def test_a_pool_has_spoken_in_the_future(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].insert_one(pool("p2", seen_at=now(600), fresh_until=now(900)))
    assert only(manager.check(), "clocks.pools", "warning").facts["pool"] == "p2"
