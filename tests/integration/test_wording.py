"""What a user reads when something goes wrong: short, one line, and what to do about it.

One test per fault, provoked on a real server. And an outage makes few lines,
whatever the number of pools, services and jobs.
"""

from __future__ import annotations

import logging
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from jobpool import JobManager, State, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import (
    ForkedProcess,
    InvalidJob,
    JobpoolError,
    LeaseLost,
    StoreRefused,
    StoreUnavailable,
    UnsupportedServer,
)
from jobpool.pool.recorder import Record

from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..faults.proxy import Proxy
from ..security.servers import SecuredMongo, with_auth
from ..waiting import PATIENCE, until

Client = MongoClient[dict[str, Any]]
ROOT = Path(__file__).parents[2]
LONG = "x" * 500
#: What pools of this file send.
EVERYTHING = ["find", "update", "findAndModify", "aggregate", "getMore", "hello", "listIndexes"]


def read(text: str, *words: str) -> str:
    """Check that `text` is fit to be read, and says `words`."""
    assert len(text.splitlines()) == 1, text
    assert len(text) < 300, (len(text), text)
    assert [word for word in words if word not in text] == [], text
    return text


def raised(kind: type[JobpoolError], call: Callable[[], object], *words: str) -> str:
    with pytest.raises(kind) as caught:
        call()
    return read(str(caught.value), *words)


class Lines:
    """What jobpool's loggers wrote at INFO and above."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def all(self) -> list[str]:
        return [
            record.getMessage()
            for record in list(self._caplog.records)
            if record.levelno >= logging.INFO and record.name.startswith("jobpool")
        ]

    def about(self, word: str) -> list[str]:
        return [line for line in self.all if word in line]

    def one(self, *words: str) -> str:
        """Wait for a line with the first of `words`, and check the only one for all of them."""
        until(lambda: self.about(words[0]), f"a line about {words[0]!r}")
        (line,) = self.about(words[0])
        return read(line, *words)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.INFO, "jobpool")
    return Lines(caplog)


# --- the server ---------------------------------------------------------------------------


def test_a_server_that_is_gone(make_manager: MakeManager) -> None:
    manager = make_manager("x", uri="mongodb://127.0.0.1:1", timeout=0.3)
    raised(
        StoreUnavailable,
        manager.count,
        *(
            "connecting to MongoDB for x.jobs",
            "127.0.0.1:1",
            "nothing was changed",
            "is the server up and reachable?",
        ),
    )


def test_a_write_that_may_have_happened(make_manager: MakeManager, client: Client) -> None:
    manager = make_manager()
    manager.ensure_indexes()
    with fail_command(client, ["insert"], close=True):
        raised(
            StoreUnavailable,
            lambda: manager.create("a", id=LONG),
            *("creating job 'xxx", "may or may not have been applied, repeating it is safe", "reachable?"),
        )


def test_an_outage_and_its_end_are_a_line_each(make_manager: MakeManager, client: Client, lines: Lines) -> None:
    manager = make_manager(timeout=1, executors={"a": lambda data: data})
    with WorkerPool(manager, lease=1) as one, WorkerPool(manager, name="other", lease=1) as other:
        services = [*one._parts.services, *other._parts.services]
        with fail_command(client, EVERYTHING, close=True) as point:
            until(lambda: sum(service.failing for service in services) >= 3, "more than one in trouble")
            lines.one(
                "does not answer", "MongoDB for 'test_", "pools claim nothing and keep outcomes", "reachable"
            )
            assert point.struck > 3
        lines.one("answers again after", "MongoDB for 'test_")
        until(lambda: one.health().is_ready and other.health().is_ready)
    assert len(lines.about("MongoDB for")) == 2, lines.all


def test_a_server_without_a_primary(make_manager: MakeManager, client: Client, lines: Lines) -> None:
    manager = make_manager(timeout=1, executors={"a": lambda data: data})
    with (
        WorkerPool(manager, poll_interval=0.1, push=False),
        fail_command(client, EVERYTHING, code=10107) as point,
    ):
        lines.one("has no primary", "pools claim nothing", "elects one if most of its members run")
        raised(StoreUnavailable, manager.count, "nothing was changed")
        assert point.struck > 0


def test_a_standalone_server(make_manager: MakeManager, lines: Lines) -> None:
    with EmbeddedMongo(replicated=False) as standalone, Client(standalone.uri) as client:
        manager = make_manager("alone", client=client)
        manager.ensure_indexes()
        manager.store.forget()
        manager.store.ready()
        lines.one("standalone", "no push", "no transactions", "a one-node replica set has all three")
        with client.start_session() as session:
            raised(
                UnsupportedServer,
                lambda: manager.create("a", session=session),
                *("needs a replica set", "nothing was written", "--replSet, one node is enough"),
            )


def test_a_server_that_is_too_old(proxy: Proxy, make_manager: MakeManager) -> None:
    def wire(version: int) -> bytes:
        return b"maxWireVersion\0" + struct.pack("<i", version)

    proxy.rewrite[wire(17)] = wire(9)
    raised(
        UnsupportedServer,
        lambda: make_manager(uri=proxy.uri).create("a", 1),
        *("too old", "needs 5.0 or later", "nothing was written", "upgrade"),
    )


@pytest.mark.parametrize(("seconds", "words"), [(40, ["ahead of", "late"]), (-40, ["behind", "early"])])
def test_a_clock_that_is_far_off(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch, lines: Lines, seconds: float, words: list[str]
) -> None:
    wrong = lambda: datetime.now(UTC) + timedelta(seconds=seconds)  # noqa: E731
    monkeypatch.setattr("jobpool.store.contact.this_machine", wrong)
    manager = make_manager()
    manager.ensure_indexes()
    manager.store.forget()
    manager.create("a")
    line = lines.one("this machine's clock is ", "jobpool goes by MongoDB's", "use delay=", *words)
    assert 38 <= int(line.split()[4]) <= 41


def test_a_clock_that_is_right_is_not_worth_a_line(make_manager: MakeManager, lines: Lines) -> None:
    make_manager().ensure_indexes()
    assert lines.about("clock") == []


def test_a_full_disk(make_manager: MakeManager, client: Client, lines: Lines) -> None:
    gate = threading.Event()
    manager = make_manager(executors={"a": lambda data: gate.wait(PATIENCE)})
    id = manager.create("a", 1).id
    with WorkerPool(manager, push=False, lease=30) as pool:
        until(lambda: manager.get(id).state is State.RUNNING)
        with fail_command(client, ["insert", "update"], code=14031) as point:
            raised(
                StoreRefused,
                lambda: manager.create("a", 2),
                *("creating job", "no disk space left", "free some on the server", "it was refused"),
            )
            gate.set()
            lines.one("no disk space left", "refuses finish", "pools repeat it until it is accepted")
            assert point.struck > 1
        assert manager.wait(id, PATIENCE).state is State.SUCCEEDED, "the outcome was kept"
        lines.one("accepts finish again")
        assert pool.health().is_live


# --- who may do what ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredMongo]:
    """A server that asks who is there, with a user who may only read."""
    with with_auth(tmp_path_factory.mktemp("closed")) as server, Client(server.uri) as root:
        root.admin.command("createUser", "reader", pwd="right", roles=["readAnyDatabase"])
        yield server


def test_a_wrong_password(closed: SecuredMongo, make_manager: MakeManager) -> None:
    manager = make_manager(uri=closed.uri_for("reader", "wrong"), timeout=5, executors={"a": print})
    text = raised(
        StoreRefused, manager.start_watch, "Authentication failed", "look at user, password and authSource"
    )
    assert "wrong" not in text


def test_a_missing_password(closed: SecuredMongo, make_manager: MakeManager) -> None:
    uri = closed.uri_for("reader", "right").replace("reader:right@", "")
    raised(StoreRefused, make_manager(uri=uri).count, "requires authentication", "give a user and a password")


def test_a_missing_right(closed: SecuredMongo, make_manager: MakeManager) -> None:
    with JobManager("rights", uri=closed.uri) as owner:
        owner.ensure_indexes()
    manager = make_manager("rights", uri=closed.uri_for("reader", "right"))
    raised(
        StoreRefused,
        lambda: manager.create("a", {"secret": LONG}),
        *("this user may not run insert on rights.jobs", "the right missing is insert", "it was refused"),
    )


def test_a_right_that_is_taken_away_is_named_in_the_log(
    closed: SecuredMongo, make_manager: MakeManager, lines: Lines
) -> None:
    with JobManager("rights", uri=closed.uri) as owner, Client(closed.uri) as root:
        owner.ensure_indexes()
        owner.create("a", "secret")
        user = f"worker{os.urandom(4).hex()}"
        root.admin.command("createUser", user, pwd="right", roles=["readWriteAnyDatabase"])
        manager = make_manager("rights", uri=closed.uri_for(user, "right"), executors={"a": lambda data: data})
        with WorkerPool(manager, push=False, poll_interval=0.1, types=None) as pool:
            until(lambda: owner.count(state="pending") == 0)
            root.admin.command("updateUser", user, roles=["readAnyDatabase"])
            owner.create("a", "secret too")
            line = lines.one("the right missing is update", "MongoDB for 'rights.jobs' refuses", "pools repeat it")
            assert "secret" not in line
            root.admin.command("updateUser", user, roles=["readWriteAnyDatabase"])
            lines.one("accepts ", "MongoDB for 'rights.jobs'", " again after")
            until(lambda: pool.health().is_ready and owner.count(state="pending") == 0)


def test_a_worker_says_the_same_on_the_terminal(closed: SecuredMongo, tmp_path: Path) -> None:
    uri = closed.uri_for("reader", "wrong")
    (tmp_path / "hosted.py").write_text(
        f"from jobpool import JobManager\nmanager = JobManager('x', uri={uri!r}, executors={{'a': print}})\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "jobpool", "worker", "hosted:manager"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    read(done.stderr.strip(), "jobpool: connecting to MongoDB", "Authentication failed", "look at user, password")


# --- jobs ---------------------------------------------------------------------------------


def test_an_index_that_is_missing(make_manager: MakeManager, jobs: Jobs, lines: Lines) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    manager.create("a", 1)
    jobs.drop_index("jobpool_claim")
    raised(StoreRefused, manager.run, "an index of jobpool is missing", "the next try makes it again")
    assert manager.run() is not None
    with WorkerPool(manager, poll_interval=0.1, push=False):
        jobs.drop_index("jobpool_claim")
        lines.one("refuses claim: an index of jobpool is missing", "right createIndex", "pools repeat it")
        assert manager.wait(manager.create("a", 2).id, PATIENCE).result == 2


def test_data_that_is_too_large(make_manager: MakeManager) -> None:
    manager = make_manager(data_limit=2000)
    raised(
        InvalidJob,
        lambda: manager.create("a", "x" * 3000),
        "data: 30",
        "over the limit of 2000",
        "store it elsewhere",
        "was not created",
    )
    assert manager.count() == 0


@pytest.mark.parametrize("key", ["place", "line\nbreak", LONG])
def test_data_that_cannot_be_stored(make_manager: MakeManager, key: str) -> None:
    manager = make_manager()
    raised(
        InvalidJob,
        lambda: manager.create("a", {key: [{1, 2}]}),
        "data",
        "set cannot be stored",
        "use dict, list",
        "this job was not created",
    )
    raised(InvalidJob, lambda: manager.create("a", {key: {5: 1}}), "keys must be str, not int")
    raised(InvalidJob, lambda: manager.create("a", {key: 2**70}), "must fit in 64 bits")


def test_a_result_that_cannot_be_stored(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: {"n": {1}}})
    manager.create("a")
    job = manager.run()
    assert job is not None
    assert job.error is not None
    assert (job.state, job.error.type) == (State.FAILED, "InvalidJob")
    read(job.error.message, "result.n: set cannot be stored")


def test_a_result_that_is_too_large(make_manager: MakeManager) -> None:
    manager = make_manager(data_limit=2000, executors={"a": lambda data: "x" * 3000})
    manager.create("a")
    job = manager.run()
    assert job is not None
    assert job.result_error is not None
    read(job.result_error, "has 3013 bytes and may have 2000", "data_limit", "return less, or a reference")


def test_outcomes_that_cannot_be_recorded(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    """A hundred of them make few lines."""
    manager = make_manager(executors={"a": lambda data: {"n": data}})
    manager.create_many([{"type": "a", "data": n, "id": f"{n}{LONG}"} for n in range(100)])
    pool = WorkerPool(manager)
    put = pool._parts.recorder.put

    def spoil_and_put(record: Record) -> None:
        record.outcome.result["n"] = {1, 2}
        put(record)

    monkeypatch.setattr(pool._parts.recorder, "put", spoil_and_put)
    with pool:
        until(lambda: manager.count(state="succeeded") == 100)
    told = lines.about("cannot be stored")
    assert 1 <= len(told) <= 8
    for line in told:
        read(line, "the outcome of job '", "InvalidDocument", "the job succeeds without its result", "return less")


def test_a_claim_that_was_lost(make_manager: MakeManager, jobs: Jobs) -> None:
    steal = {"$set": {"claim": "another"}}
    manager = make_manager(executors={"a": lambda data: jobs.update_many({}, steal).modified_count})
    manager.create("a", id=LONG)
    raised(
        LeaseLost,
        manager.run,
        *(
            "was lost while attempt 1 ran",
            "not recorded",
            "its effects stand",
            "guard your writes with current_job()",
        ),
    )


def test_a_thousand_lost_claims_are_few_lines(make_manager: MakeManager, jobs: Jobs, lines: Lines) -> None:
    gate, entered = threading.Event(), threading.Event()

    def work(data: object) -> None:
        entered.set()
        assert gate.wait(PATIENCE)

    manager = make_manager(executors={"a": work})
    manager.create_many([{"type": "a", "data": n} for n in range(1200)])
    pool = WorkerPool(manager, threads=1, queue_size=1000, batch_size=1000, lease=8, heartbeat=0.2)
    pool._parts.pace.observe("another", 1e-9)
    pool._parts.pace._threads = 1000  # it takes the jobs for very short ones
    with pool:
        until(lambda: entered.is_set() and len(pool._parts.held) > 900, "jobs taken ahead")
        jobs.update_many({"state": {"$in": ["claimed", "running"]}}, {"$set": {"claim": "another"}})
        until(lambda: not len(pool._parts.held) or pool._parts.fetcher.waiting, "the loss")
        line = lines.one("lost the claims of", "they may run elsewhere", "late outcomes are refused", "in all)")
        assert int(line.split(" claims of ")[1].split()[0]) > 900
        gate.set()
        jobs.update_many({}, {"$set": {"state": "cancelled"}})
        assert pool.drain(PATIENCE)
    assert len(lines.all) <= 10, lines.all


def test_a_hundred_types_that_are_reaped_are_one_line(make_manager: MakeManager, jobs: Jobs, lines: Lines) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    manager.create_many([{"type": f"{n}{LONG}"[:128], "data": n, "max_attempts": 1} for n in range(100)])
    past = datetime.now(UTC) - timedelta(minutes=1)
    jobs.update_many({}, {"$set": {"state": "claimed", "claim": "dead", "lease_until": past}})
    jobs.update_many({"data": {"$lt": 30}}, {"$set": {"state": "running", "attempts": 1}})
    with WorkerPool(manager):
        line = lines.one(
            "leases had run out", "took back 100 jobs", "70 pending again", "30 failed with WorkerLost"
        )
        read(line, "was a worker killed or cut off?", "(100 in all)")


def test_a_fork(make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.ensure_indexes()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            manager.create("a")
        except ForkedProcess as error:
            os.write(writing, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    read(os.read(reading, 1000).decode(), "do not survive a fork", "make a JobManager in this process")
    os.close(reading)
    os.close(writing)


# --- how many lines -----------------------------------------------------------------------


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is entered here ends with the test, also when that fails."""
    with ExitStack() as stack:
        yield stack


def test_a_server_that_comes_and_goes_makes_few_lines(
    make_manager: MakeManager, client: Client, lines: Lines, stack: ExitStack
) -> None:
    """Six pools of two managers, with jobs that run meanwhile; all of it within a minute."""
    managers = [make_manager(timeout=1, executors={"a": lambda data: None}) for _ in range(2)]
    managers[0].create_many([{"type": "a", "data": n} for n in range(300)])
    began = datetime.now(UTC)
    pools = [
        stack.enter_context(WorkerPool(manager, name=f"pool-{n}", lease=2, threads=2, poll_interval=0.1))
        for manager in managers
        for n in range(3)
    ]
    until(lambda: all(pool.health().is_ready for pool in pools), "the first claims")
    started = len(lines.all)
    flaps = 0
    while datetime.now(UTC) - began < timedelta(seconds=20):
        with fail_command(client, EVERYTHING, close=True) as point:
            until(lambda: point.struck and any(not pool.health().is_ready for pool in pools), "the fault")
        flaps += 1
        until(lambda: all(pool.health().is_ready for pool in pools), "the all-clear")
    told = lines.all[started:]
    assert flaps >= 3
    assert 2 <= len(told) <= 8, told
    for pool in pools:
        pool.stop()
    for line in lines.all:
        read(line)
