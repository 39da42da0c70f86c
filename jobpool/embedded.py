"""A private mongod, for trying out, tests and single machines. Not for production.

It is a real one: a one-node replica set on loopback, with journaled majority
writes, change streams and transactions, and it is gone when the process that
started it is gone.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from .errors import EmbeddedMongoError
from .names import check_int

MONGOD_VARIABLE = "JOBPOOL_MONGOD"
INSTALL = "python -m pip install 'jobpool[embedded]'"
REPLICA_SET = "jobpool"
LOG = "mongod.log"
#: A mongod starts in about a second; a slow disk after a crash may need a journal replay.
START_TIME = 60.0
STOP_TIME = 20.0
#: The ports that `free_port` has returned; the values say who asked first.
_given: dict[int, object] = {}

#: Ends mongod when the standard input of this shell is closed, which the kernel does
#: when the process at its other end dies in whatever way. $1 is a directory to remove
#: then, or empty; the rest is the command. A server whose data go with it is killed.
_GUARD = """
scrap=$1; shift
if [ -n "$scrap" ]; then how=KILL; else how=TERM; fi
exec 3<&0
"$@" 3<&- & server=$!
(
  read -r _ <&3
  trap '' TERM
  kill -$how $server
  [ -n "$scrap" ] || exit
  while kill -0 $server 2>/dev/null; do sleep 0.05; done
  rm -rf "$scrap"
) & watch=$!
trap 'kill -TERM $server' TERM
while :; do wait $server; code=$?; kill -0 $server 2>/dev/null || break; done
kill $watch 2>/dev/null
exit $code
"""

_T = TypeVar("_T")


class EmbeddedMongo:
    """A mongod of one's own, as a context manager with a `uri`.

    Args:
        path: The directory of its data, kept afterwards; a temporary one if None.
        port: Its port on 127.0.0.1; a free one if None.
        mongod: The binary; ``$JOBPOOL_MONGOD``, the ``PATH`` and the package of
            the ``embedded`` extra are searched, in this order, if None.
        replicated: False starts a standalone server, without change streams
            and transactions.
        parameters: Server parameters (``--setParameter``).
        arguments: Further arguments for mongod, for example ``--auth``.

    Raises:
        EmbeddedMongoError: On `start`: no binary, a library it needs is
            missing, the directory or the port is in use, or it did not come up.

    Threads: one at a time. In a forked child `stop` does nothing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        port: int | None = None,
        mongod: str | os.PathLike[str] | None = None,
        *,
        replicated: bool = True,
        parameters: Mapping[str, str | int] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.path = None if path is None else Path(path)
        self.port = None if port is None else check_int(port, "port", 1, 65535)
        self._mongod = mongod
        self._replicated = replicated
        self._parameters = dict(parameters or {})
        self._arguments = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None
        self._port = 0
        self._pid = 0

    @property
    def uri(self) -> str:
        """The address to give to a `JobManager`."""
        if self._process is None:
            raise EmbeddedMongoError("the embedded mongod is not running: use it in a with block, or call start()")
        options = f"replicaSet={REPLICA_SET}" if self._replicated else "directConnection=true"
        return self._address(options)

    @property
    def directory(self) -> Path:
        """Where its data and its log are."""
        if self._directory is None:
            raise EmbeddedMongoError("the embedded mongod is not running")
        return self._directory

    @property
    def server_pid(self) -> int:
        """The process id of the mongod."""
        return int((self.directory / "mongod.pid").read_text())

    def start(self) -> Self:
        """Start it, wait until it takes writes, and return it."""
        if self._process is not None:
            return self
        binary = find_mongod(self._mongod)
        self._directory = self._make_directory()
        self._port = self.port or free_port()
        self._pid = os.getpid()
        self._process = self._launch(binary)
        try:
            self._become_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it and remove a temporary directory. May be repeated."""
        process, self._process = self._process, None
        if process is None or os.getpid() != self._pid:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            assert process.stdin is not None
            process.stdin.close()  # the guard then does it
            process.kill()
            process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()
            if self.path is None and self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)

    def ended(self) -> bool:
        """Return whether the server is not running (any more)."""
        return self._process is None or self._process.poll() is not None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_directory(self) -> Path:
        if self.path is None:
            return Path(tempfile.mkdtemp(prefix="jobpool-mongod-"))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddedMongoError(f"cannot use {self.path} for the data of mongod: {error}") from error
        return self.path

    def _launch(self, binary: str) -> subprocess.Popen[bytes]:
        directory = self.directory
        command = [binary, "--dbpath", str(directory), "--port", str(self._port), "--bind_ip", "127.0.0.1"]
        command += ["--logpath", str(directory / LOG), "--pidfilepath", str(directory / "mongod.pid")]
        # Half of the machine's memory is mongod's default for its cache, and 5 % of the disk for its oplog.
        command += ["--wiredTigerCacheSizeGB", "0.5", "--nounixsocket"]
        if self._replicated:
            command += ["--replSet", REPLICA_SET, "--oplogSize", "512"]
        for name, value in self._parameters.items():
            command += ["--setParameter", f"{name}={value}"]
        command += self._arguments
        scrap = str(directory) if self.path is None else ""
        with (directory / "mongod.err").open("wb") as errors:
            return subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "jobpool-mongod", scrap, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                # A session of its own: Ctrl-C is for the pool, which needs the server to drain.
                start_new_session=True,
            )

    def _become_ready(self) -> None:
        address = self._address("directConnection=true")
        with MongoClient[dict[str, Any]](address, serverSelectionTimeoutMS=200, connectTimeoutMS=2000) as client:
            self._until(lambda: self._is_ours(client), "did not answer")
            if self._replicated:
                self._until(lambda: self._initiate(client), "did not take its replica set configuration")
                self._until(
                    lambda: bool(client.admin.command("hello").get("isWritablePrimary")), "did not become primary"
                )

    def _address(self, options: str) -> str:
        """Return the URI with `options`; a server started with ``--auth`` or TLS needs more in it."""
        return f"mongodb://127.0.0.1:{self._port}/?{options}"

    def _is_ours(self, client: MongoClient[dict[str, Any]]) -> bool:
        """Say whether the server that answers is the one we started: the port may be another one's."""
        options = client.admin.command("getCmdLineOpts")["parsed"]
        return bool(options.get("storage", {}).get("dbPath") == str(self.directory))

    def _initiate(self, client: MongoClient[dict[str, Any]]) -> bool:
        """Make it a replica set of one, under its present port."""
        member = {"_id": 0, "host": f"127.0.0.1:{self._port}"}
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code != 94:  # NotYetInitialized
                raise
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
            return True
        if config["members"][0]["host"] != member["host"]:  # kept data, another port
            config["members"][0]["host"] = member["host"]
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)
        return True

    def _until(self, answered: Callable[[], bool], failure: str) -> None:
        """Wait until `answered` is true, mongod has ended, or the time is over."""
        deadline = time.monotonic() + START_TIME
        while True:
            try:
                if answered():
                    return
            except PyMongoError:
                pass  # not up yet
            assert self._process is not None
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                raise EmbeddedMongoError(
                    f"mongod {failure} within {START_TIME:g} s; see {self.directory / LOG}"
                ) from None
            raise EmbeddedMongoError(self._why_it_ended())

    def _why_it_ended(self) -> str:
        """Return what the user can do about a mongod that ended while starting."""
        log = _read_end(self.directory / LOG)
        errors = _read_end(self.directory / "mongod.err")
        if "DBPathInUse" in log:
            return f"{self.directory} is in use by another mongod: stop that one, or take another directory"
        if "Address already in use" in log or "SocketException" in log:
            return f"port {self._port} on 127.0.0.1 is in use: take another one, or none for a free one"
        if "shared librar" in errors or "Library not loaded" in errors:
            return f"{errors.strip().splitlines()[-1]}: install that system library (Debian: libcurl4, libssl3)"
        reason = (errors.strip().splitlines() or log.strip().splitlines() or ["it said nothing"])[-1]
        return f"mongod ended while starting: {reason[:500]}"


def find_mongod(given: str | os.PathLike[str] | None = None) -> str:
    """Return the path of a mongod binary; see `EmbeddedMongo` for where it is looked for."""
    named = given or os.environ.get(MONGOD_VARIABLE)
    if named:
        found = shutil.which(os.fspath(named))
        if found is None:
            raise EmbeddedMongoError(f"{os.fspath(named)} is not an executable mongod")
        return found
    found = shutil.which("mongod") or _packaged()
    if found is None:
        raise EmbeddedMongoError(
            f"no mongod on the PATH nor in ${MONGOD_VARIABLE}; install one with: {INSTALL} ({sys.platform})"
        )
    return found


def _packaged() -> str | None:
    """Return the binary that the package of the ``embedded`` extra carries, without importing it."""
    spec = find_spec("fiftyone")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "db" / "bin" / "mongod"
        if binary.is_file():
            return str(binary)
    return None


def free_port() -> int:
    """Return a port that nobody listens on, and that this process did not return before.

    Until somebody listens there the system may give it out again: of the
    members of a replica set, whose ports are chosen before any runs, two had the same.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        mine = object()
        if _given.setdefault(port, mine) is mine:  # one step, so that no other thread comes between
            return port


def _read_end(path: Path) -> str:
    try:
        return path.read_bytes()[-16384:].decode(errors="replace")
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return ""
