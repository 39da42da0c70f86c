"""A process that counts: ``python -m tests.observability.worker SETTINGS``. A pool ends when its input does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jobpool.cli import main as command_line
from jobpool.embedded import free_port
from jobpool.pool import census

from .load import make_manager

ROOT = Path(__file__).parents[2]


class Process:
    """A process under our hands that serves metrics; a context manager that ends it for sure.

    Args:
        settings: For `main`.
        directory: For its log.
        port: Of its metrics.
    """

    def __init__(self, settings: dict[str, Any], directory: Path, port: int) -> None:
        self.port = port
        self.log = directory / f"process-{port}.log"
        # stopped, it does not see its input end; the kernel then kills it with its parent
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*guard, sys.executable, "-m", "tests.observability.worker", json.dumps(settings)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    @property
    def address(self) -> str:
        """Where its metrics are."""
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Kill it with -9, stopped or not, and wait for its end. May be repeated."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def pause(self) -> None:
        """Let it stand still; its leases run on."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class Worker(Process):
    """A pool as a process.

    Args:
        uri: Of the server.
        database: The jobs' one.
        directory: For its log.
        port: Of its metrics; a free one if None. A successor may take it over.
        types: What it runs; all if empty.
        rest: For how many times what a count took it rests after it.
        options: Of its pool.
    """

    def __init__(
        self,
        uri: str,
        database: str,
        directory: Path,
        *,
        port: int | None = None,
        types: Sequence[str] = (),
        rest: float = census.REST,
        **options: Any,
    ) -> None:
        port = port or free_port()
        pool = {"uri": uri, "database": database, "port": port, "types": list(types), "options": options}
        super().__init__({"rest": rest, "pool": pool}, directory, port)

    def wait_until_up(self) -> Self:
        """Wait until its pool runs and its metrics are served."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"up\n", self.log.read_text()
        return self

    def __enter__(self) -> Self:
        return self.wait_until_up()


class Exporter(Process):
    """``jobpool metrics --serve``: the cluster view without a pool."""

    def __init__(self, uri: str, database: str, directory: Path, *, rest: float = census.REST) -> None:
        port = free_port()
        command = ["metrics", database, "--uri", uri, "--serve", str(port), "--every", "1"]
        super().__init__({"rest": rest, "command": command}, directory, port)


def main() -> None:
    """Run a pool until the input ends, or a command."""
    settings = json.loads(sys.argv[1])
    census.REST = settings["rest"]
    if "command" in settings:
        sys.exit(command_line(settings["command"]))
    _run_pool(settings["pool"])


def _run_pool(settings: dict[str, Any]) -> None:
    manager = make_manager(settings["uri"], settings["database"])
    pool = manager.start_watch(*settings["types"], **settings["options"])
    pool.serve_metrics(settings["port"])
    print("up", flush=True)
    sys.stdin.read()
    pool.stop(timeout=0)
    os._exit(0)  # an executor that runs on would keep it


if __name__ == "__main__":
    main()
