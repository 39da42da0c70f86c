"""The host of a pool: what it can see of itself, and hosts that are scripts."""

from __future__ import annotations

import asyncio
import decimal
import gc
import locale
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from prometheus_client import REGISTRY

from ..waiting import until

ROOT = Path(__file__).parents[2]
#: Seconds after which a script that hangs shows where its threads are, and ends.
WATCHDOG = 40

PRELUDE = f"""
import faulthandler, os, signal, sys, threading, time
faulthandler.dump_traceback_later({WATCHDOG}, exit=True)
from jobpool import JobManager, WorkerPool
from jobpool.errors import ForkedProcess, PoolStateError
from tests.waiting import until
DATABASE, PATIENCE = os.environ["TEST_DATABASE"], 30.0
"""


#: The thread that tells those who wait for a job.
SHARED = "jobpool-shared-notifier"


def pool_threads() -> set[str]:
    """Return the names of the threads that pools have now.

    `SHARED` is their manager's. It ends with that, or by itself seconds after the last wait, and is there
    only if one took more than a moment: on a busy machine, mostly.
    """
    names = {thread.name for thread in threading.enumerate() if thread.name.startswith("jobpool-")}
    return names - {SHARED}


def _ours(thread: threading.Thread) -> bool:
    """Say whether a thread is the driver's: it comes and goes with clients, and the tests have one as well."""
    return not thread.name.startswith("pymongo_")


def _files() -> list[str]:
    """Return what the process has open, sockets aside."""
    targets = []
    for number in os.listdir("/proc/self/fd"):
        try:
            targets.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # the listing's own
            continue
    return sorted(target for target in targets if not target.startswith("socket:"))


def sockets() -> int:
    """Return how many sockets the process has open."""
    return len(os.listdir("/proc/self/fd")) - len(_files())


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _numbers() -> list[signal.Signals | int]:
    return [number for number in sorted(signal.valid_signals()) if number not in (signal.SIGKILL, signal.SIGSTOP)]


def _state() -> dict[str, Any]:
    root = logging.getLogger()
    return {
        "signal handlers": {number: signal.getsignal(number) for number in _numbers()},
        "root logger": (
            root.level,
            tuple(root.handlers),
            tuple(root.filters),
            root.disabled,
            logging.root.manager.disable,
        ),
        "log settings": (logging.raiseExceptions, logging.lastResort, logging.getLoggerClass()),
        "registry": set(REGISTRY._collector_to_names),
        "threads": {thread for thread in threading.enumerate() if _ours(thread)},
        "files": _files(),
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "path": list(sys.path),
        "socket timeout": socket.getdefaulttimeout(),
        "warnings": list(warnings.filters),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.gettrace(), threading.gettrace()),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "collector": (gc.isenabled(), gc.get_threshold(), list(gc.callbacks)),
        "interpreter": (sys.getrecursionlimit(), sys.getswitchinterval()),
        "loop": (asyncio.get_event_loop_policy(), asyncio._get_running_loop()),
        "numbers": (str(decimal.getcontext()), locale.setlocale(locale.LC_ALL)),
    }


class HostSnapshot:
    """What a host sees of itself before and after a with block: the same, or it was harmed.

    Managers made inside are closed inside. Threads that were told to end may
    take a moment; `more_sockets` may be open, for the tests have a client.
    """

    def __init__(self, more_sockets: int = 4) -> None:
        self._before = _state()
        self._most_sockets = sockets() + more_sockets

    def __enter__(self) -> HostSnapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.check()

    def check(self) -> int:
        """Fail if anything is not as it was; return how many things were compared."""
        known = self._before["threads"]
        until(
            lambda: {thread for thread in threading.enumerate() if _ours(thread)} <= known,
            "the end of all threads",
        )
        after = _state()
        changed = [name for name, value in self._before.items() if after[name] != value and name != "threads"]
        assert changed == [], {name: (self._before[name], after[name]) for name in changed}
        assert sockets() <= self._most_sockets
        return len(after)


@dataclass
class Script:
    """A host in a process of its own, on the test's database.

    Attributes:
        environment: What it gets to know of the server.
        python: The interpreter.
    """

    environment: Mapping[str, str]
    python: str = sys.executable
    flags: Sequence[str] = ()
    done: list[str] = field(default_factory=list)

    def run(self, body: str, *flags: str, code: int = 0) -> str:
        """Run `body` behind a prelude, fail unless it exits with `code`, and return what it printed."""
        return self.execute(*flags, "-c", PRELUDE + body, code=code)

    def execute(self, *arguments: str, code: int = 0, **variables: str) -> str:
        """Run Python with `arguments`; see `run`."""
        done = subprocess.run(
            [self.python, *self.flags, *arguments],
            env={**self.environment, "PYTHONPATH": str(ROOT), **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert done.returncode == code, (
            f"exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        )
        self.done.append(done.stderr)
        return done.stdout
