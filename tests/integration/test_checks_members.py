"""What the checks find of replica sets: with an arbiter, with members that lag, are down, or elect nobody."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern

from jobpool import JobManager
from jobpool.bench.replicas import NAME
from jobpool.store.checks import topology

from ..checking import bad
from ..faults.replicas import Node, ReplicaSet
from ..waiting import until


class WithArbiter(ReplicaSet):
    """Two members with data, and an arbiter. The first one is primary."""

    def start(self) -> WithArbiter:
        for node in self.nodes:
            node.start()
        until(lambda: all(node.hello() for node in self.nodes), "the members")
        members: list[dict[str, Any]] = [{"_id": n, "host": node.host} for n, node in enumerate(self.nodes)]
        members[0]["priority"] = 2
        members[2]["arbiterOnly"] = True
        settings = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200, "heartbeatTimeoutSecs": 1}
        with self.nodes[0].client() as client:
            config = {"_id": NAME, "members": members, "settings": settings}
            client.admin.command("replSetInitiate", config)
        until(lambda: self.nodes[0].hello().get("isWritablePrimary"), "the primary")
        until(lambda: self.nodes[1].hello().get("secondary"), "the secondary")
        until(lambda: self.nodes[2].hello().get("arbiterOnly"), "the arbiter")
        return self


@pytest.fixture(scope="module")
def members() -> Iterator[WithArbiter]:
    with WithArbiter(3) as members:
        yield members


@pytest.fixture
def manager(members: WithArbiter) -> Iterator[JobManager]:
    with JobManager("checks", uri=f"{members.uri}&serverSelectionTimeoutMS=500", timeout=2) as manager:
        manager.ensure_indexes()
        yield manager


def settled(manager: JobManager) -> list[tuple[str, str]]:
    """Return what is not well of the topology; what waits for members that do not answer is left out."""
    return bad(manager.check(only=["topology"], skip=["topology.reachable"]))


#: What is so of every set of this kind; `topology.majority` is left out by `bad`.
ARBITER = [("topology.write_concern", "warning")]


def test_an_arbiter_holds_nothing(manager: JobManager) -> None:
    until(lambda: settled(manager) == ARBITER, "the members to be up")
    assert bad(manager.check(only=["topology", "clocks"])) == ARBITER
    (majority,) = manager.check(only=["topology.majority"]).warnings
    assert "as 1 of 3 voting members hold no data" in majority.text
    assert majority.text.startswith("with one of '127.0.0.1:")
    assert (majority.facts["voting_with_data"], majority.facts["needed"], len(majority.facts["vital"])) == (
        2,
        2,
        2,
    )
    (concern,) = manager.check(only=["topology.write_concern"]).warnings
    assert concern.facts["default"] == 1
    (clocks,) = manager.check(only=["clocks.members"]).findings
    assert (clocks.facts["asked"], clocks.facts["members"]) == (1, 1)


@contextmanager
def stalled(node: Node) -> Iterator[None]:
    """Have a member apply nothing meanwhile."""
    with node.client() as client:
        client.admin.command("configureFailPoint", "rsSyncApplyStop", mode="alwaysOn")
        try:
            yield
        finally:
            client.admin.command("configureFailPoint", "rsSyncApplyStop", mode="off")


def test_a_member_lags(manager: JobManager, members: WithArbiter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "MAX_LAG", 1.0)
    with stalled(members.nodes[1]), members.nodes[0].client() as client:
        some = client["other"].get_collection("some", write_concern=WriteConcern(1))

        def lags() -> bool:
            """By what each has applied; what is acknowledged also seems late at the first write after a pause."""
            some.insert_one({})
            (lag,) = manager.check(only=["topology.lag"]).findings
            behind = lag.facts["seconds_behind"][members.nodes[1].host]
            return lag.level == "problem" and behind > topology.MAX_LAG

        until(lags, "a lag of more than a second")
    until(lambda: settled(manager) == ARBITER, "the member to catch up")


def test_a_user_of_one_member_is_told_of_the_others(members: WithArbiter) -> None:
    with MongoClient[Any](f"mongodb://{members.nodes[0].host}/?directConnection=true") as client:
        manager = JobManager("checks", client=client)
        (found,) = manager.check(only=["topology.reachable"]).findings
        assert found.facts == {"direct": True}
        until(lambda: len(manager.check(only=["topology.majority"]).warnings) == 1, "the members to be up")
        (found,) = manager.check(only=["topology.majority"]).warnings
        assert found.facts["arbiters"] == 1


def test_a_user_of_a_secondary_is_told_that_nothing_can_be_written_there(members: WithArbiter) -> None:
    with MongoClient[Any](f"mongodb://{members.nodes[1].host}/?directConnection=true") as client:
        manager = JobManager("checks", client=client)
        until(lambda: manager.check(only=["topology.reachable"]).problems, "the primary to be known there")
        (found,) = manager.check(only=["topology.reachable"]).problems
        assert found.facts == {"direct": True, "primary": members.nodes[0].host}
        assert "directConnection" in (found.remedy or "")


def test_no_majority_without_the_secondary(manager: JobManager, members: WithArbiter) -> None:
    """And then no primary without the arbiter."""
    members.nodes[1].end(signal.SIGKILL)
    down = [("topology.majority", "problem"), ("topology.members", "problem"), *ARBITER]
    until(lambda: settled(manager) == down, "the loss to be known")
    members.nodes[2].end(signal.SIGKILL)

    def headless() -> bool:
        return bad(manager.check(only=["topology"], timeout=0.2)) == [("topology.primary", "problem")]

    until(headless, "the primary to step down")
    checkup = manager.check(timeout=0.2)
    assert bad(checkup) == [("topology.primary", "problem")]
    assert (checkup.at, checkup.checks, checkup.well()) == (None, 1, False)
    for node in members.nodes[1:]:
        node.start()
    until(lambda: members.nodes[0].hello().get("isWritablePrimary"), "the primary")
    until(lambda: settled(manager) == ARBITER, "all to be well again")
