"""Servers that are not there, die in the middle of a claim, take rights or indexes away, come back to a herd."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, WriteConcern

from jobpool import JobManager, WorkerPool
from jobpool.errors import StoreUnavailable
from jobpool.store.claiming import Request

from ..conftest import MakeManager
from ..security.servers import SecuredMongo, with_auth
from ..waiting import until
from .failpoints import Client, fail_command
from .hosts import ROOT, pool_threads
from .processes import Run
from .replicas import Node, ReplicaSet
from .report import FaultReport

#: Log lines that a worker may write about a minute of trouble.
LINES_A_MINUTE = 10
#: Connections, or calls, per second that no single waiting worker exceeds: backoff and the driver's own pauses.
HOT = 25.0


class Away:
    """A port on which nobody serves: every connection is counted and ended."""

    def __init__(self, port: int = 0) -> None:
        self.attempts = 0
        self._socket = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._refuse, daemon=True)

    def _refuse(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.attempts += 1
            connection.close()

    def __enter__(self) -> Away:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@contextmanager
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Collect what jobpool logs at INFO and above between the start and the stop of a pool."""
    said: list[str] = []
    caplog.clear()
    with caplog.at_level(logging.INFO, "jobpool"):
        yield said
        said += [
            record.getMessage()
            for record in caplog.records
            if record.name.startswith("jobpool") and record.levelno >= logging.INFO
        ]


class Calls:
    """Counts the store calls of a manager, as an observer in front of its own."""

    def __init__(self, manager: JobManager) -> None:
        connection: Any = manager.store._connection
        self._observer = connection.observer
        self.number = 0
        connection.observer = self

    def store_operation(self, operation: str, seconds: float, error: str | None) -> None:
        self.number += 1
        self._observer.store_operation(operation, seconds, error)

    def rate(self, seconds: float) -> float:
        """Return the calls per second in the time that comes."""
        before = self.number
        threading.Event().wait(seconds)
        return (self.number - before) / seconds


@pytest.mark.fault("F49")
def test_f49_a_start_without_a_server_raises_in_time_and_tries_calmly(
    fault: FaultReport, make_manager: MakeManager
) -> None:
    timeout = fault.length(2.0, 10.0)
    with Away() as away:
        uri = f"mongodb://127.0.0.1:{away.port}/"
        manager = make_manager("x", uri=uri, timeout=timeout, executors={"a": print})
        pool = WorkerPool(manager)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            pool.start()
        took = time.monotonic() - began
        fault.struck(away.attempts, "connections refused")
    assert pool.state == "new", "it may be started again"
    assert not pool_threads()
    assert took < timeout + 5
    assert away.attempts / took < HOT
    fault.figure("attempts/s while starting", away.attempts / took)


@pytest.mark.fault("F49")
def test_f49_the_command_says_in_a_line_that_nobody_answers(fault: FaultReport, tmp_path: Path) -> None:
    program = "import jobpool\nmanager = jobpool.JobManager('x', timeout=1, executors={'a': print})\n"
    (tmp_path / "absent.py").write_text(program)
    with Away() as away:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "JOBPOOL_URI": f"mongodb://me:s3cret@127.0.0.1:{away.port}/",
        }
        command = [sys.executable, "-m", "jobpool", "worker", "absent:manager"]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        fault.struck(away.attempts, "connections refused")
    assert done.returncode == 3, done.stderr
    said = done.stderr.strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("jobpool: ")
    assert str(away.port) in said[0]
    assert "s3cret" not in said[0]
    fault.figure("lines of the command", len(said))


@pytest.fixture
def own_run(tmp_path: Path) -> Iterator[tuple[Node, Run]]:
    """A server of the test's own, to be taken away and brought back, and a run on it."""
    with ReplicaSet(1) as replicas, replicas.client() as client, Run(replicas.uri, client, tmp_path) as run:
        yield replicas.nodes[0], run


@pytest.mark.fault("F49")
def test_f49_a_pool_waits_calmly_for_a_server_that_arrives_later(
    fault: FaultReport, own_run: tuple[Node, Run], caplog: pytest.LogCaptureFixture
) -> None:
    node, run = own_run
    seconds = fault.length(4.0, 20.0)
    manager = run.make_manager(timeout=2)
    with manager, WorkerPool(manager, ["twice"], lease=1.5, threads=4) as pool, lines(caplog) as said:
        run.create("twice", 20, ms=20)
        run.wait_for("left", 5)
        node.end()
        with Away(node.port) as away:
            until(lambda: not pool.health().is_ready, "the notice")
            before = away.attempts
            threading.Event().wait(seconds)
            rate = (away.attempts - before) / seconds
            fault.struck(away.attempts, "connections refused")
        until(lambda: not pool.health().is_live, "the alarm: silent for longer than the lease")
        node.start()
        run.create("twice", 20, first=20)
        run.wait_until_done()
        until(lambda: pool.health().is_ready, "the all-clear")
    run.judge()
    assert rate < HOT
    assert len(said) <= LINES_A_MINUTE, said
    fault.figure("attempts/s of a waiting pool, tests' own clients included", rate)
    fault.figure("its log lines", len(said))


@pytest.mark.fault("F51")
@pytest.mark.parametrize("name", ["batch", "window"])
def test_f51_a_batch_claim_that_was_applied_but_errored_is_found_by_its_token(
    fault: FaultReport, run: Run, client: Client, name: str
) -> None:
    run.create("once", 500)
    strategy = run.manager.store.strategy(name)
    with fail_command(client, ["update"], times=1, write_concern_error=64) as point:
        claimed = strategy.claim(Request(("once",), 500, "torn", 1.0))
        fault.struck(point.struck, "write-concern error on the claim")
    assert {job["claim"] for job in run.jobs.find()} == {claimed.token}
    assert len(claimed.documents) == 500
    run.worker(threads=4)
    run.wait_until_done()
    run.judge()
    fault.figure(f"found by claim ({name})", f"{len(claimed.documents)}/500")


HANG = "setYieldAllLocksHang"


def hang_in_the_middle(strategy: Any, eyes: Client, namespace: str) -> None:
    """Let the claiming update of `strategy` stop where it yields, with a part of its documents written."""
    look = strategy._look

    def then_hang(request: Request) -> Any:
        found = look(request)
        eyes.admin.command({"setParameter": 1, "internalQueryExecYieldIterations": 100})
        # Not at the first yield, which may come before anything is written.
        eyes.admin.command({"configureFailPoint": HANG, "mode": {"skip": 2}, "data": {"namespace": namespace}})
        return found

    strategy._look = then_hang  # between the look for candidates and the update


def wait_until_torn(eyes: Client) -> None:
    """Wait for the update's middle, and until what it has written is in the journal."""
    name = f"failpoint.{HANG}"
    until(lambda: eyes.admin.command({"getParameter": 1, name: 1}).get(name, {}).get("timesEntered"), "the middle")
    eyes["other"].get_collection("things", write_concern=WriteConcern(1, j=True)).insert_one({})


@pytest.mark.fault("F51")
@pytest.mark.parametrize("patience", [20.0, 0.5], ids=["server back in time", "server back too late"])
def test_f51_a_server_killed_in_the_middle_of_a_claim_strands_nothing(
    fault: FaultReport, tmp_path: Path, patience: float
) -> None:
    lease, answer = 3.0, []
    with ReplicaSet(1) as replicas, replicas.client() as client, Run(replicas.uri, client, tmp_path) as run:
        run.create("once", 500)
        manager = run.make_manager(timeout=patience)
        manager.ensure_indexes()
        strategy: Any = manager.store.strategy("batch")

        def claim() -> None:
            try:
                answer.append(len(strategy.claim(Request(("once",), 500, "torn", lease)).documents))
            except StoreUnavailable:
                answer.append(0)

        claimer = threading.Thread(target=claim)
        node = replicas.primary()
        with node.client() as eyes:
            hang_in_the_middle(strategy._real, eyes, f"{run.database}.jobs")
            claimer.start()
            wait_until_torn(eyes)
        node.end(signal.SIGKILL)
        if patience < 1:
            claimer.join()
        node.start()
        replicas.settle()
        claimer.join()
        torn = run.jobs.count_documents({"state": "claimed"})
        fault.struck(0 < torn < 500 and torn, "documents claimed of 500")
        assert answer == [torn if patience > 1 else 0]
        began = time.monotonic()
        run.worker(threads=4, lease=lease)
        run.wait_until_done()
        took = time.monotonic() - began
        run.judge()
        ran = run.jobs.count_documents({"state": "succeeded"})
        assert ran == 500
        manager.close()
    fault.figure(f"torn claim (limit {patience:g} s): written, found by token", f"{torn}, {answer[0]}")
    fault.figure(f"torn claim (limit {patience:g} s): stuck", 500 - ran)
    fault.figure(f"torn claim (limit {patience:g} s): all run after, s (lease 3)", took)


@pytest.fixture(scope="module")
def auth_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredMongo]:
    """A server whose users may lose their rights."""
    with with_auth(tmp_path_factory.mktemp("rights")) as server:
        yield server


@pytest.mark.fault("F52")
def test_f52_rights_that_are_revoked_and_given_back(
    fault: FaultReport, auth_server: SecuredMongo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        root = stack.enter_context(MongoClient[dict[str, Any]](auth_server.uri, tz_aware=True))
        run = stack.enter_context(Run(auth_server.uri, root, tmp_path))
        rights = [{"role": "readWrite", "db": run.database}]
        root.admin.command("createUser", "worker", pwd="w", roles=rights)
        manager = stack.enter_context(run.make_manager(uri=auth_server.uri_for("worker", "w"), timeout=2))
        run.create("twice", 50, ms=50)
        calls = Calls(manager)
        with WorkerPool(manager, ["twice"], lease=2, threads=2) as pool, lines(caplog) as said:
            run.wait_for("left", 5)
            root.admin.command("updateUser", "worker", roles=[])
            until(lambda: not pool.health().is_ready, "the notice")
            failing = [name for name, reason in pool.health().ready.items() if reason]
            fault.struck(failing, "what the health says")
            rate = calls.rate(fault.length(4.0, 65.0))
            assert not pool.health().is_ready
            root.admin.command("updateUser", "worker", roles=rights)
            run.wait_until_done()
            until(lambda: pool.health().is_ready, "the all-clear")
        run.judge()
    assert any("the right missing is" in line for line in said), said
    assert rate < HOT
    assert len(said) <= LINES_A_MINUTE, said
    fault.figure("calls/s without rights", rate)
    fault.figure("log lines without rights", len(said))


@pytest.mark.fault("F52")
def test_f52_a_dropped_collection_is_made_again(
    fault: FaultReport, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """What was dropped is gone; what comes after it is run, and has its indexes."""
    with WorkerPool(run.manager, ["once"], lease=1.5, threads=2) as pool, lines(caplog) as said:
        run.create("once", 10)
        run.wait_until_done()
        gone = set(run.create("once", 100, first=10, ms=20))
        run.wait_for("left", 15)
        run.jobs.drop()
        fault.struck(not run.open_jobs(), "dropped with its jobs")
        run.create("once", 20, first=1000)
        run.wait_until_done()
        until(lambda: pool.health().is_ready, "the all-clear")
        until(lambda: {"jobpool_claim", "jobpool_lease"} <= run.jobs.index_information().keys(), "the indexes")
        assert run.jobs.count_documents({"data.n": {"$gte": 1000}, "state": "succeeded"}) == 20
        broken = [found for found in run.violations(oplog=False) if int(run_n(run, found.job)) >= 1000]
    assert gone
    assert not broken
    assert len(said) <= LINES_A_MINUTE, said
    fault.figure("log lines of a dropped collection", len(said))


def run_n(run: Run, id: str) -> int:
    """Return the number of a job, -1 if it is gone."""
    job = run.jobs.find_one({"_id": id})
    return -1 if job is None else int(job["data"]["n"])


@pytest.mark.fault("F52")
@pytest.mark.parametrize("index", ["jobpool_claim", "jobpool_lease"])
def test_f52_a_dropped_index_is_made_again(
    fault: FaultReport, run: Run, caplog: pytest.LogCaptureFixture, index: str
) -> None:
    with WorkerPool(run.manager, ["once"], lease=1.5, threads=2) as pool, lines(caplog) as said:
        run.create("once", 30, ms=20)
        run.wait_for("left", 5)
        run.jobs.drop_index(index)
        run.create("once", 30, first=100)
        run.wait_until_done()
        until(lambda: index in run.jobs.index_information(), "the index")
        until(lambda: pool.health().is_ready, "the all-clear")
    run.judge()
    fault.struck(any("created the index" in line for line in said), f"{index} was missed")
    assert len(said) <= LINES_A_MINUTE, said
    fault.figure(f"log lines without {index}", len(said))


@pytest.mark.fault("F52")
@pytest.mark.parametrize("index", ["jobpool_claim", "jobpool_lease"])
def test_f52_an_index_of_our_name_with_other_keys_is_left_and_named(
    fault: FaultReport, run: Run, caplog: pytest.LogCaptureFixture, index: str
) -> None:
    """A claim names the index and would find nothing with it: so the indexes are looked at now and then."""
    with run.make_manager() as manager:
        manager.store.contact.CHECK_AFTER = 1.0
        calls = Calls(manager)
        with WorkerPool(manager, ["once"], lease=1.5, threads=2) as pool, lines(caplog) as said:
            run.create("once", 10)
            run.wait_until_done()
            run.jobs.drop_index(index)
            run.jobs.create_index([("other", 1)], name=index, partialFilterExpression={"other": 5})
            run.create("once", 10, first=100)
            until(lambda: not pool.health().is_ready, "the notice")
            rate = calls.rate(fault.length(4.0, 65.0))
            assert list(run.jobs.index_information()[index]["key"]) == [("other", 1)], "it is never dropped"
            fault.struck(not pool.health().is_ready, "an index in the way")
            run.jobs.drop_index(index)
            run.wait_until_done()
            until(lambda: pool.health().is_ready, "the all-clear")
            assert run.jobs.index_information()[index]["key"] != [("other", 1)]
    run.judge()
    assert any(index in line and "drop it" in line for line in said), said
    assert rate < HOT
    assert len(said) <= LINES_A_MINUTE, said
    fault.figure(f"calls/s and log lines beside another {index}", f"{rate:.1f}, {len(said)}")


def operations(client: Client) -> int:
    """Return how many operations the server has taken since it started."""
    counters = client.admin.command("serverStatus", repl=0, metrics=0, wiredTiger=0)["opcounters"]
    return sum(value for name, value in counters.items() if isinstance(value, int))


def operations_in(client: Client, seconds: float) -> float:
    """Return the operations per second in the time that comes."""
    before, began = operations(client), time.monotonic()
    threading.Event().wait(seconds)
    return (operations(client) - before) / (time.monotonic() - began)


@pytest.mark.fault("F60")
def test_f60_many_pools_meet_a_server_that_returns_calmly(
    fault: FaultReport, own_run: tuple[Node, Run], caplog: pytest.LogCaptureFixture
) -> None:
    """Pools with a client each, and a job now and then; the outage is as long as their longest pause and more."""
    node, run = own_run
    pools, dead = fault.length(10, 30), fault.length(5.0, 15.0)
    stop = threading.Event()

    def create() -> None:
        number = 0
        while not stop.wait(0.05):
            try:
                run.create("twice", 1, first=number, ms=5)
            except StoreUnavailable:
                continue
            number += 1

    creator = threading.Thread(target=create)
    with ExitStack() as stack, node.client() as eyes:
        herd = []
        for number in range(pools):
            manager = stack.enter_context(run.make_manager(timeout=2))
            pool = WorkerPool(manager, ["twice"], name=f"pool {number}", lease=3, threads=2)
            herd.append(stack.enter_context(pool))
        creator.start()
        try:
            run.wait_for("left", 20)
            steady = operations_in(eyes, 5.0)
            with lines(caplog) as said:
                node.end(signal.SIGKILL)
                threading.Event().wait(dead)
                until(lambda: not any(pool.health().is_ready for pool in herd), "the notice")
                without = sum(not pool.health().is_ready for pool in herd)
                node.start()
                until(lambda: node.hello().get("isWritablePrimary"), "the server")
                threading.Event().wait(5.0)
                back = operations(eyes) / 5.0  # all since its start
        finally:
            stop.set()
            creator.join()
        run.wait_until_done()
    run.judge()
    fault.struck(without, "pools that were without a server")
    assert back / steady <= 3, f"{back:.0f}/s after the restart, {steady:.0f}/s before"
    assert len(said) <= LINES_A_MINUTE, "of all pools together: they are one process"
    fault.figure("ops/s in the first 5 s / steady", f"{back:.0f} / {steady:.0f}")
    fault.figure("log lines of the process", len(said))
