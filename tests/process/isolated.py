"""Executors of the tests of child processes: found there by name."""

from __future__ import annotations

import atexit
import ctypes
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from jobpool import current_job
from jobpool.signals import Retry, Snooze

calls = 0


def echo(data: Any) -> Any:
    return data


async def echo_later(data: Any) -> Any:
    return [data, current_job().id]


def count(data: Any) -> int:
    global calls
    calls += 1
    return calls


def whoami(data: Any) -> dict[str, Any]:
    job = current_job()
    return {
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "job": (job.id, job.type, job.attempt, job.fence, job.created_at, job.data, job.lost),
        "fields": dict(job.logger.extra or {}),
    }


def open_files(data: Any) -> list[str]:
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return [os.readlink(link) for link in links if os.path.exists(link)]


def report(data: Any) -> None:
    current_job().progress(1)


def leave(code: int) -> NoReturn:
    os._exit(code)


def crash(number: int) -> None:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    threading.Event().wait()


def segfault(data: Any) -> None:
    ctypes.string_at(0)


def hang_in(path: str) -> NoReturn:
    """Note the process ids of this process and of one that it started, then wait for ever."""
    other = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
    Path(f"{path}.new").write_text(f"{os.getpid()} {other.pid}")
    os.rename(f"{path}.new", path)
    threading.Event().wait()
    raise AssertionError


def spin(path: str) -> NoReturn:
    Path(path).touch()
    while True:
        pass


def fork_and_die(path: str) -> NoReturn:
    """Die while a process that has inherited all that was open here lives on."""
    child = os.fork()
    if child == 0:
        threading.Event().wait()
    Path(path).write_text(str(child))
    os._exit(4)


def with_a_pool_of_its_own(data: list[int]) -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, data)


def terminate_a_fork(data: Any) -> int:
    """Return the signal that ended it."""
    forked = os.fork()
    if forked == 0:
        threading.Event().wait(30)
        os._exit(0)
    os.kill(forked, signal.SIGTERM)
    return os.WTERMSIG(os.waitpid(forked, 0)[1])


def signal_itself(data: Any) -> str:
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    inherited = subprocess.run(
        [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return inherited.stdout.strip()


def fail(data: Any) -> NoReturn:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError(f"no {data}") from error


class TwoArguments(Exception):
    """Can be pickled, and not be made again from that by `pickle` alone."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code


def fail_with_two(data: Any) -> NoReturn:
    raise TwoArguments(7, "because")


def fail_with_a_lock(data: Any) -> NoReturn:
    error = ValueError("has a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


def fail_with_a_local_class(data: Any) -> NoReturn:
    class Local(Exception):
        pass

    raise Local("unknown elsewhere")


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __reduce__(self) -> NoReturn:
        raise RuntimeError("no pickle")


def fail_hostile(data: Any) -> NoReturn:
    error = Hostile()
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


def exit_as_a_program(data: Any) -> NoReturn:
    sys.exit(5)


def return_a_lock(data: Any) -> Any:
    return threading.Lock()


def return_much(size: int) -> bytes:
    return bytes(size)


class OnlyThere:
    """Is pickled as something that its reader does not have."""

    def __reduce__(self) -> Any:
        return getattr, (Path, "only_there")


def return_what_is_only_there(data: Any) -> Any:
    return OnlyThere()


def raise_retry(reason: str, after: float) -> NoReturn:
    raise Retry(reason, after=after)


def raise_snooze(seconds: float) -> NoReturn:
    raise Snooze(seconds)


def wait_for(path: str) -> str:
    pause = threading.Event()
    while not os.path.exists(path):
        pause.wait(0.01)
    return "went on"


def note_the_exit(path: str) -> int:
    atexit.register(Path(path).touch)
    return os.getpid()


def leave_a_thread(data: Any) -> int:
    threading.Thread(target=threading.Event().wait).start()
    return os.getpid()


def warn(data: Any) -> None:
    logging.getLogger("shop").warning("of the shop")
    logging.getLogger("shop").info("unheard")
    current_job().logger.warning("of the job")
