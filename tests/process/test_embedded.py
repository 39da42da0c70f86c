"""The embedded mongod comes and goes with its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from jobpool import JobManager
from jobpool.embedded import EmbeddedMongo, find_mongod
from jobpool.errors import EmbeddedMongoError

from ..waiting import until
from .conftest import ROOT


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def start_owner(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)


START = """
import sys, threading
from jobpool.embedded import EmbeddedMongo
server = EmbeddedMongo()
def start():
    server.start()
    print(server.server_pid, server.directory, flush=True)
"""
FROM_A_THREAD = "thread = threading.Thread(target=start); thread.start(); thread.join()"
STAY = "\nthreading.Event().wait()"


@pytest.mark.parametrize(
    ("ending", "script"),
    [
        ("SIGKILL", START + "start()" + STAY),
        ("SIGKILL after the thread that started it ended", START + FROM_A_THREAD + STAY),
        ("exit", START + "start()"),
    ],
)
def test_it_is_gone_when_its_owner_is_gone_and_not_before(ending: str, script: str) -> None:
    owner = start_owner(script)
    assert owner.stdout is not None
    pid_text, directory = owner.stdout.readline().split()
    pid = int(pid_text)
    if ending != "exit":
        assert alive(pid)
        owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: not alive(pid), "the end of mongod")
    until(lambda: not os.path.exists(directory), "the end of its directory")


def test_it_listens_on_loopback_only_and_is_a_primary() -> None:
    with EmbeddedMongo() as server:
        port = int(server.uri.split(":")[2].partition("/")[0])
        listening = {
            line.split()[1]
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/{server.server_pid}/net/{table}").read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
        }
        assert listening == {f"0100007F:{port:04X}"}
        with MongoClient[dict[str, object]](server.uri) as client:
            assert client.admin.command("hello")["isWritablePrimary"]


def test_a_given_directory_keeps_its_data_under_another_port(tmp_path: Path) -> None:
    with EmbeddedMongo(tmp_path) as server, JobManager("kept", uri=server.uri) as manager:
        id, first = manager.create("a", 1).id, server.uri
    with EmbeddedMongo(tmp_path) as server, JobManager("kept", uri=server.uri) as manager:
        assert server.uri != first
        assert manager.get(id).data == 1
        assert manager.create("a", 2).created


def test_a_second_start_on_a_directory_in_use_is_a_clear_error(tmp_path: Path) -> None:
    with EmbeddedMongo(tmp_path) as server:
        with pytest.raises(EmbeddedMongoError, match="in use by another mongod"):
            EmbeddedMongo(tmp_path).start()
        with JobManager("x", uri=server.uri) as manager:
            assert manager.create("a").created, "the first one is unharmed"


def test_a_port_in_use_is_a_clear_error() -> None:
    with EmbeddedMongo() as server:
        port = int(server.uri.split(":")[2].partition("/")[0])
        with pytest.raises(EmbeddedMongoError, match=f"port {port}.*in use"):
            EmbeddedMongo(port=port).start()


def test_a_server_that_ends_leaves_nothing_behind() -> None:
    with EmbeddedMongo() as server:
        directory, pid, uri = server.directory, server.server_pid, server.uri
    assert not directory.exists()
    assert not alive(pid)
    with (
        MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=100) as client,
        pytest.raises(PyMongoError),
    ):
        client.admin.command("ping")
    with pytest.raises(EmbeddedMongoError, match="not running"):
        server.uri  # noqa: B018
    server.stop()


def test_a_binary_that_lacks_a_library_is_named_with_what_to_install(tmp_path: Path) -> None:
    broken = tmp_path / "mongod"
    broken.write_text(
        "#!/bin/sh\necho 'mongod: error while loading shared libraries: libcurl.so.4' >&2\nexit 127\n"
    )
    broken.chmod(0o755)
    with pytest.raises(EmbeddedMongoError, match=r"libcurl\.so\.4.*libcurl4"):
        EmbeddedMongo(mongod=broken).start()


def test_a_missing_binary_is_an_error_with_the_install_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("jobpool.embedded.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedMongoError, match="pip install"):
        find_mongod()


def test_the_command_prints_its_uri_and_ends_with_a_signal(tmp_path: Path) -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "jobpool", "mongod", "--path", str(tmp_path / "data")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert command.stdout is not None
    uri = command.stdout.readline().strip()
    with JobManager("x", uri=uri) as manager:
        assert manager.create("a").created
    command.send_signal(signal.SIGTERM)
    assert command.wait(30) == 0
    command.stdout.close()
    assert (tmp_path / "data").exists()
