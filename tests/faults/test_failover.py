"""Servers that restart, die and step down under busy workers and creators."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import AutoReconnect

from jobpool import Executor, JobManager, WorkerPool, current_job

from ..waiting import until
from .measures import executions, longest_gap
from .processes import Run
from .replicas import Node, ReplicaSet
from .report import FaultReport


@pytest.fixture
def single(tmp_path: Path) -> Iterator[ReplicaSet]:
    """One member, to be restarted."""
    with ReplicaSet(1) as replicas:
        yield replicas


def load(run: Run) -> None:
    """Two workers and two creators, busy."""
    run.manager.ensure_indexes()
    run.worker(threads=4, variables={"FAULTS_TIMEOUT": "3"})
    run.worker(threads=4, variables={"FAULTS_TIMEOUT": "3"})
    run.creator(first=0)
    run.creator(first=1_000_000)
    run.wait_for("finish-ok", 20)


def begun(run: Run) -> int:
    """Return how many attempts were begun so far."""
    return run.count("entered")


def wait_for_work(run: Run, after: int, more: int = 100) -> None:
    """Wait until jobs run again, more of them than were in the queues."""
    until(lambda: begun(run) > after + more, "work after the fault", 60)


def quiet(run: Run) -> None:
    """End the creators, let the workers finish, judge."""
    for creator in run.workers[2:]:
        assert creator.end() == 0
    run.wait_until_done()
    for worker in run.workers[:2]:
        assert worker.end() == 0
    run.judge()


def elections(run: Run) -> int:
    """Return how many there have been, with or without an adversary."""
    term: int = run.client.admin.command("replSetGetStatus")["term"]
    return term


def report(run: Run, fault: FaultReport, blows: int, before: int) -> None:
    """Prove that each of `blows` cost an election since there were `before`, and say what it cost."""
    struck = elections(run) - before
    fault.struck(struck >= blows and struck, "elections")
    fault.figure("longest gap between finishes, s", longest_gap(run.events(), "finish-ok"))
    fault.figure("jobs", run.jobs.count_documents({}))
    fault.figure("executions", executions(run.events()))
    fault.figure("creates that raised", run.count("create-error"))
    fault.figure("failed with WorkerLost", run.jobs.count_documents({"error.type": "WorkerLost"}))


@pytest.mark.fault("F36")
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_f36_a_clean_restart_costs_no_job(
    single: ReplicaSet, tmp_path: Path, fault: FaultReport, state: str
) -> None:
    with single.client() as client, Run(single.uri, client, tmp_path, lease=5.0) as run:
        if state == "busy":
            load(run)
        else:
            run.worker(threads=4, variables={"FAULTS_TIMEOUT": "3"})
        before = begun(run)
        restart(single.nodes[0], signal.SIGTERM)
        began_at = time.monotonic()
        single.primary()
        if state == "idle":
            run.create("once", 20)
        wait_for_work(run, before, 10)
        first = next(event.at for event in run.events() if event.name == "finish-ok" and event.at > began_at)
        fault.struck(single.nodes[0].starts - 1, "restarts")
        fault.figure(f"{state}: first finish after the server's start, s", first - began_at)
        if state == "busy":
            quiet(run)
        run.wait_until_done()
        run.judge()


def restart(node: Node, number: signal.Signals) -> None:
    """End a member and start it again."""
    node.end(number)
    node.start()


@pytest.mark.fault("F37")
def test_f37_a_killed_server_costs_no_job_and_runs_none_twice(
    single: ReplicaSet, tmp_path: Path, fault: FaultReport
) -> None:
    blows = fault.length(2, 5)
    with single.client() as client, Run(single.uri, client, tmp_path, lease=5.0) as run:
        load(run)
        terms = elections(run)
        for _ in range(blows):
            before = begun(run)
            restart(single.nodes[0], signal.SIGKILL)
            wait_for_work(run, before)
        quiet(run)
        report(run, fault, blows, terms)


@pytest.mark.fault("F38")
@pytest.mark.timeout(300)
def test_f38_step_downs_under_load_cost_no_job(replicas: ReplicaSet, replica_run: Run, fault: FaultReport) -> None:
    blows = fault.length(3, 12)
    load(replica_run)
    terms = elections(replica_run)
    for _ in range(blows):
        before = begun(replica_run)
        replicas.step_down()
        wait_for_work(replica_run, before)
        replicas.settle()
    quiet(replica_run)
    report(replica_run, fault, blows, terms)


@pytest.mark.fault("F39")
@pytest.mark.timeout(300)
def test_f39_a_killed_primary_costs_no_job_and_returns_in_peace(
    replicas: ReplicaSet, replica_run: Run, fault: FaultReport
) -> None:
    blows = fault.length(2, 5)
    load(replica_run)
    terms = elections(replica_run)
    for _ in range(blows):
        before = begun(replica_run)
        old = replicas.kill_primary()
        wait_for_work(replica_run, before)
        old.start()
        replicas.settle()
    quiet(replica_run)
    report(replica_run, fault, blows, terms)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("moment", ["before", "behind"])
def test_a_primary_that_dies_at_a_commit_costs_no_effect_and_repeats_none(
    replicas: ReplicaSet, tmp_path: Path, moment: str
) -> None:
    """The writes of an executor and the success of its job, in a transaction whose commit meets an election."""
    killed: list[Node] = []

    def kill() -> None:
        if not killed:
            killed.append(replicas.kill_primary())

    def transfer(data: object) -> None:
        def move(session: Any) -> None:
            accounts.update_one({"_id": "a"}, {"$inc": {"coins": -1}}, session=session)
            accounts.update_one({"_id": "b"}, {"$inc": {"coins": 1}}, session=session)
            current_job().complete("moved", session=session)
            if moment == "before":
                kill()

        with client.start_session() as session:
            if moment == "behind":
                losing_the_reply(session, kill)
            session.with_transaction(move)

    executors = {"transfer": Executor(transfer, max_attempts=2, backoff=0)}
    with replicas.client() as client, JobManager("commits", uri=replicas.uri, executors=executors) as manager:
        accounts = client["commits"]["accounts"]
        accounts.delete_many({})
        accounts.insert_many([{"_id": "a", "coins": 0}, {"_id": "b", "coins": 0}])
        with WorkerPool(manager, threads=2, lease=30):
            job = manager.wait(manager.create("transfer", moment).id, 120)
        assert killed
        assert (job.state, job.attempts, job.result) == ("succeeded", 1, "moved")
        assert {account["_id"]: account["coins"] for account in accounts.find()} == {"a": -1, "b": 1}


def losing_the_reply(session: Any, kill: Callable[[], None]) -> None:
    """Let the primary die when it has executed a commit, whose reply nobody gets."""
    real = session._finish_transaction

    def finish(connection: Any, command: str) -> Any:
        answer = real(connection, command)
        if command == "commitTransaction":
            session._finish_transaction = real
            kill()
            raise AutoReconnect("the reply is lost")
        return answer

    session._finish_transaction = finish
