"""The roles of README: each may do its part of the work, with no right too many."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import Executor, JobManager, Limit, WorkerPool
from jobpool.errors import DuplicateJob, IndexMismatch, StoreRefused, UnsupportedSchema
from jobpool.store.documents import SCHEMA
from jobpool.store.indexes import INDEXES, LIMIT_INDEXES

from ..waiting import PATIENCE, until
from .servers import SecuredMongo

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTION = README.partition("\n### Roles\n")[2].partition("\n## ")[0].partition("\n### ")[0]
(BLOCK,) = re.findall(r"```javascript\n(.*?)```", SECTION, re.DOTALL)
ROLES: dict[str, dict[str, Any]] = {
    role["role"]: role for role in map(json.loads, re.findall(r"db\.createRole\((\{.*?\n\})\)", BLOCK, re.DOTALL))
}
PRODUCER, WORKER, JANITOR = "jobpoolProducer", "jobpoolWorker", "jobpoolJanitor"
MONITOR, INSTALLER = "jobpoolMonitor", "jobpoolInstaller"
FLOW, PLANNER = "jobpoolFlow", "jobpoolPlanner"
#: Roles that are given beside another.
BESIDE = {FLOW: [WORKER]}
PLAIN: dict[str, Any] = {"echo": lambda data: data, "fail": lambda data: 1 / 0}
LIMITED = {"limited": Executor(lambda data: data, limit=Limit(running=2, rate=1000))}
PASSWORD = "a b:c@d/e?f#g%h&i"
#: A collection and an action on it.
Right = tuple[str, str]
Root = MongoClient[dict[str, Any]]


def privileges(name: str, database: str, without: Right = ("", "")) -> list[dict[str, Any]]:
    """Return the privileges of a role as README has them, on the test's database."""
    collection, right = without
    given = json.loads(json.dumps(ROLES[name]["privileges"]))
    for privilege in given:
        privilege["resource"]["db"] = database
        if privilege["resource"]["collection"] == collection:
            privilege["actions"] = [action for action in privilege["actions"] if action != right]
    return [privilege for privilege in given if privilege["actions"]]


class Cast:
    """A database, its roles and their users, and a manager for each."""

    def __init__(self, server: SecuredMongo, root: Root, stack: ExitStack) -> None:
        self.name = f"shop_{uuid.uuid4().hex[:8]}"
        self.root = root[self.name]
        self.jobs = self.root["jobs"]
        self.settings = self.root["jobs.settings"]
        self.server = server
        self._stack = stack
        for name, role in ROLES.items():
            self.root.command("createRole", name, privileges=privileges(name, self.name), roles=role["roles"])
            self.root.command("createUser", f"{name} user", pwd=PASSWORD, roles=[*BESIDE.get(name, []), name])

    def uri(self, role: str, password: str = PASSWORD) -> str:
        return f"{self.server.uri_for(f'{role} user', password)}&authSource={self.name}"

    def manager(self, role: str, executors: dict[str, Any] = PLAIN) -> JobManager:
        """Return a new manager of the user with that role."""
        return self._stack.enter_context(JobManager(self.name, uri=self.uri(role), executors=executors))

    def restrict(self, role: str, without: Right) -> None:
        """Take one right from a role."""
        self.root.command("updateRole", role, privileges=privileges(role, self.name, without))


@pytest.fixture
def cast(auth_server: SecuredMongo, root: Root) -> Iterator[Cast]:
    with ExitStack() as stack:
        cast = Cast(auth_server, root, stack)
        yield cast
        stack.close()
        for drop in ("dropAllUsersFromDatabase", "dropAllRolesFromDatabase"):
            cast.root.command(drop)
        root.drop_database(cast.name)


@pytest.fixture
def installed(cast: Cast) -> Cast:
    """The same with the indexes there."""
    cast.manager(INSTALLER).ensure_indexes()
    return cast


def produce(cast: Cast) -> None:
    manager = cast.manager(PRODUCER)
    made = manager.create("echo", 1)
    assert not manager.create("echo", 1).created
    with pytest.raises(DuplicateJob):
        manager.create("echo", 1, on_duplicate="raise")
    assert manager.create_many([{"type": "echo", "data": n} for n in range(1, 4)]).inserted == 2
    assert manager.get(made.id).state == "pending"
    assert (len(manager.find(type="echo")), manager.count()) == (3, 3)
    _be_bound(cast, PRODUCER)


def _be_bound(cast: Cast, role: str) -> None:
    """Be refused once a newer schema is required; who may not read that creates and claims regardless."""
    cast.settings.insert_one({"_id": "schema", "required": SCHEMA + 1})
    try:
        cast.manager(role).count()
    except UnsupportedSchema:
        return
    raise StoreRefused(f"{role} does not know which schema is required")


def work(cast: Cast) -> None:
    """Run a whole pool, with what a dead one left, until it was woken by push."""
    cast.jobs.insert_many([_stored("echo", "first"), _stored("fail", "second"), _lost("third")])
    manager = cast.manager(WORKER)
    with WorkerPool(manager, lease=1, threads=2, poll_interval=0.2) as pool:
        finished = {"state": {"$in": ["succeeded", "failed"]}}
        until(lambda: _refused(pool) or cast.jobs.count_documents(finished) == 3)
        waker = manager.wakeups.waker
        assert waker is not None
        until(lambda: _refused(pool) or waker.pushing_since)
        if _refused(pool):
            raise StoreRefused(f"{pool.health()}")
        until(lambda: pool._parts.census.undone or cast.jobs.database["jobs.pools"].count_documents({}))
    if pool._parts.census.undone:
        raise StoreRefused(f"{pool._parts.census.undone}")
    if pool._parts.settings.refused:
        raise StoreRefused("it does not know what is paused")
    assert not cast.jobs.database["jobs.pools"].count_documents({})
    assert manager.run() is None
    cast.jobs.insert_one(_stored("echo", "by hand"))
    done = manager.run("echo")
    assert done is not None
    assert done.state == "succeeded"


def _refused(pool: WorkerPool) -> bool:
    return any(why for name, why in pool.health().ready.items() if name.endswith("store"))


def flow(cast: Cast) -> None:
    """Fire two overdue times of a schedule whose jobs are limited, the second after the first, and run them."""
    cast.manager(INSTALLER).ensure_indexes(limits=True)
    begun = datetime.now(UTC) - timedelta(minutes=90)
    cast.manager(PLANNER).schedule("hourly", 3600, "limited", start_at=begun, catch_up="all")
    with WorkerPool(cast.manager(FLOW, LIMITED), threads=2, poll_interval=0.2) as pool:
        firings = pool._parts.scheduler._firings

        def refused() -> bool:
            return firings.unreadable or bool(firings._told) or _refused(pool)

        until(lambda: refused() or cast.jobs.count_documents({"state": "succeeded"}) == 2)
        if refused():
            raise StoreRefused(f"{firings.unreadable}, {firings._told}, {pool.health()}")
    assert {gate["_id"]["type"] for gate in cast.root["jobs.gates"].find()} == {"limited"}


def plan(cast: Cast) -> None:
    manager = cast.manager(PLANNER)
    manager.schedule("hourly", 3600, "echo", 1)
    if "jobpool_next" not in cast.root["jobs.schedules"].index_information():
        raise StoreRefused("pools look for what is due without an index")
    assert manager.schedule("hourly", 1800, "echo", 1).next_at
    assert manager.schedules.pause("hourly").paused
    assert not manager.schedules.resume("hourly").paused
    made = manager.schedules.run_now("hourly", token="x")
    assert manager.schedules.run_now("hourly", token="x").id == made.id
    assert manager.get(made.id).state == "pending"
    assert [schedule.name for schedule in manager.schedules.list()] == ["hourly"]
    assert manager.schedules.remove("hourly")
    assert "echo" in manager.pause("echo", reason="the provider is down")
    assert "echo" in manager.paused()
    assert not manager.resume()


def clean(cast: Cast) -> None:
    cast.jobs.insert_many([_stored("echo", id) for id in ("a", "b", "c", "d")])
    manager = cast.manager(JANITOR)
    assert manager.cancel("a").state == "cancelled"
    assert (manager.remove("a"), manager.remove("a")) == (True, False)
    assert manager.remove_many(ids=["b", "c"]) == 2
    assert [job.id for job in manager.find()] == ["d"]


def monitor(cast: Cast) -> None:
    cast.jobs.insert_many([_stored("echo", "first"), _lost("second")])
    manager = cast.manager(MONITOR)
    backlog = manager.backlog()
    assert manager.count() == 2
    assert (backlog.total.due, backlog.total.claimed, backlog.pools_alive) == (1, 1, 0)
    assert manager.why("first").code == "no_executor"
    cast.settings.insert_one({"_id": "pause", "types": [{"type": "echo"}]})
    assert "echo" in manager.paused()


def install(cast: Cast) -> None:
    manager = cast.manager(INSTALLER)
    manager.ensure_indexes()
    assert manager.ensure_indexes() == []
    assert len(cast.jobs.index_information()) == len(INDEXES) + 1
    assert len(manager.ensure_indexes(limits=True)) == len(LIMIT_INDEXES)


def _stored(type: str, id: str) -> dict[str, Any]:
    from jobpool.store.documents import new_document

    past = datetime(2026, 1, 1, tzinfo=UTC)
    return new_document(id=id, type=type, data=1, priority=0, run_at=past, max_attempts=None, created_at=past)


def _lost(id: str) -> dict[str, Any]:
    job = _stored("echo", id)
    return {**job, "state": "claimed", "claim": "x", "pool": "dead", "lease_until": job["run_at"]}


PARTS: dict[str, Callable[[Cast], None]] = {
    PRODUCER: produce,
    WORKER: work,
    FLOW: flow,
    PLANNER: plan,
    JANITOR: clean,
    MONITOR: monitor,
    INSTALLER: install,
}
COLLECTIONS = {"jobs", *(f"jobs.{what}" for what in ("pools", "settings", "schedules", "gates"))}
RIGHTS = [
    (name, (privilege["resource"]["collection"], action))
    for name, role in ROLES.items()
    for privilege in role["privileges"]
    for action in privilege["actions"]
]


def test_readme_has_a_role_for_each_part_and_no_other_collection() -> None:
    assert list(ROLES) == list(PARTS)
    for role in ROLES.values():
        for privilege in role["privileges"]:
            assert privilege["resource"]["db"] == "shop"
            assert privilege["resource"]["collection"] in COLLECTIONS
        assert role["roles"] == []


@pytest.mark.parametrize("role", PARTS)
def test_each_role_can_do_its_part(cast: Cast, role: str) -> None:
    if role != INSTALLER:
        cast.manager(INSTALLER).ensure_indexes()
    PARTS[role](cast)


@pytest.mark.parametrize(("role", "right"), RIGHTS)
def test_no_role_has_a_right_too_many(cast: Cast, role: str, right: Right) -> None:
    if role != INSTALLER:
        cast.manager(INSTALLER).ensure_indexes()
    cast.restrict(role, right)
    with pytest.raises((StoreRefused, AssertionError)) as refused:
        PARTS[role](cast)
    assert refused.type is StoreRefused, str(refused.value)


FORBIDDEN: dict[tuple[str, str], Callable[[JobManager], object]] = {
    (PRODUCER, "update"): lambda m: m.run("echo"),
    (PRODUCER, "update "): lambda m: m.cancel("a"),
    (PRODUCER, "remove"): lambda m: m.remove("a"),
    (PRODUCER, "remove "): lambda m: m.remove_many(all=True),
    (WORKER, "insert"): lambda m: m.create("echo", 1),
    (WORKER, "insert "): lambda m: m.create_many([{"type": "echo"}]),
    (WORKER, "remove"): lambda m: m.remove("a"),
    (WORKER, "update"): lambda m: m.pause("echo"),
    (WORKER, "find"): lambda m: m.schedules.list(),
    (FLOW, "insert"): lambda m: m.schedule("hourly", 3600, "echo"),
    (FLOW, "remove"): lambda m: m.schedules.remove("hourly"),
    (PLANNER, "update"): lambda m: m.cancel("a"),
    (PLANNER, "update "): lambda m: m.run("echo"),
    (PLANNER, "remove"): lambda m: m.remove("a"),
    (JANITOR, "insert"): lambda m: m.create("echo", 1),
    (INSTALLER, "find"): lambda m: m.get("a"),
    (INSTALLER, "insert"): lambda m: m.create("echo", 1),
    (INSTALLER, "remove"): lambda m: m.remove("a"),
}


@pytest.mark.parametrize(("role", "right"), FORBIDDEN)
def test_what_is_not_its_part_is_refused_and_the_right_is_named(installed: Cast, role: str, right: str) -> None:
    installed.jobs.insert_one(_stored("echo", "a"))
    with pytest.raises(StoreRefused) as refused:
        FORBIDDEN[role, right](installed.manager(role))
    assert f"the right missing is {right.strip()}" in str(refused.value)
    assert len(str(refused.value)) < 250
    assert [job["state"] for job in installed.jobs.find()] == ["pending"]


def test_a_monitor_is_told_why_and_that_it_may_not_read_rates(installed: Cast) -> None:
    """What is used of a rate is in the gates, which only those read who claim."""
    installed.manager(INSTALLER).ensure_indexes(limits=True)
    installed.jobs.insert_one({**_stored("limited", "a"), "key": ""})
    fresh = datetime.now(UTC) + timedelta(seconds=600)
    limits = [{"type": "limited", "limit": {"rate": 1.0}}]
    pool = {"_id": "p", "types": ["limited"], "threads": 1, "fresh_until": fresh, "limits": limits}
    installed.root["jobs.pools"].insert_one(pool)
    (reason,) = installed.manager(MONITOR).why("a").reasons
    assert reason.code == "unclear"
    assert "this user may not read what is left of it" in reason.remedy
    with pytest.raises(StoreRefused, match="the right missing is find"):
        installed.manager(JANITOR).why("a")


def test_no_role_reaches_another_collection(installed: Cast) -> None:
    for role in ROLES:
        other = JobManager(installed.name, uri=installed.uri(role), collection="others")
        with other, pytest.raises(StoreRefused):
            other.count()


def _let_update(cast: Cast) -> None:
    wider = privileges(PRODUCER, cast.name)
    wider[0]["actions"].append("update")
    cast.root.command("updateRole", PRODUCER, privileges=wider)


def test_a_producer_may_revive_if_it_may_update(installed: Cast) -> None:
    """As README says of the one call that needs more."""
    installed.jobs.insert_one({**_stored("echo", "a"), "state": "cancelled"})
    with pytest.raises(StoreRefused, match="the right missing is update"):
        installed.manager(PRODUCER).create("echo", 1, id="a", on_duplicate="revive")
    _let_update(installed)
    assert installed.manager(PRODUCER).create("echo", 1, id="a", on_duplicate="revive").state == "pending"


def test_a_producer_may_let_jobs_wait_for_others_if_it_may_update(installed: Cast) -> None:
    first = installed.manager(PRODUCER).create("echo", 1)
    with pytest.raises(StoreRefused, match="the right missing is update"):
        installed.manager(PRODUCER).create("echo", 2, after=[first.id])
    _let_update(installed)
    producer = installed.manager(PRODUCER)
    assert producer.create("echo", 3, after=[first.id]).state == "waiting"
    batch = producer.create_batch([{"type": "echo", "data": n} for n in (4, 5)], then={"type": "echo"})
    assert batch.callback.state == "waiting"
    assert not installed.jobs.count_documents({"linking": {"$exists": True}, "data": {"$ne": 2}})


def test_what_a_planner_pauses_a_worker_leaves_until_it_is_resumed(installed: Cast) -> None:
    planner = installed.manager(PLANNER)
    planner.pause("echo")
    installed.jobs.insert_many([_stored("echo", "first"), _stored("fail", "second")])
    with WorkerPool(installed.manager(WORKER), threads=2):
        until(lambda: installed.jobs.count_documents({"_id": "second", "state": "failed"}))
        assert installed.jobs.count_documents({"_id": "first", "state": "pending", "attempts": 0})
        planner.resume("echo")
        until(lambda: installed.jobs.count_documents({"_id": "first", "state": "succeeded"}))


def test_a_worker_of_the_time_before_pauses_runs_regardless_and_says_so(
    installed: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    """Its role lacks what is new: it runs plain jobs, and leaves schedules to others."""
    installed.restrict(WORKER, ("jobs.settings", "find"))
    planner = installed.manager(PLANNER)
    planner.pause()
    due = planner.schedule("hourly", 3600, "echo", start_at=datetime.now(UTC) - timedelta(days=1)).next_at
    installed.jobs.insert_many([_stored("echo", f"{n}") for n in range(20)])
    with caplog.at_level(logging.INFO, "jobpool"), WorkerPool(installed.manager(WORKER), threads=2) as pool:
        until(lambda: installed.jobs.count_documents({"state": "succeeded"}) == 20)
        until(lambda: pool._parts.scheduler._firings.unreadable)
        until(lambda: pool.health().is_ready)
        assert pool._parts.settings.refused
    said = [record.getMessage() for record in caplog.records]
    assert sum("may not read what is paused, and goes on" in text for text in said) == 1
    assert sum("may not read the schedules" in text for text in said) == 1
    assert installed.jobs.count_documents({}) == 20
    assert planner.schedules.get("hourly").next_at == due


def test_a_worker_without_the_rights_of_limits_runs_the_jobs_that_have_none(installed: Cast) -> None:
    installed.manager(INSTALLER).ensure_indexes(limits=True)
    plain = [_stored("echo", f"{n}") for n in range(20)]
    installed.jobs.insert_many([*plain, {**_stored("limited", "held back"), "key": ""}])
    with WorkerPool(installed.manager(WORKER, {**PLAIN, **LIMITED}), threads=2) as pool:
        until(lambda: installed.jobs.count_documents({"type": "echo", "state": "succeeded"}) == 20)
        until(lambda: _refused(pool))
        assert not pool.health().is_ready
    assert installed.jobs.count_documents({"_id": "held back", "state": "pending"})


@pytest.mark.parametrize("role", [PRODUCER, WORKER, JANITOR])
def test_without_the_indexes_it_is_said_who_makes_them_how(
    cast: Cast, role: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = cast.manager(role)
    calls: dict[str, Callable[[], object]] = {
        PRODUCER: lambda: manager.create("echo"),
        WORKER: manager.start_watch,
        JANITOR: manager.count,
    }
    with caplog.at_level(logging.INFO, "jobpool"), pytest.raises(StoreRefused) as refused:
        calls[role]()
    text = str(refused.value)
    for part in (
        "jobpool_claim",
        "jobpool_failed",
        "jobpool_result",
        "createIndex",
        f"JobManager('{cast.name}'",
        "ensure_indexes()",
    ):
        assert part in text
    assert not caplog.records, "nothing is said to be made that is not"
    command = re.search(r"(JobManager\(.*?\))\.ensure_indexes\(\)", text)
    assert command
    monkeypatch.setenv("JOBPOOL_URI", cast.uri(INSTALLER))
    with eval(command[1], {"JobManager": JobManager}) as installer:
        installer.ensure_indexes()
    calls[role]()


def test_without_one_index_that_one_is_named(installed: Cast) -> None:
    installed.jobs.drop_index("jobpool_lease")
    with pytest.raises(StoreRefused, match=r"lacks the indexes jobpool_lease, and this user"):
        installed.manager(WORKER).start_watch()
    installed.jobs.create_index("x", name="jobpool_lease")
    with pytest.raises(IndexMismatch, match="jobpool_lease"):
        installed.manager(WORKER).start_watch()


def test_jobs_of_a_producer_are_run_by_a_worker_while_the_producer_waits(installed: Cast) -> None:
    producer, worker = installed.manager(PRODUCER), installed.manager(WORKER)
    with WorkerPool(worker, threads=4):
        ids = producer.create_many([{"type": "echo", "data": n} for n in range(200)]).ids
        assert [producer.wait(id, PATIENCE).result for id in ids[::40]] == [0, 40, 80, 120, 160]
        until(lambda: producer.count(state="succeeded") == 200)
