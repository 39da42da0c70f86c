"""Data and results come back as they were, whatever is in them, and nothing in them is evaluated."""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from bson import Binary, DBRef
from hypothesis import HealthCheck, given, settings
from pymongo import MongoClient

from jobpool import Backoff, Executor, JobManager, State, WorkerPool, job_id
from jobpool.data import MAX_DEPTH, canonical
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import InvalidJob
from jobpool.job import Claim
from jobpool.store.claiming import Request

from ..conftest import Jobs
from ..unit.storable import DATA, round_trip
from ..waiting import PATIENCE, until

#: What MongoDB would do something with, where it evaluates values.
LIVE: dict[str, Any] = {
    "field": "$secret",
    "now": "$$NOW",
    "root": "$$ROOT",
    "literal": {"$literal": "$secret"},
    "function": {"$function": {"body": "function() { return 1 }", "args": [], "lang": "js"}},
    "where": {"$where": "sleep(100)"},
    "expression": {"$add": [1, 2]},
    "set": {"$set": {"state": "succeeded"}},
    "unset": {"$unset": {"claim": ""}},
    "remove": "$$REMOVE",
    "each": {"$each": [1], "$slice": 0},
    "dotted": {"a.b": {"c.d": 1}, "": 2, ".": 3, "$": 4, "$.": 5},
    "current date": {"$currentDate": {"x": True}},
    "reference": {"$ref": "jobs", "$id": 1},
    "reference with more": {
        "x": [{"$ref": "jobs", "$id": {"$ref": "y", "$id": None}, "$db": "admin", "$more": 1}]
    },
    "half a reference": {"$ref": "#/definitions/x"},
    "id": {"_id": 1, "$oid": "0" * 24, "$date": 0},
    "claim": {"claim": "x", "state": "pending", "lease_until": None},
}
NAMES = ("$secret", "$$NOW", "$type", "a.b", "$literal", "{$ne: 1}", "%s", "{0}", "../x")
numbers = itertools.count()


def kinds(data: Any) -> Any:
    """Return `data` with the type of every value beside it: 1, 1.0 and True are equal."""
    if isinstance(data, dict):
        return {key: kinds(item) for key, item in data.items()}
    if isinstance(data, list):
        return [kinds(item) for item in data]
    return type(data), repr(data) if isinstance(data, float) else data  # -0.0 == 0.0


@pytest.fixture(scope="module")
def lasting(server: EmbeddedMongo, client: MongoClient[dict[str, Any]]) -> Iterator[JobManager]:
    """One manager for all: a database per test would take longer than the tests."""
    with JobManager(f"test_{uuid.uuid4().hex[:12]}", uri=server.uri) as manager:
        manager.ensure_indexes()
        yield manager
        client.drop_database(manager.store.name.partition(".")[0])


@pytest.fixture
def jobs(lasting: JobManager, client: MongoClient[dict[str, Any]]) -> Iterator[Jobs]:
    jobs = client[lasting.store.name.partition(".")[0]]["jobs"]
    yield jobs
    jobs.delete_many({})


@pytest.fixture
def manager(lasting: JobManager, jobs: Jobs) -> JobManager:
    def fail(data: Any) -> None:
        raise ValueError(data)

    retried = Executor(fail, max_attempts=2, backoff=Backoff(base=0))
    lasting.executors._by_type.clear()
    lasting.executors.register("echo", lambda data: data)
    lasting.executors.register("fail", fail)
    lasting.executors.register("retry", retried)
    return lasting


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=DATA)
def test_data_come_back_identical_from_create_to_result(manager: JobManager, data: Any) -> None:
    """Through the create, the executor, the result and the reads (I8)."""
    seen = []

    def echo(data: Any) -> Any:
        seen.append(kinds(data))
        return data

    manager.executors._by_type["echo"] = Executor(echo)
    job = manager.create("echo", data, id=f"{next(numbers)}")
    done = manager.run("echo")
    expected = kinds(round_trip(data))
    assert done is not None
    assert (done.id, done.state) == (job.id, "succeeded")
    assert seen == [expected]
    assert kinds(done.data) == kinds(done.result) == kinds(manager.get(job.id).data) == expected
    assert job_id("echo", done.result) == job_id("echo", data)


@pytest.mark.parametrize("value", LIVE)
def test_a_live_value_is_dead_on_every_path(manager: JobManager, jobs: Jobs, value: str) -> None:
    """Created, revived, run, finished, made an error and a retry: stored as it is."""
    live = LIVE[value]
    job = manager.create("echo", live)
    assert not manager.create("echo", live).created
    manager.cancel(job.id)
    manager.create("echo", live, on_duplicate="revive")
    done = manager.run("echo")
    assert done is not None
    assert kinds(done.data) == kinds(done.result) == kinds(live)
    assert canonical(done.result) == canonical(live)

    id = manager.create("retry", live).id
    assert manager.run_all("retry") == 2
    failed = manager.get(id)
    assert [error.message for error in failed.errors] == [str(live)] * 2
    assert kinds(failed.data) == kinds(live)


def test_live_values_are_dead_in_a_pool_with_a_live_name(manager: JobManager) -> None:
    with WorkerPool(manager, ["echo", "retry"], name="$$NOW", threads=2):
        ids = {
            name: (manager.create("echo", live).id, manager.create("retry", live).id)
            for name, live in LIVE.items()
        }
        for name, (echoed, retried) in ids.items():
            done, failed = manager.wait(echoed, PATIENCE), manager.wait(retried, PATIENCE)
            assert kinds(done.result) == kinds(done.data) == kinds(failed.data) == kinds(LIVE[name])
            assert [error.message for error in failed.errors] == [str(LIVE[name])] * 2
            assert done.pool == failed.pool == "$$NOW"


@pytest.mark.parametrize("name", NAMES)
def test_a_live_name_is_dead_in_a_claim_and_in_the_reapers_words(
    manager: JobManager, jobs: Jobs, name: str
) -> None:
    manager.create(name, "$secret", id=name)
    store = manager.store
    store.ready()
    for strategy in ("single", "batch", "window"):
        claimed = store.strategy(strategy).claim(Request((name,), 1, name, 30))
        assert [job["_id"] for job in claimed.documents] == [name]
        stored = jobs.find_one({"_id": name})
        assert stored is not None
        assert (stored["pool"], stored["type"], stored["data"]) == (name, name, "$secret")
        store.transitions.release([Claim(name, claimed.token, claimed.documents[0]["fence"])])
    store.strategy("single").claim(Request((name,), 1, name, 30))
    jobs.update_one({"_id": name}, [{"$set": {"state": "running", "attempts": 1, "max_attempts": 1}}])
    jobs.update_one({"_id": name}, [{"$set": {"lease_until": {"$subtract": ["$$NOW", 1000]}}}])
    assert [(item.type, item.result) for item in store.reaping.reap()] == [(name, "failed")]
    error = manager.get(name).error
    assert error is not None
    assert error.message == f"pool {name} let the lease expire while running attempt 1"


@pytest.mark.parametrize("pool", [5, {"$x": 1}, None, ["a"], "missing"])
def test_what_somebody_else_wrote_keeps_no_job_from_being_reaped(
    manager: JobManager, jobs: Jobs, pool: Any
) -> None:
    manager.create("echo", 1, id="odd")
    manager.create("echo", 1, id="fine")
    lost = {"state": "running", "attempts": 1, "max_attempts": 1, "pool": "p"}
    past = [{"$set": {**lost, "lease_until": {"$subtract": ["$$NOW", 1000]}}}]
    jobs.update_many({}, past)
    change = {"$unset": {"pool": ""}} if pool == "missing" else {"$set": {"pool": pool}}
    jobs.update_one({"_id": "odd"}, {**change})
    jobs.update_one({"_id": "odd"}, {"$set": {"type": {"not": "a name"}}})
    assert sum(item.jobs for item in manager.store.reaping.reap()) == 2
    assert jobs.count_documents({"state": "failed", "error.type": "WorkerLost"}) == 2


def test_the_deepest_data_go_all_the_way(manager: JobManager) -> None:
    deep: Any = "bottom"
    for _ in range(MAX_DEPTH // 2):
        deep = {"$x": [deep]}
    with WorkerPool(manager, ["echo"], threads=1):
        done = manager.wait(manager.create("echo", deep).id, PATIENCE)
    assert done.result == done.data == deep
    with pytest.raises(InvalidJob, match="nested deeper"):
        manager.create("echo", [deep])


@pytest.mark.parametrize(
    "value",
    [Binary(b"short", 4), Binary(b"x" * 17, 4), Binary(b"", 4), Binary(b"x", 3), DBRef("a", 1)],
    ids=lambda value: f"{type(value).__name__} {value!r:.40}",
)
def test_what_could_be_stored_but_not_read_is_refused(manager: JobManager, jobs: Jobs, value: Any) -> None:
    """Or one such job would keep all others of its batch from running."""
    with pytest.raises(InvalidJob):
        manager.create("echo", {"v": value})
    assert jobs.count_documents({}) == 0
    manager.executors.register("poison", Executor(lambda data: value))
    manager.create("poison")
    done = manager.run("poison")
    assert done is not None
    assert (done.state, done.error and done.error.type) == (State.FAILED, "InvalidJob")


def test_a_result_that_cannot_be_stored_fails_its_job_only(manager: JobManager) -> None:
    odd = [math.nan, math.inf, 2**63, {1}, {1: 1}, "\ud800", print, object()]
    manager.executors.register("odd", lambda place: {"in": [odd[place]]})
    failing = [manager.create("odd", place).id for place in range(len(odd))]
    others = [manager.create("echo", n).id for n in range(50)]
    with WorkerPool(manager, threads=2):
        until(lambda: manager.count(ids=others, state="succeeded") == len(others))
        until(lambda: manager.count(ids=failing, state="failed") == len(odd))
    for job in manager.find(type="odd"):
        assert job.error is not None
        assert job.error.type == "InvalidJob"
        assert job.error.message.startswith("result")
