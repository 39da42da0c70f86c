"""The jobs of the process tests. What they did is in a log, a line per event, whatever becomes of the process."""

from __future__ import annotations

import logging
import os
import threading

from jobpool import Backoff, Executor, JobManager, current_job


def note(event: str) -> None:
    """Append one line in one write, so that lines of several processes do not mix."""
    handle = os.open(os.environ["TEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{event} {os.getpid()}\n".encode())
    os.close(handle)


def quick(data: object) -> None:
    note(f"ran {data}")


def endless(data: object) -> None:
    note(f"began {data} {current_job().attempt}")
    threading.Event().wait()


def until_released(data: object) -> None:
    """Wait for a file to appear: the test decides when the job ends."""
    note(f"began {data} {current_job().attempt}")
    pause = threading.Event()
    while not os.path.exists(os.environ["TEST_RELEASE"]):
        pause.wait(0.01)
    note(f"ended {data}")


def once_endless(data: object) -> None:
    """Never return in the first attempt."""
    note(f"began {data} {current_job().attempt}")
    if current_job().attempt == 1:
        threading.Event().wait()


def talkative(data: object) -> None:
    """Log as executors do, well and badly."""
    log = logging.getLogger("shop.images")
    log.info("of two\nlines, %s", data)
    log.info("%d of nothing", "none")
    try:
        raise ValueError("with\ttabs")
    except ValueError:
        log.exception("failed \u2028 \x1b[2J")
    current_job().logger.info("by its own")


def manager() -> JobManager:
    return JobManager(
        os.environ["TEST_DATABASE"],
        executors={
            "quick": quick,
            "talkative": talkative,
            "endless": endless,
            "until_released": until_released,
            "stubborn": Executor(endless, timeout=0.1, grace=0.1),
            "once_endless": Executor(once_endless, max_attempts=2, backoff=Backoff(base=0)),
        },
    )
