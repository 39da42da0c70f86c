"""Which servers jobpool works on, and what it says about the others."""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from jobpool import JobManager, State, WorkerPool, current_job
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import InvalidConfiguration, StoreRefused, StoreUnavailable, UnsupportedServer
from jobpool.store.claiming import STRATEGIES

from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..faults.proxy import Proxy
from ..waiting import PATIENCE, until


@pytest.fixture(scope="module")
def standalone() -> Iterator[EmbeddedMongo]:
    with EmbeddedMongo(replicated=False) as server:
        yield server


def test_a_standalone_server_works_by_polling_with_one_warning(
    standalone: EmbeddedMongo, make_manager: MakeManager, caplog: pytest.LogCaptureFixture
) -> None:
    manager = make_manager("alone", uri=standalone.uri, executors={"a": lambda data: data + 1})
    with caplog.at_level(logging.WARNING, "jobpool"):
        manager.create_many([{"type": "a", "data": n} for n in range(50)])
        for strategy in STRATEGIES:
            with WorkerPool(manager, strategy=strategy):
                assert manager.wait(manager.create("a", strategy == "x", id=strategy).id, PATIENCE).result == 1
        until(lambda: manager.count(state="succeeded") == 50 + len(STRATEGIES))
        manager.create("a", 1000)
        assert manager.run().result == 1001  # type: ignore[union-attr]
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    for missing in ("push", "transactions", "lost reply"):
        assert missing in warnings[0]


def test_a_session_on_a_standalone_server_is_an_error(
    standalone: EmbeddedMongo, make_manager: MakeManager
) -> None:
    with MongoClient[dict[str, Any]](standalone.uri) as client:
        manager = make_manager("sessions", client=client)
        manager.ensure_indexes()
        with client.start_session() as session, pytest.raises(UnsupportedServer, match="replica set"):
            manager.create("a", 1, session=session)
        assert manager.count() == 0


def test_completing_in_a_transaction_on_a_standalone_server_is_an_error(
    standalone: EmbeddedMongo, make_manager: MakeManager
) -> None:
    with MongoClient[dict[str, Any]](standalone.uri) as client:

        def complete(data: Any) -> None:
            with client.start_session() as session, session.start_transaction():
                current_job().complete(session=session)

        manager = make_manager("completions", uri=standalone.uri, executors={"a": complete})
        id = manager.create("a").id
        manager.run()
        job = manager.get(id)
        assert job.error is not None
        assert (job.state, job.error.type) == (State.FAILED, "UnsupportedServer")
        assert "replica set" in job.error.message


def test_an_old_server_is_refused_before_anything_is_written(
    proxy: Proxy, make_manager: MakeManager, jobs: Jobs
) -> None:
    def wire(version: int) -> bytes:
        return b"maxWireVersion\0" + struct.pack("<i", version)

    proxy.rewrite[wire(17)] = wire(9)  # what MongoDB 4.4 says of itself
    with pytest.raises(UnsupportedServer, match=r"needs 5\.0 or later"):
        make_manager(uri=proxy.uri).create("a", 1)
    assert jobs.database.list_collection_names() == []


def test_a_uri_that_does_not_answer_is_an_error_within_the_time_limit(make_manager: MakeManager) -> None:
    manager = make_manager("x", uri="mongodb://127.0.0.1:1", timeout=0.3, executors={"a": print})
    for call in (lambda: manager.create("a"), manager.run, manager.start_watch, manager.count):
        with pytest.raises(StoreUnavailable):
            call()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("jobpool-")]


def test_a_server_that_accepts_and_says_nothing_is_an_error_within_the_time_limit(
    make_manager: MakeManager,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        manager = make_manager("x", uri=f"mongodb://127.0.0.1:{port}", timeout=0.3)
        with pytest.raises(StoreUnavailable):
            manager.create("a")


@pytest.mark.parametrize(
    "uri", ["nonsense", "mongodb://", "mongodb://user:secret@host:99999", "mongodb://user:se/cret@host/?x=1"]
)
def test_a_uri_that_is_none_is_refused_without_showing_its_password(uri: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        JobManager("x", uri=uri)
    assert "secret" not in str(caught.value)


def test_the_uri_comes_from_the_environment_by_default(
    server: EmbeddedMongo, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBPOOL_URI", server.uri)
    with JobManager(database) as manager:
        assert manager.create("a").created


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"database": ""}, "name"),
        ({"database": "a b.c"}, "name"),
        ({"database": 5}, "database must be"),
        ({"database": "x", "collection": "$x"}, "collection"),
        ({"database": "x", "timeout": -1}, "timeout"),
        ({"database": "x", "timeout": float("nan")}, "timeout"),
        ({"database": "x", "data_limit": 16 * 1024 * 1024}, "data_limit"),
        ({"database": "x", "data_limit": True}, "data_limit"),
        ({"database": "x", "write_concern": 0}, "unacknowledged"),
        ({"database": "x", "write_concern": "most"}, "write_concern"),
        ({"database": "x", "client": "mongodb://x"}, "MongoClient"),
        ({"database": "x", "executors": {"": print}}, "type"),
        ({"database": "x", "executors": {"a": 5}}, "callable"),
    ],
)
def test_a_bad_configuration_is_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JobManager(**arguments)


def test_what_the_users_client_is_set_to_does_not_matter(server: EmbeddedMongo, database: str) -> None:
    options: dict[str, Any] = {"w": 0, "retryWrites": False, "readPreference": "secondary", "tz_aware": False}
    with MongoClient[dict[str, Any]](server.uri, **options) as client:
        given = client.get_database(
            database,
            write_concern=WriteConcern(0),
            read_concern=ReadConcern("available"),
            read_preference=ReadPreference.SECONDARY,
        )
        with JobManager(given, executors={"a": lambda data: data}) as manager:
            job = manager.create("a", {"x": 1})
            assert manager.create("a", {"x": 1}).created is False
            done = manager.run()
            assert done is not None
            assert (done.id, done.state, done.created_at) == (job.id, State.SUCCEEDED, job.created_at)
            assert done.created_at.tzinfo is not None
        assert client.admin.command("ping")["ok"] == 1, "a client that was given is not closed"


def test_writes_are_majority_unless_less_is_asked_for_by_name(server: EmbeddedMongo, database: str) -> None:
    with JobManager(database, uri=f"{server.uri}&w=1&journal=false") as manager:
        assert manager.store._connection.jobs.write_concern == WriteConcern("majority", j=True)
    with JobManager(database, uri=server.uri, write_concern=1) as manager:
        assert manager.store._connection.jobs.write_concern == WriteConcern(1)


def test_no_representation_shows_a_secret(server: EmbeddedMongo) -> None:
    with JobManager("x", uri="mongodb://me:hunter2@127.0.0.1:1/?authSource=admin", timeout=0.2) as manager:
        with pytest.raises(StoreUnavailable) as caught:
            manager.count()
        assert "hunter2" not in repr(manager) + str(caught.value)


def test_a_refused_operation_says_so_and_is_not_called_unavailable(
    make_manager: MakeManager, jobs: Jobs, client: MongoClient[dict[str, Any]]
) -> None:
    manager = make_manager()
    manager.ensure_indexes()
    client[jobs.database.name].command("collMod", "jobs", validator={"type": "allowed"})
    with pytest.raises(StoreRefused, match="refused"):
        manager.create("a")
    assert manager.create("allowed").created


def test_nobody_waits_for_the_look_at_indexes_that_another_thread_takes(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server that does not answer they would wait in a row, each for a time limit of its own."""
    manager = make_manager()
    server, store = manager.store.ready(), manager.store
    looking, answered = threading.Event(), threading.Event()

    async def ask() -> object:
        looking.set()
        assert answered.wait(PATIENCE)
        return server

    monkeypatch.setattr(store.contact, "_ask", ask)
    store.contact._check_at = 0.0
    with ThreadPoolExecutor(2) as others:
        try:
            look = others.submit(store.ready)
            assert looking.wait(PATIENCE)
            assert others.submit(manager.create, "a").result(PATIENCE / 2).created
            assert not look.done()
        finally:
            answered.set()
        assert look.result(PATIENCE) is server


def test_a_look_at_indexes_that_got_no_answer_is_repeated(
    make_manager: MakeManager, client: MongoClient[dict[str, Any]]
) -> None:
    manager = make_manager()
    manager.store.ready()
    manager.store.contact._check_at = 0.0
    with fail_command(client, ["listIndexes"], code=11602) as point:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                manager.count()
        assert point.struck >= 2
    assert manager.count() == 0
