"""A forked child changes nothing of its parent's: not its claims, streams, sockets or servers."""

from __future__ import annotations

import http.client
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from jobpool import JobManager, WorkerPool
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import ForkedProcess
from jobpool.http import MetricsServer
from jobpool.pool import at_exit

from ..conftest import MakeManager
from ..waiting import PATIENCE, until


def in_child(act: Callable[[], None]) -> None:
    """Run `act` in a forked child; fail with what it raised."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of pytest may run here, and no deadlock may outlive the test
        try:
            import signal

            signal.alarm(20)
            act()
            os.write(writing, b"fine")
        except BaseException:
            os.write(writing, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as answer:
            assert answer.read() == b"fine"
    finally:
        os.waitpid(child, 0)


def refused(*calls: Callable[[], object]) -> None:
    for call in calls:
        with pytest.raises(ForkedProcess):
            call()


def test_a_child_is_refused_by_managers_and_pools(make_manager: MakeManager) -> None:
    manager = make_manager(executors={"a": lambda data: data})
    manager.create("a", 1)
    new, running = WorkerPool(manager), manager.start_watch(threads=2)

    def act() -> None:
        refused(
            lambda: manager.create("a", 2), manager.count, manager.run, manager.run_all, manager.ensure_indexes
        )
        refused(lambda: manager.remove_many(all=True), lambda: manager.cancel("x"), manager.start_watch)
        refused(new.start, running.start, running.stop, running.drain, manager.stop_watch)
        manager.close()  # says nothing: a with block may end here
        at_exit._end_all()

    in_child(act)
    assert running.state == "started"
    assert manager.wait(manager.create("a", 3).id, PATIENCE).result == 3
    assert manager.store.ready().replicated
    manager.stop_watch()


def test_a_child_ends_no_stream_of_its_parent(make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.ensure_indexes()
    with manager.store.watch(0.1) as watch:
        watch.next()

        def act() -> None:
            refused(watch.next, lambda: manager.store.watch(0.1))
            watch.close()

        in_child(act)
        manager.create("a")
        until(lambda: "a" in watch.next())


def test_a_child_ends_no_endpoint_of_its_parent() -> None:
    with MetricsServer({"/": lambda accept: (200, "text/plain", b"here")}, 0, "127.0.0.1") as server:
        in_child(server.close)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"here"
        connection.close()


def test_a_child_ends_no_server_of_its_parent(tmp_path: Path) -> None:
    with EmbeddedMongo(tmp_path / "data") as server:
        in_child(server.stop)
        assert not server.ended()
        with JobManager("x", uri=server.uri) as manager:
            assert manager.create("a").created


def test_a_child_of_an_executor_cannot_write_for_it(make_manager: MakeManager) -> None:
    def act_as_parent(data: object, manager: JobManager) -> str:
        in_child(lambda: refused(lambda: manager.create("b"), manager.count))
        return "parent"

    manager = make_manager(executors={"a": act_as_parent})
    manager.create("a")
    done = manager.run()
    assert done is not None
    assert (done.state, done.result, done.error) == ("succeeded", "parent", None)
