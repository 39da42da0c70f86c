"""The processes of a benchmark: pools and producers with an interpreter of their own.

Parent and child talk in lines of JSON over the child's standard input and
output. A child says ``{"ready": ...}``, waits for the word to go, so that all
begin together, works until it is told to stop, and reports.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from queue import Empty, Queue
from typing import Any

from .proof import BenchmarkFailed

START_TIME = 60.0
END_TIME = 20.0
GO, STOP = "go", "stop"


class Child:
    """A process that plays a role, as its parent sees it.

    Args:
        role: A function of a module here, as ``module:function``. It is called
            in the child with the settings and a `Parent`.
        settings: Anything that JSON can say.

    Threads: one at a time. A thread of its own reads what the child says.
    """

    def __init__(self, role: str, settings: dict[str, Any]) -> None:
        self.role = role
        self._latest: dict[str, Any] = {}
        self._said: Queue[dict[str, Any] | None] = Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent, which ends its children
        )
        threading.Thread(target=self._read, name=f"bench-{role}", daemon=True).start()
        self._write(settings)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            for line in said:
                message = json.loads(line)
                self._latest |= message
                self._said.put(message)
        self._said.put(None)

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise BenchmarkFailed(f"the process {self.role} ended by itself; see above") from None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def news(self, name: str, default: Any) -> Any:
        """Return the newest that the child said under that name.

        Raises:
            BenchmarkFailed: It has ended, and nobody told it to.
        """
        if self._process.poll() is not None:
            raise BenchmarkFailed(
                f"the process {self.role} ended by itself (exit code {self._process.returncode}); see above"
            )
        return self._latest.get(name, default)

    def tell(self, word: str, **more: Any) -> None:
        """Send a word; GO and STOP are understood by all roles."""
        self._write({"word": word, **more})

    def hear(self, name: str, patience: float = START_TIME) -> Any:
        """Wait for what the child says under that name and return it; other news are dropped."""
        while True:
            try:
                message = self._said.get(timeout=patience)
            except Empty:
                raise BenchmarkFailed(
                    f"the process {self.role} did not say {name} within {patience:g} s"
                ) from None
            if message is None:
                raise BenchmarkFailed(f"the process {self.role} ended without saying {name}; see above")
            if name in message:
                return message[name]

    def finish(self, patience: float = START_TIME) -> Any:
        """Tell it to stop, wait for its end and return its report."""
        self.tell(STOP)
        report = self.hear("report", patience)
        self._process.wait(END_TIME)
        return report

    def kill(self) -> None:
        """Kill it with -9, as a crash would, and wait for the end. Harmless if it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):  # a last word may not have been sent
                self._process.stdin.close()


class Parent:
    """The parent, as a child sees it. Threads: any may `say`; one may `hear`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # so that lines stay whole

    def say(self, name: str, value: Any) -> None:
        """Send something under a name."""
        with self._lock:
            sys.stdout.write(json.dumps({name: value}) + "\n")
            sys.stdout.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for a word, whichever, and return it with what came with it.

        If the parent is gone the process ends on the spot: its pools would wait
        for a server that may be gone as well, and their jobs are of no use.
        """
        line = sys.stdin.readline()
        if not line:
            os._exit(1)
        message: dict[str, Any] = json.loads(line)
        return message

    def wait_for(self, word: str) -> dict[str, Any]:
        """Wait for that word and return what came with it; others are dropped."""
        while (message := self.hear())["word"] != word:
            pass
        return message


def main() -> None:
    """Play the role that the command line names."""
    module, _, name = sys.argv[1].partition(":")
    settings = json.loads(sys.stdin.readline())
    role: Callable[[dict[str, Any], Parent], None] = getattr(import_module(f"{__package__}.{module}"), name)
    role(settings, Parent())


if __name__ == "__main__":
    main()
