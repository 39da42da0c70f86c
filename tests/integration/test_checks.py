"""Each check finds exactly the fault that it is for."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from jobpool import AsyncJobManager, Executor, JobManager, Limit
from jobpool.checkup import Checkup, Finding
from jobpool.embedded import EmbeddedMongo
from jobpool.store.checks import clocks, examining, plans, topology
from jobpool.store.checks.check import Check
from jobpool.store.checks.registry import CHECKS
from jobpool.store.documents import SCHEMA
from jobpool.store.followers import chunks
from jobpool.store.indexes import CLAIM_KEYS, INDEXES, LIMIT_INDEXES

from ..checking import bad, held, job, now, pool, waiting
from ..conftest import Jobs, MakeManager
from ..waiting import until

MIB = 1024**2
NAMES = [model.document["name"] for model in INDEXES]


@pytest.fixture
def manager(make_manager: MakeManager, jobs: Jobs) -> JobManager:
    """A manager of a deployment with indexes, one pool that lives, and no fault."""
    manager = make_manager()
    manager.ensure_indexes()
    jobs.database["jobs.pools"].insert_one(pool())
    return manager


def only(checkup: Checkup, check: str, level: str) -> Finding:
    """Return the one finding that is not well, which has to be this."""
    assert bad(checkup) == [(check, level)]
    (found,) = (one for one in checkup.of(level) if one.check == check)
    assert found.text
    assert found.remedy
    return found


def test_a_deployment_without_a_fault_has_none(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many([job("1"), held("2"), job("3"), waiting("4", "3")])
    checkup = manager.check()
    assert bad(checkup) == []
    assert checkup.well()
    assert not checkup.well(strict=True)  # there is one server
    assert checkup.checks == len({one.check for one in checkup.findings})
    assert checkup.collection == jobs.full_name


# --- versions and servers -----------------------------------------------------------------


def test_a_newer_schema_is_required(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.settings"].insert_one({"_id": "schema", "required": SCHEMA + 1})
    found = only(manager.check(), "versions.schema", "problem")
    assert f"schema {SCHEMA + 1}" in found.text


def test_pools_of_another_version(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].insert_one(pool("p2", version="0.0.1"))
    assert "0.0.1" in only(manager.check(), "versions.pools", "warning").facts["versions"]


def test_a_standalone_server_in_memory_that_was_not_upgraded(database: str) -> None:
    arguments = ["--storageEngine", "ephemeralForTest"]
    with EmbeddedMongo(replicated=False, arguments=arguments) as server, MongoClient[Any](server.uri) as client:
        client.admin.command("setFeatureCompatibilityVersion", "5.0")
        client[database].create_collection("jobs")
        with JobManager(database, uri=server.uri) as manager:
            checkup = manager.check(only=["server", "topology"])
    skipped = [
        (f"topology.{what}", "skipped") for what in ("lag", "majority", "members", "reachable", "write_concern")
    ]
    faults = [("server.compatibility", "warning"), ("server.storage", "problem"), ("topology.kind", "warning")]
    assert bad(checkup) == sorted([*faults, *skipped])


def test_a_member_that_does_not_answer(database: str) -> None:
    """One without a vote, so that the others go on."""
    with EmbeddedMongo() as server, MongoClient[Any](server.uri) as client:
        config = client.admin.command("replSetGetConfig")["config"]
        config["members"].append({"_id": 1, "host": "127.0.0.1:9", "votes": 0, "priority": 0})
        config["version"] += 1
        config["settings"] |= {"heartbeatIntervalMillis": 200, "heartbeatTimeoutSecs": 1}
        client.admin.command("replSetReconfig", config, force=True)
        with JobManager(database, uri=server.uri) as manager:
            until(lambda: manager.check(only=["topology.members"]).problems)
            found = only(manager.check(only=["topology"]), "topology.members", "problem")
        del config["members"][1]
        config["version"] += 1_000_000  # a forced one moves it on by chance
        client.admin.command("replSetReconfig", config, force=True)  # or the server waits for it at its end
    assert found.facts["member"] == "127.0.0.1:9"


def test_a_member_that_this_machine_does_not_reach(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others do, by their word."""

    class Silent:
        server_type_name = "Unknown"
        address = ("far.example", 27017)

    class Described:
        topology_type_name = "ReplicaSetWithPrimary"

        def server_descriptions(self) -> dict[Any, Any]:
            return {Silent.address: Silent()}

    manager.check(only=["topology.kind"])
    monkeypatch.setattr(topology, "REACHED_WITHIN", 0.0)
    monkeypatch.setattr(topology, "described", lambda _: Described())
    found = only(manager.check(only=["topology"]), "topology.reachable", "warning")
    assert found.facts["members"] == ["far.example:27017"]


# --- the collection -----------------------------------------------------------------------


def test_there_is_no_collection(make_manager: MakeManager, database: str, client: MongoClient[Any]) -> None:
    checkup = make_manager(database, collection="jbos").check()
    assert [(one.check, one.level) for one in checkup.problems] == [("collection.exists", "problem")]
    assert {one.text for one in checkup.of("skipped")} == {"there is no such collection"}
    assert client[database].list_collection_names() == []


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("capped", {"capped": True, "size": MIB}),
        ("view", {"viewOn": "others"}),
        ("timeseries", {"timeseries": {"timeField": "created_at"}}),
    ],
)
def test_jobs_cannot_live_in(make_manager: MakeManager, jobs: Jobs, what: str, options: dict[str, Any]) -> None:
    jobs.database.create_collection("jobs", **options)
    checkup = make_manager().check()
    (found,) = (one for one in checkup.problems if one.check == "collection.kind")
    assert found.facts["kind"] == what
    assert not [one for one in checkup.warnings if "failed itself" in one.text]


def test_a_validator_may_refuse_jobs(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_one(job("1"))
    change = jobs.database.command
    change("collMod", "jobs", validator={"type": {"$type": "string"}})
    only(manager.check(), "collection.validator", "warning")
    change("collMod", "jobs", validator={"data": {"$type": "string"}})
    only(manager.check(), "collection.validator", "problem")
    change("collMod", "jobs", validator={"data": {"$type": "string"}}, validationAction="warn")
    assert bad(manager.check()) == []


def test_of_many_pending_jobs_a_validator_is_tried_on_some(
    manager: JobManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobpool.store.checks.collection.MOST_PENDING", 10)
    jobs.insert_many([job(f"{n:02}", data=n, run_at=now(n - 100)) for n in range(20)])
    jobs.database.command("collMod", "jobs", validator={"data": {"$lt": 10}})
    only(manager.check(only=["collection"]), "collection.validator", "warning")


def test_a_collation_makes_ids_alike(make_manager: MakeManager, jobs: Jobs) -> None:
    jobs.database.create_collection("jobs", collation={"locale": "en", "strength": 2})
    manager = make_manager()
    manager.ensure_indexes()
    assert "taken for one" in only(manager.check(), "collection.collation", "warning").text


# --- indexes ------------------------------------------------------------------------------


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


# --- plans and clocks ---------------------------------------------------------------------


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


# --- documents ----------------------------------------------------------------------------


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
        ("state", job("1", state="paused"), "problem"),
        ("type", job("1", state="waiting", type=7), "problem"),
        ("created_at", job("1", without=["created_at"]), "problem"),
        ("attempts", job("1", attempts=None), "problem"),
        ("fence", job("1", without=["fence"]), "problem"),
        ("data", job("1", without=["data"]), "problem"),
        ("unheld", job("1", state="running", claim="x"), "problem"),
        ("unheld", held("1", without=["claim"]), "problem"),
        ("finished_at", job("1", state="failed"), "warning"),
        ("schema", job("1", schema=SCHEMA + 1), "warning"),
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
    manager: JobManager, jobs: Jobs, what: str, document: dict[str, Any], level: str
) -> None:
    jobs.insert_one(document)
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


# --- what sticks --------------------------------------------------------------------------


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


# --- waiting ------------------------------------------------------------------------------


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


# --- pools --------------------------------------------------------------------------------


def test_jobs_are_due_and_no_pool_is_alive(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].delete_many({})
    jobs.insert_one(job("1", run_at=now(600)))
    assert bad(manager.check()) == []
    jobs.insert_one(job("2", run_at=now(-1)))
    only(manager.check(), "pools.alive", "problem")


def test_a_pool_died(manager: JobManager, jobs: Jobs) -> None:
    pools = jobs.database["jobs.pools"]
    pools.insert_one(pool("p2", seen_at=now(-99), fresh_until=now(-60)))
    pools.insert_one(pool("p3", seen_at=now(-9999), fresh_until=now(-9000)))
    assert only(manager.check(), "pools.dead", "warning").facts["pool"] == "p2"
    pools.insert_many([pool(f"{n}", seen_at=now(-99), fresh_until=now(-50 + n)) for n in range(10)])
    assert bad(manager.check()) == [("pools.dead", "warning")] * 6
    assert manager.check().warnings[-6].facts["pool"] == "9"  # the last one first
    assert "6 pools more" in manager.check().warnings[-1].text


def test_a_pool_is_silent(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].insert_one(pool("p2", seen_at=now(-900), fresh_until=now(900)))
    assert only(manager.check(), "pools.silent", "warning").facts["pool"] == "p2"


def test_every_pool_drains(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].insert_one(pool("p2", state="draining"))
    assert bad(manager.check()) == []
    jobs.database["jobs.pools"].replace_one({"_id": "p1"}, pool(state="draining"))
    only(manager.check(), "pools.draining", "warning")


def test_a_document_is_no_pools(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.pools"].insert_one({"_id": {"x": 1}, "types": 7, "aliases": {}, "limits": "none"})
    assert only(manager.check(), "pools.words", "warning").facts["count"] == 1


# --- limits, schedules, settings ----------------------------------------------------------


def test_pools_heed_different_limits(make_manager: MakeManager, jobs: Jobs) -> None:
    """Real pools, one of which has the type under another name."""
    first = make_manager(executors={"a": Executor(print, limit=Limit(running=2))})
    second = make_manager(executors={"a": Executor(print, limit=Limit(running=3), aliases=("b",))})
    first.ensure_indexes(limits=True)
    first.start_watch()
    until(lambda: len(first.pools()) == 1)
    assert bad(first.check()) == []
    second.start_watch()
    until(lambda: len(first.pools()) == 2)
    found = only(first.check(), "limits.differ", "warning")
    assert sorted(found.facts["limits"]) == ["running=2", "running=3"]


def test_a_gate_is_shut_for_long(manager: JobManager, jobs: Jobs) -> None:
    gate = {"_id": {"type": "a", "key": "k"}, "token": "x", "forget_at": now(86400)}
    jobs.database["jobs.gates"].insert_one({**gate, "locked_until": now(900)})
    assert "type 'a' and key 'k'" in only(manager.check(), "limits.locks", "problem").text
    jobs.database["jobs.gates"].replace_one({}, {**gate, "locked_until": now(5)})
    assert bad(manager.check()) == []


def test_gates_are_left_over(manager: JobManager, jobs: Jobs) -> None:
    old = {"locked_until": now(-9e5), "forget_at": now(-4e5)}
    gates: list[dict[str, Any]] = [{"_id": {"type": "gone", "key": None}, "token": "dead", **old}, {"_id": 7}]
    jobs.database["jobs.gates"].insert_many(gates)
    assert only(manager.check(), "limits.gates", "warning").facts["count"] == 2


@pytest.mark.parametrize(
    ("change", "level"),
    [
        pytest.param({"last": 7}, "problem", id="no schedule"),
        pytest.param({"every": None, "cron": "61 * * * *"}, "problem", id="no expression"),
        pytest.param({"every": None, "cron": "1 * * * *", "tz": "Mars/Olympus"}, "warning", id="no zone"),
        pytest.param({"every": "often"}, "problem", id="no interval"),
        pytest.param({"anchor": "then"}, "problem", id="no anchor"),
    ],
)
def test_a_schedule_is_broken(manager: JobManager, jobs: Jobs, change: dict[str, Any], level: str) -> None:
    manager.schedule("nightly", timedelta(hours=1), "a")
    manager.schedule("good", timedelta(hours=1), "a")
    jobs.database["jobs.schedules"].update_one({"_id": "nightly"}, {"$set": change})
    assert only(manager.check(), "schedules.readable", level).facts["schedule"] == "nightly"


def test_what_is_no_schedule_has_to_be_deleted_by_hand(manager: JobManager, jobs: Jobs) -> None:
    jobs.database["jobs.schedules"].insert_one({"_id": {"x": 1}, "next_at": now(9999)})
    found = only(manager.check(), "schedules.readable", "problem")
    assert "delete it from 'jobs.schedules'" in (found.remedy or "")


def test_a_schedule_is_not_fired(manager: JobManager, jobs: Jobs) -> None:
    manager.schedule("nightly", timedelta(hours=1), "a")
    jobs.database["jobs.schedules"].update_one({}, {"$set": {"next_at": now(-900)}})
    assert only(manager.check(), "schedules.overdue", "problem").facts["schedule"] == "nightly"
    manager.schedules.pause("nightly")
    assert bad(manager.check()) == []


def test_nobody_runs_what_a_schedule_makes(manager: JobManager) -> None:
    manager.schedule("nightly", timedelta(hours=1), "b")
    assert only(manager.check(), "schedules.types", "warning").facts == {"schedule": "nightly", "type": "b"}


def test_a_type_is_paused_that_nobody_knows(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many(
        [job("1", type="b"), waiting("2", "1", type="c"), job("3", type="d", state="failed", finished_at=now())]
    )
    manager.pause("a", "b", "c", "d", "Mail", reason="typing error")
    found = only(manager.check(), "settings.pauses", "warning")
    assert (found.facts["type"], found.facts["reason"]) == ("Mail", "typing error")


@pytest.mark.parametrize(
    "document",
    [{"_id": "speed", "limit": 7}, {"_id": "pause", "types": "all"}, {"_id": "pause", "types": [{"type": 7}]}],
    ids=["unknown", "no list", "no type"],
)
def test_settings_that_are_not_known(manager: JobManager, jobs: Jobs, document: dict[str, Any]) -> None:
    jobs.database["jobs.settings"].insert_one(document)
    only(manager.check(), "settings.documents", "warning")


# --- the looking itself -------------------------------------------------------------------


def test_a_check_that_fails_stops_no_other(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: object) -> list[Finding]:
        raise ZeroDivisionError("by itself")

    checks = [Check(one.name, broken) if one.name == "jobs.due" else one for one in CHECKS]
    monkeypatch.setattr(examining, "CHECKS", tuple(checks))
    found = only(manager.check(), "jobs.due", "warning")
    assert found.text == "this check failed itself: ZeroDivisionError: by itself"


def test_a_check_that_takes_too_long_is_skipped(manager: JobManager, jobs: Jobs, client: MongoClient[Any]) -> None:
    """Its time is bounded on the server, and it stops no other."""
    jobs.insert_one(job("1"))
    slow: dict[str, Any] = {
        "mode": "alwaysOn",
        "data": {"failCommands": ["aggregate"], "blockConnection": True, "blockTimeMS": 1500},
    }
    client.admin.command("configureFailPoint", "failCommand", **slow)
    try:
        checkup = manager.check(only=["documents", "clocks"], timeout=1.0)
    finally:
        client.admin.command("configureFailPoint", "failCommand", mode="off")
    assert {name for name, level in bad(checkup) if level == "skipped"} >= {"documents.pending", "documents.shape"}
    assert {one.text for one in checkup.of("skipped")} == {"it was not done within 1 s"}
    assert bad(manager.check(only=["documents", "clocks"])) == []


@pytest.mark.parametrize("choice", [{"only": ["jobs.due"]}, {"only": ["jobs"], "skip": ["jobs.leases"]}])
def test_checks_are_chosen(manager: JobManager, choice: dict[str, Any]) -> None:
    names = [one.check for one in manager.check(**choice).findings]
    assert "jobs.due" in names
    assert "jobs.leases" not in names
    assert {name.partition(".")[0] for name in names} == {"jobs"}


def test_nothing_is_created_or_written(
    make_manager: MakeManager, database: str, client: MongoClient[Any], jobs: Jobs
) -> None:
    """By the oplog, which has every write of the server."""
    jobs.insert_many(
        [job("1"), held("2", lease_until=now(-300)), waiting("3", "9", linking=now(-300)), job("4", type=7)]
    )
    before = client[database].list_collection_names()
    oplog = client["local"]["oplog.rs"]
    last = next(iter(oplog.find().sort("$natural", -1).limit(1)))["ts"]
    make_manager(executors={"a": Executor(print, limit=Limit(running=1))}).check()
    namespace = re.compile(rf"^{database}\b")
    assert list(oplog.find({"ts": {"$gt": last}, "ns": namespace})) == []
    assert client[database].list_collection_names() == before
    assert list(jobs.index_information()) == ["_id_"]


def test_a_busy_deployment_has_no_fault(busy: JobManager) -> None:
    """With 100,000 jobs, while pools run them, their limits, their schedules, and jobs that wait."""
    for _ in range(5):
        checkup = busy.check()
        assert bad(checkup) == []


@pytest.fixture(scope="module")
def busy(server: EmbeddedMongo, client: MongoClient[Any]) -> Iterator[JobManager]:
    executors = {
        "plain": Executor(lambda data: data, max_attempts=3, backoff=0),
        "limited": Executor(lambda data: data, limit=Limit(rate=200), key_limit=Limit(running=2), key="k"),
        "after": Executor(lambda data: data),
    }
    name = "checks_busy"
    with JobManager(name, uri=server.uri, executors=executors) as manager:
        manager.ensure_indexes(limits=True)
        manager.create_many({"type": "plain", "data": n} for n in range(100_000))
        manager.create_many({"type": "limited", "data": {"k": n % 9}} for n in range(1000))
        first = manager.create("plain", -1).id
        manager.create_many({"type": "after", "data": n, "after": [first]} for n in range(50))
        manager.schedule("often", timedelta(seconds=1), "after")
        manager.start_watch(threads=4, lease=5)
        until(lambda: manager.pools() and manager.find(state="succeeded", limit=1))
        yield manager
    client.drop_database(name)


async def _checked(uri: str, database: str) -> Checkup:
    async with AsyncJobManager(database, uri=uri) as manager:
        return await manager.check()


def test_an_event_loop_finds_the_same(manager: JobManager, jobs: Jobs, server: EmbeddedMongo) -> None:
    jobs.insert_many([job("1", type=7), held("2", lease_until=now(-300)), job("3")])
    here = manager.check()
    there = asyncio.run(_checked(server.uri, jobs.database.name))
    assert bad(there) == [("documents.pending", "problem"), ("jobs.leases", "problem")]
    assert [(one.check, one.level) for one in here.findings] == [(one.check, one.level) for one in there.findings]
