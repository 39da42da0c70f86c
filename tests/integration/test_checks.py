"""The looking itself, and deployments without a fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import AsyncJobManager, Executor, JobManager, Limit
from jobpool.checkup import Checkup, Finding
from jobpool.embedded import EmbeddedMongo
from jobpool.store.checks import examining
from jobpool.store.checks.check import Check
from jobpool.store.checks.registry import CHECKS

from ..awaited import drive
from ..checking import bad, deployment, held, job, now, only, waiting
from ..conftest import Jobs, MakeManager
from ..waiting import until


@pytest.fixture
def manager(make_manager: MakeManager, jobs: Jobs) -> JobManager:
    """A manager of a deployment with indexes, one pool that lives, and no fault."""
    return deployment(make_manager, jobs)


def test_a_deployment_without_a_fault_has_none(manager: JobManager, jobs: Jobs) -> None:
    jobs.insert_many([job("1"), held("2"), job("3"), waiting("4", "3")])
    checkup = manager.check()
    assert bad(checkup) == []
    assert checkup.well()
    assert not checkup.well(strict=True)  # there is one server
    assert checkup.checks == len({one.check for one in checkup.findings})
    assert checkup.collection == jobs.full_name


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
    there = drive(_checked(server.uri, jobs.database.name))
    assert bad(there) == [("documents.pending", "problem"), ("jobs.leases", "problem")]
    assert [(one.check, one.level) for one in here.findings] == [(one.check, one.level) for one in there.findings]
