"""Mongods to be killed, restarted and elected: a replica set on loopback, and its members."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pymongo import MongoClient, ReadPreference
from pymongo.errors import PyMongoError

from ..embedded import find_mongod, free_port
from .proof import wait_for

Client = MongoClient[dict[str, Any]]
NAME = "replicas"
#: Five times faster than MongoDB's default of 10 s, so that much can be measured or tried in little time.
ELECTION_TIMEOUT = 2.0
#: Far above what an election takes: it bounds a failure, not a success.
PATIENCE = 60.0
#: Kills the process $1 when the standard input ends, which the kernel sees to when its owner is gone.
_GUARD = "trap '' TERM; read -r _; kill -KILL $1"


class Node:
    """One mongod, on a port of its own. It dies with the thread that started it, or at least with the process.

    Attributes:
        port: Where it listens.
        starts: How often it was started.
    """

    def __init__(self, directory: Path, options: tuple[str, ...], environment: dict[str, str]) -> None:
        self.directory = directory
        self.port = free_port()
        self._options = options
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self.starts = 0
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def host(self) -> str:
        """The name under which it is a member."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the process."""
        self.starts += 1
        command = [find_mongod(), "--dbpath", str(self.directory), "--port", str(self.port)]
        command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--replSet", NAME]
        command += ["--logpath", str(self.directory / "mongod.log"), "--logappend"]
        command += ["--wiredTigerCacheSizeGB", "0.25", *self._options]
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self._process = _spawn([*leash, *command], env={**os.environ, **self._environment})
        if not leash:
            guard = ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid)]
            self._guard = _spawn(guard, stdin=subprocess.PIPE)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal that ends it, and wait for the end."""
        if self._process is not None:
            self._process.send_signal(number)
            if number is signal.SIGTERM:
                self._process.send_signal(signal.SIGCONT)
            self._process.wait()
            self._process = None
            self._end_guard()

    def _end_guard(self) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.kill()  # before its input ends: the number may be another process's by now
            self._guard.wait()
            self._guard.stdin.close()
            self._guard = None

    def close(self) -> None:
        """Kill it, for good."""
        self.end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def client(self) -> Client:
        """Return a client of this very member, around whatever stands before it."""
        return MongoClient(f"mongodb://127.0.0.1:{self.port}/?directConnection=true", serverSelectionTimeoutMS=500)

    def hello(self) -> dict[str, Any]:
        """Return what the member says of itself; empty if it does not answer."""
        try:
            with self.client() as client:
                answer: dict[str, Any] = client.admin.command("hello")
                return answer
        except PyMongoError:
            return {}


AnyNode = TypeVar("AnyNode", bound=Node)


class ReplicaSet(Generic[AnyNode]):
    """Mongods that elect fast, as a context manager.

    Args:
        make: Makes a member of its directory, the options of its command line and its environment.
        nodes: How many.
        oplog_mb: What the oplog may take.
        options: For the command line of every mongod.
        environment: For all of them.
        directory: Where the data are; a temporary one if None.
    """

    def __init__(
        self,
        make: Callable[[Path, tuple[str, ...], dict[str, str]], AnyNode],
        nodes: int = 3,
        *,
        oplog_mb: int = 200,
        options: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self._directory = directory or Path(tempfile.mkdtemp(prefix="jobpool-replicas-"))
        every = ("--oplogSize", str(oplog_mb), *options)
        self.nodes = [make(self._directory / str(n), every, environment or {}) for n in range(nodes)]

    @property
    def uri(self) -> str:
        """The address for clients."""
        return f"mongodb://{','.join(node.host for node in self.nodes)}/?replicaSet={NAME}"

    def start(self) -> Self:
        """Start all members and wait for the primary."""
        for node in self.nodes:
            node.start()
        wait_for(lambda: all(node.hello() for node in self.nodes), "the members", PATIENCE)
        members = [{"_id": n, "host": node.host} for n, node in enumerate(self.nodes)]
        settings = {"electionTimeoutMillis": int(ELECTION_TIMEOUT * 1000), "heartbeatIntervalMillis": 500}
        with self.nodes[0].client() as client:
            config = {"_id": NAME, "members": members, "settings": settings}
            client.admin.command("replSetInitiate", config)
        self.settle()
        return self

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill everything and remove the data."""
        for node in self.nodes:
            node.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def primary(self) -> AnyNode:
        """Wait for a primary and return it."""
        found: list[AnyNode] = []

        def look() -> bool:
            found[:] = [node for node in self.nodes if node.running and node.hello().get("isWritablePrimary")]
            return bool(found)

        wait_for(look, "a primary", PATIENCE)
        return found[0]

    def settle(self) -> AnyNode:
        """Wait until there is a primary and everybody else follows it; return the primary."""
        wait_for(lambda: all(_follows(node.hello()) for node in self.nodes), "a settled set", PATIENCE)
        return self.primary()

    def step_down(self) -> AnyNode:
        """Make the primary step down and return the member that it was; another one, or it, is elected."""
        node = self.primary()
        with node.client() as client:
            client.admin.command({"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 2, "force": True})
        return node

    def kill_primary(self) -> AnyNode:
        """Kill the primary with -9 and return it; `Node.start` brings it back."""
        node = self.primary()
        node.end(signal.SIGKILL)
        return node

    def client(self, **options: Any) -> Client:
        """Return a client of the set that follows the primary."""
        return MongoClient(self.uri, tz_aware=True, read_preference=ReadPreference.PRIMARY, **options)


def _spawn(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that neither reads, writes, nor hears Ctrl-C, unless `options` say so."""
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "start_new_session": True}
    return subprocess.Popen(command, **{**silent, **options})


def _follows(hello: dict[str, Any]) -> bool:
    return bool(hello.get("isWritablePrimary") or (hello.get("secondary") and hello.get("primary")))
