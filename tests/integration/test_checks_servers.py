"""The checks of servers, versions and the collection: each finds exactly the fault that it is for."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager
from jobpool.embedded import EmbeddedMongo
from jobpool.store.checks import topology
from jobpool.store.documents import SCHEMA

from ..checking import bad, deployment, job, now, only, pool
from ..conftest import Jobs, MakeManager
from ..waiting import until

MIB = 1024**2


@pytest.fixture
def manager(make_manager: MakeManager, jobs: Jobs) -> JobManager:
    """A manager of a deployment with indexes, one pool that lives, and no fault."""
    return deployment(make_manager, jobs)


# --- versions and servers ---------------------------------------------------------------


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


# --- the collection ---------------------------------------------------------------------


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
