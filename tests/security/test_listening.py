"""Nothing listens unless asked, and then on this machine only."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from jobpool import JobManager, WorkerPool
from jobpool.errors import InvalidConfiguration
from jobpool.http import MetricsServer

from ..conftest import MakeManager
from .commands import run_worker

LISTEN = "0A"


def listening() -> set[str]:
    """Return the local addresses of the sockets of this process that listen."""
    inodes = set()
    for handle in os.listdir("/proc/self/fd"):
        try:
            inodes.add(os.readlink(f"/proc/self/fd/{handle}").removeprefix("socket:[").removesuffix("]"))
        except OSError:
            continue
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        found |= {row[1] for row in rows if row[3] == LISTEN and row[9] in inodes}
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads the tables of Linux")
def test_nothing_listens_unless_asked_and_then_on_loopback(make_manager: MakeManager) -> None:
    before = listening()
    manager: JobManager = make_manager(executors={"a": print})
    with WorkerPool(manager, threads=2) as pool:
        manager.create("a")
        assert listening() == before
        server = pool.serve_metrics(0)
        (new,) = listening() - before
        assert new == f"0100007F:{server.port:04X}"
    assert listening() == before


@pytest.mark.parametrize("addr", ["", None, 5, b"127.0.0.1", "x" * 300, "no such host.invalid", "192.0.2.1"])
def test_an_address_that_is_none_is_an_error_and_not_every_address(addr: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=r"addr|cannot serve metrics"):
        MetricsServer({}, 0, addr)


def test_an_unset_variable_does_not_open_the_endpoint_to_all(make_manager: MakeManager, server: Any) -> None:
    unset = {"JOBPOOL_METRICS_ADDR": "", "JOBPOOL_METRICS_PORT": "0"}
    ended = run_worker("--burst", JOBPOOL_URI=server.uri, TEST_DATABASE="x", **unset)
    assert ended.returncode == 2, ended.stderr
    assert "addr must be a local address" in ended.stderr


def test_a_port_in_use_is_an_error_of_the_caller(make_manager: MakeManager) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, WorkerPool(make_manager(executors={"a": print})) as pool:
        with pytest.raises(InvalidConfiguration, match="cannot serve metrics on 127"):
            pool.serve_metrics(taken.getsockname()[1])
        assert pool.state == "started"


def test_the_endpoint_tells_nothing_of_what_it_is_made_of() -> None:
    with (
        MetricsServer({"/": lambda accept: (200, "text/plain", b"")}, 0, "127.0.0.1") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"Python" not in connection.recv(10_000)
