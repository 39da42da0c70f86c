"""What users with few rights are told by checks: what they may not see is skipped, and the right is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from jobpool import JobManager

from ..checking import pool
from .servers import SecuredMongo
from .test_roles import FLOW, INSTALLER, MONITOR, PLANNER, PRODUCER, Cast, Root

#: What takes rights to the server, or to the database as a whole.
OF_THE_SERVER = {
    "server.compatibility",
    "server.storage",
    "topology.members",
    "topology.write_concern",
    "topology.lag",
    "collection.kind",
    "collection.validator",
    "indexes.sizes",
}
OF_GATES = {"limits.locks", "limits.gates"}
OF_SCHEDULES = {"plans.schedules", "schedules.readable", "schedules.overdue", "schedules.types"}


@pytest.fixture
def deployment(auth_server: SecuredMongo, root: Root) -> Iterator[Cast]:
    """A deployment with a pool, and users of all roles."""
    with ExitStack() as stack:
        cast = Cast(auth_server, root, stack)
        cast.manager(INSTALLER).ensure_indexes()
        cast.root["jobs.pools"].insert_one(pool())
        with JobManager(cast.name, client=root) as manager:
            manager.schedule("nightly", timedelta(hours=1), "a")
        yield cast
        stack.close()
        for drop in ("dropAllUsersFromDatabase", "dropAllRolesFromDatabase"):
            cast.root.command(drop)
        root.drop_database(cast.name)


def skipped(cast: Cast, role: str) -> set[str]:
    """Return what a user of this role may not check; each says which right it takes, and all else is well."""
    checkup = cast.manager(role).check()
    assert checkup.problems == ()
    assert {one.check for one in checkup.warnings} == {"topology.majority"}
    for one in checkup.of("skipped"):
        assert one.text == "this user may not look"
        assert (one.remedy or "").startswith("it needs ")
    return {one.check for one in checkup.of("skipped")}


def test_a_monitor_sees_all_but_server_gates_and_schedules(deployment: Cast) -> None:
    assert skipped(deployment, MONITOR) == OF_THE_SERVER | OF_GATES | OF_SCHEDULES


def test_a_monitor_with_the_rights_that_are_named_sees_all(deployment: Cast) -> None:
    """The roles that the remedies name: clusterMonitor, read; and what others may find."""
    roles = [{"role": "clusterMonitor", "db": "admin"}, {"role": "read", "db": deployment.name}]
    deployment.root.command("grantRolesToUser", f"{MONITOR} user", roles=roles)
    assert skipped(deployment, MONITOR) == set()


def test_with_fewer_rights_less_is_seen(deployment: Cast) -> None:
    of_pools = {name for name in skipped(deployment, PRODUCER) if name.startswith("pools.")}
    assert len(of_pools) == 5
    assert {"indexes.required", "documents.pending", "jobs.cancels"}.isdisjoint(skipped(deployment, PLANNER))
    assert OF_GATES.isdisjoint(skipped_of_gates(deployment))


def skipped_of_gates(cast: Cast) -> set[str]:
    return {one.check for one in cast.manager(FLOW).check(only=["limits"]).of("skipped")}
