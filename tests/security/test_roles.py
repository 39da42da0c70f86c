"""The roles of README: each may do its part of the work, with no right too many."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager, WorkerPool
from jobpool.errors import DuplicateJob, IndexMismatch, StoreRefused
from jobpool.store.indexes import INDEXES

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
        self.server = server
        self._stack = stack
        for name, role in ROLES.items():
            self.root.command("createRole", name, privileges=privileges(name, self.name), roles=role["roles"])
            self.root.command("createUser", f"{name} user", pwd=PASSWORD, roles=[name])

    def uri(self, role: str, password: str = PASSWORD) -> str:
        return f"{self.server.uri_for(f'{role} user', password)}&authSource={self.name}"

    def manager(self, role: str) -> JobManager:
        """Return a new manager of the user with that role."""
        executors = {"echo": lambda data: data, "fail": lambda data: 1 / 0}
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
    assert not cast.jobs.database["jobs.pools"].count_documents({})
    assert manager.run() is None
    cast.jobs.insert_one(_stored("echo", "by hand"))
    done = manager.run("echo")
    assert done is not None
    assert done.state == "succeeded"


def _refused(pool: WorkerPool) -> bool:
    return any(why for name, why in pool.health().ready.items() if name.endswith("store"))


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


def install(cast: Cast) -> None:
    manager = cast.manager(INSTALLER)
    manager.ensure_indexes()
    assert manager.ensure_indexes() == []
    assert len(cast.jobs.index_information()) == len(INDEXES) + 1


def _stored(type: str, id: str) -> dict[str, Any]:
    from datetime import UTC, datetime

    from jobpool.store.documents import new_document

    past = datetime(2026, 1, 1, tzinfo=UTC)
    return new_document(id=id, type=type, data=1, priority=0, run_at=past, max_attempts=None, created_at=past)


def _lost(id: str) -> dict[str, Any]:
    job = _stored("echo", id)
    return {**job, "state": "claimed", "claim": "x", "pool": "dead", "lease_until": job["run_at"]}


PARTS: dict[str, Callable[[Cast], None]] = {
    PRODUCER: produce,
    WORKER: work,
    JANITOR: clean,
    MONITOR: monitor,
    INSTALLER: install,
}
RIGHTS = [
    (name, (privilege["resource"]["collection"], action))
    for name, role in ROLES.items()
    for privilege in role["privileges"]
    for action in privilege["actions"]
]


def test_readme_has_five_roles_on_two_collections() -> None:
    assert list(ROLES) == list(PARTS)
    for role in ROLES.values():
        for privilege in role["privileges"]:
            assert privilege["resource"]["db"] == "shop"
            assert privilege["resource"]["collection"] in ("jobs", "jobs.pools")
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


def test_no_role_reaches_another_collection(installed: Cast) -> None:
    for role in ROLES:
        other = JobManager(installed.name, uri=installed.uri(role), collection="others")
        with other, pytest.raises(StoreRefused):
            other.count()


def test_a_producer_may_revive_if_it_may_update(installed: Cast) -> None:
    """As README says of the one call that needs more."""
    installed.jobs.insert_one({**_stored("echo", "a"), "state": "cancelled"})
    with pytest.raises(StoreRefused, match="the right missing is update"):
        installed.manager(PRODUCER).create("echo", 1, id="a", on_duplicate="revive")
    wider = privileges(PRODUCER, installed.name)
    wider[0]["actions"].append("update")
    installed.root.command("updateRole", PRODUCER, privileges=wider)
    assert installed.manager(PRODUCER).create("echo", 1, id="a", on_duplicate="revive").state == "pending"


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
