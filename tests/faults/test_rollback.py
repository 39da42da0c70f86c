"""A primary that is cut off with writes nobody else has, and loses them."""

from __future__ import annotations

import signal
from pathlib import Path

from pymongo import ReadPreference

from ..waiting import until
from .processes import Run
from .replicas import Node, ReplicaSet

POINT = "stopReplProducer"


def replicating(node: Node, on: bool) -> None:
    """Let a secondary fetch what the primary writes, or not."""
    with node.client() as client:
        client.admin.command({"configureFailPoint": POINT, "mode": "off" if on else "alwaysOn"})


def jobs_on(node: Node, run: Run) -> int:
    """Return how many pending jobs a member has, as it is."""
    with node.client() as client:
        jobs = client[run.database].get_collection("jobs", read_preference=ReadPreference.NEAREST)
        return jobs.count_documents({"state": "pending"})


def test_a_claim_that_is_rolled_back_is_nobodys(tmp_path: Path) -> None:
    """Claimed on a primary that nobody follows any more: nobody runs it for that, and later one does, once."""
    with (
        ReplicaSet() as replicas,
        replicas.client() as client,
        Run(replicas.uri, client, tmp_path, lease=30) as run,
    ):
        run.create("until_released", 4)
        old = replicas.primary()
        others = [node for node in replicas.nodes if node is not old]
        for node in others:
            until(lambda node=node: jobs_on(node, run) == 4, "the jobs")  # type: ignore[misc]
            replicating(node, on=False)
        first = run.worker(threads=4, types=["until_released"], variables={"FAULTS_TIMEOUT": "2"})
        with old.client() as direct:
            until(lambda: direct[run.database]["jobs"].count_documents({"state": {"$ne": "pending"}}), "the claim")
            lost = direct[run.database]["jobs"].count_documents({"state": {"$ne": "pending"}})
        until(lambda: run.count("entered") or "does not answer" in first.log.read_text(), "the first worker")
        old.send(signal.SIGSTOP)
        new = replicas.primary()
        assert new is not old
        for node in others:
            replicating(node, on=True)
        assert jobs_on(new, run) == lost, "the claim is not there"
        run.worker(threads=4, types=["until_released"])
        run.wait_for("entered", 4)
        old.send(signal.SIGCONT)
        replicas.settle()
        run.release()
        run.wait_until_done()
        run.end()
        run.judge()
        assert run.count("entered") == 4
