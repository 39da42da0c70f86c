"""Programs whose executors run in child processes: how such programs end, and what they may look like."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..waiting import until
from .conftest import ROOT
from .test_children import is_gone

#: A program with a busy child and an idle one; the rest is what it does then, and with what one is busy.
PROGRAM = """
import contextlib, os, sys, threading
from pathlib import Path
from jobpool.errors import ProcessDied
from jobpool.pool.children import Children

FACTS = {"id": "a", "type": "t", "attempt": 1, "fence": 1, "created_at": None, "pool": "p"}


def note(name):
    Path(f"{name}.new").write_text(str(os.getpid()))
    os.rename(f"{name}.new", name)
    return __name__


def hang(name):
    note(name)
    threading.Event().wait()


def spin(name):
    note(name)
    while True:
        pass


def run(children, fn, data):
    return children.run(fn, data, facts=FACTS, limit=None, told=lambda: None)


def run_until_killed(*arguments):
    with contextlib.suppress(ProcessDied):
        run(*arguments)


def main():
    children = Children("program")
    busy = threading.Thread(target=run_until_killed, args=(children, {busy}, "busy"), daemon=True)
    busy.start()
    pause = threading.Event()
    while not Path("busy").exists():
        pause.wait(0.01)
    assert run(children, note, "idle") == "__mp_main__"
    Path("there").touch()
    {then}


if __name__ == "__main__":
    main()
"""

Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program in a folder and a process group of its own; whatever is left there is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str) -> subprocess.Popen[str]:
        (tmp_path / "program.py").write_text(source)
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "program.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        for pid in running_in(tmp_path):  # after a failure: they hold the pipe open
            os.kill(pid, signal.SIGKILL)
        process.communicate()


def running_in(folder: Path) -> Iterator[int]:
    """Yield the processes whose working directory is `folder`."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.readlink(entry / "cwd") == str(folder):
                yield int(entry.name)


def program(then: str, busy: str = "hang") -> str:
    return PROGRAM.replace("{then}", then).replace("{busy}", busy)


def pids(folder: Path) -> list[int]:
    until((folder / "there").exists, "the program's children")
    return [int((folder / name).read_text()) for name in ("busy", "idle")]


@pytest.mark.parametrize("busy", ["hang", "spin"])
def test_children_end_with_a_parent_that_is_killed(start: Start, tmp_path: Path, busy: str) -> None:
    process = start(program("pause.wait(60)", busy))
    children = pids(tmp_path)
    assert not any(is_gone(pid) for pid in children)
    process.send_signal(signal.SIGKILL)
    until(lambda: all(is_gone(pid) for pid in children), "the end of the children")
    assert process.communicate(timeout=60)[1] == ""


@pytest.mark.parametrize(
    ("then", "number", "code", "last_line"),
    [
        ("children.close(2)", None, 0, ""),
        ("pass  # leaves it to the exit", None, 0, ""),
        ("pause.wait(60)", signal.SIGTERM, -signal.SIGTERM, ""),
        ("pause.wait(60)", signal.SIGINT, -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_a_program_ends_with_its_children_and_says_nothing_of_them(
    start: Start, tmp_path: Path, then: str, number: signal.Signals | None, code: int, last_line: str
) -> None:
    """Signals go to the whole group, as those of a terminal do."""
    process = start(program(then))
    children = pids(tmp_path)
    if number is not None:
        os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert (errors.splitlines() or [""])[-1] == last_line
    assert errors.count("Traceback") == bool(last_line)
    until(lambda: all(is_gone(pid) for pid in children), "the end of the children")


def test_ctrl_c_while_a_child_starts_prints_nothing_of_the_child(start: Start, tmp_path: Path) -> None:
    """It cannot deal with it yet, so it must not hear of it."""
    source = program("pause.wait(60)").replace(
        "def main", "if __name__ != '__main__': note('starting'); threading.Event().wait(0.3)\n\n\ndef main"
    )
    process = start(
        "import signal; signal.signal(signal.SIGINT, lambda *_: None) if __name__ == '__main__' else 0\n" + source
    )
    until((tmp_path / "starting").exists)
    os.killpg(process.pid, signal.SIGINT)
    assert len(pids(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    assert process.communicate(timeout=60)[1] == ""


def test_a_program_without_a_main_guard_is_told_so(start: Start, tmp_path: Path) -> None:
    source = program("pass").replace('if __name__ == "__main__":\n    main()', "run(Children('x'), note, 'ran')")
    process = start(source)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert not (tmp_path / "ran").exists()
    last = errors.splitlines()[-1]
    assert "ProcessDied: job 'a': its child process ended with exit code 1 before it was ready" in last
    assert 'behind `if __name__ == "__main__":`?' in last


def test_work_that_only_the_parent_is_to_do_can_be_refused_in_a_child(start: Start, tmp_path: Path) -> None:
    source = program("children.close(2)").replace(
        "def main", "from jobpool.isolation import check_not_in_starting_child as check\n\ncheck()\n\n\ndef main"
    )
    process = start(source.replace("pause = threading.Event()", "busy.join(); return"))
    _, errors = process.communicate(timeout=60)
    assert "PoolStateError: a child process imports the main module of its parent" in errors
    assert process.returncode == 0
    assert not (tmp_path / "busy").exists()
