"""Commands as processes, in a pipe and on a terminal, as their users have them.

answer = cli("ls", "--json")             # JOBPOOL_URI and JOBPOOL_DATABASE are those of the test
assert (answer.code, answer.err) == (0, "") and answer.lines[0]["id"] == "..."

with cli.on_a_terminal("purge", "--state", "failed", width=60) as terminal:
    terminal.read_until("[y/N]")
    terminal.type("y\\n")
    assert terminal.end() == 0
assert "purged" in terminal.text
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..waiting import PATIENCE

ROOT = Path(__file__).parents[2]
#: Where no MongoDB is, which a client finds out soon.
GONE = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200"
#: Of the caller, and not of the test.
_OTHERS = ("JOBPOOL_", "TEST_")
_LOOKS = frozenset(("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "COLORTERM", "TTY_COMPATIBLE"))
#: As if rich was not installed.
_WITHOUT_RICH = (
    "import runpy, sys; sys.modules['rich'] = None; "
    "runpy.run_module('jobpool', run_name='__main__', alter_sys=True)"
)
#: Takes the terminal that is its stdin, so that Ctrl-C typed there is a signal, and becomes the command.
_ON_A_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
#: What a terminal obeys and does not show: control sequences, titles, the choice of a character set.
CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78DMc])")


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """The values of its output, one JSON text a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def json(self) -> Any:
        """The one value that its output is."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The words of each line of its output."""
        return [line.split() for line in self.out.splitlines()]


class Cli:
    """Runs ``jobpool`` commands against a server and a database.

    Args:
        uri, database: What they find in their environment; None leaves it out.
        directory: Where they run; modules there can be imported.
        variables: More of their environment.
    """

    def __init__(self, uri: str | None, database: str | None, directory: Path, **variables: str) -> None:
        self._directory = directory
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        given = {"JOBPOOL_URI": uri, "JOBPOOL_DATABASE": database, "PYTHONPATH": str(ROOT), **variables}
        self.environment = {name: value for name, value in kept.items() if name not in _LOOKS}
        self.environment |= {name: value for name, value in given.items() if value is not None}

    def __call__(
        self,
        *arguments: str,
        input: str | bytes | None = None,
        without_rich: bool = False,
        timeout: float = 60,
        **variables: str,
    ) -> Answer:
        """Run a command to its end; no input is an empty one."""
        with self.started(*arguments, without_rich=without_rich, **variables) as process:
            data = input.encode() if isinstance(input, str) else input
            out, err = process.communicate(data, timeout=timeout)
        return Answer(process.returncode, out.decode(), err.decode())

    @contextmanager
    def started(
        self, *arguments: str, without_rich: bool = False, **variables: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a command with pipes; it is killed if it still runs at the end of the block."""
        process = subprocess.Popen(
            _command(arguments, without_rich),
            env={**self.environment, **variables},
            cwd=self._directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None and not pipe.closed:
                    with suppress(BrokenPipeError):
                        pipe.close()
            process.wait()

    @contextmanager
    def on_a_terminal(
        self,
        *arguments: str,
        width: int = 80,
        height: int = 24,
        without_rich: bool = False,
        piped: bool = False,
        **variables: str,
    ) -> Iterator[Terminal]:
        """Start a command on a terminal of that size; it is killed if it still runs at the end of the block.

        Args:
            piped: Only stdin and stderr are the terminal, stdout goes to ``terminal.piped``.
        """
        ours, theirs = pty.openpty()
        terminal = Terminal(ours)
        terminal.resize(width, height)
        process = subprocess.Popen(
            [sys.executable, "-c", _ON_A_TERMINAL, *_command(arguments, without_rich)],
            env={**self.environment, "TERM": "xterm-256color", **variables},
            cwd=self._directory,
            stdin=theirs,
            stdout=subprocess.PIPE if piped else theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        terminal.process = process
        try:
            yield terminal
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            os.close(ours)


class Here:
    """Runs commands in the process of the test, answered as by `Cli`: a process takes half a second to begin.

    Args:
        run: What runs a command: ``jobpool.cli.main``.
        read: Returns what was written to stdout and stderr since it was called last.
        directory: Where input is put.
    """

    def __init__(
        self, run: Callable[[list[str]], int], read: Callable[[], tuple[str, str]], directory: Path
    ) -> None:
        self._run, self._read, self._directory = run, read, directory

    def __call__(self, *arguments: str, input: str | bytes = b"") -> Answer:
        """Run a command to its end."""
        file = self._directory / "input"
        file.write_bytes(input.encode() if isinstance(input, str) else input)
        before = sys.stdin
        try:
            with file.open() as sys.stdin:
                code = self._run(list(arguments))
        except SystemExit as ended:  # of the parser
            code = int(ended.code or 0)
        finally:
            sys.stdin = before
        return Answer(code, *self._read())


class Terminal:
    """The other side of a terminal: reads what a command shows there, and types.

    Fields: `raw` is all that was shown so far.
    """

    def __init__(self, file: int) -> None:
        self.process: subprocess.Popen[bytes]
        self.raw = ""
        self.piped = ""
        self._file = file
        self._rest = b""

    @property
    def text(self) -> str:
        """All that was shown so far, without control sequences; lines end in a newline alone."""
        return CONTROL.sub("", self.raw).replace("\r\n", "\n")

    def resize(self, width: int, height: int) -> None:
        """Give the window another size; the command hears of it."""
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def read_until(self, part: str, times: int = 1, patience: float = PATIENCE) -> str:
        """Read until that was shown so often since the start; return all of `text`."""
        deadline = time.monotonic() + patience
        while self.text.count(part) < times:
            left = deadline - time.monotonic()
            came = left > 0 and self._read(left)
            assert came, f"{part!r} was not shown {times} times in: {self.text}"
        return self.text

    def type(self, keys: str) -> None:
        """Type that; ``\\x03`` is Ctrl-C."""
        os.write(self._file, keys.encode())

    def send(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        self.process.send_signal(number)

    def attributes(self) -> list[Any]:
        """Return how the terminal is set (echo, lines ...), to see whether a command restored that."""
        return termios.tcgetattr(self._file)

    def end(self, patience: float = PATIENCE) -> int:
        """Read up to the end of the command, and return its exit code."""
        deadline = time.monotonic() + patience
        if self.process.stdout is not None:
            self.piped += self.process.stdout.read().decode()
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it did not end: {self.text}"
            self._read(0.05)
        while self._read(0):
            pass
        return self.process.returncode

    def _read(self, patience: float) -> bool:
        """Read what comes; return whether anything came."""
        ready, _, _ = select.select([self._file], [], [], patience)
        if not ready:
            return False
        try:
            self._rest += os.read(self._file, 65536)
        except OSError as error:  # Linux says so when nobody has it open any more
            if error.errno != errno.EIO:
                raise
            return False
        whole = self._rest.decode("utf-8", "ignore")  # without the first part of a character, if it ends in one
        self.raw += whole
        self._rest = self._rest[len(whole.encode()) :]
        return True


def _command(arguments: tuple[str, ...], without_rich: bool) -> list[str]:
    start = ["-c", _WITHOUT_RICH] if without_rich else ["-m", "jobpool"]
    return [sys.executable, *start, *arguments]
