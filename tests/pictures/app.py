"""The shop whose jobs are in the pictures: what its workers run."""

from __future__ import annotations

import threading
import zlib

from jobpool import Backoff, Executor, JobManager, Limit, current_job

#: Set by nobody: executors wait on it, so that their work takes time.
NEVER = threading.Event()


def resize(data: dict[str, int]) -> dict[str, int]:
    """Take some milliseconds."""
    NEVER.wait(0.02)
    return {"bytes": data["image"] * data["width"]}


def mail(data: dict[str, str]) -> None:
    """Fail for some, by what their addresses are."""
    NEVER.wait(0.05)
    chance = zlib.crc32(data["to"].encode()) % 100
    if chance < 3:
        raise TimeoutError(f"no answer from mx{chance}.example.com within 30 s")
    if chance < 5:
        raise ConnectionRefusedError(f"mx{chance}.example.com:25 refuses connections")
    if chance < 6:
        raise ValueError(f"{data['to']!r} is no address")


def report(data: dict[str, str]) -> None:
    """Take minutes, and say how far it is."""
    for page in range(1, 1200):
        current_job().progress(page, 1200, f"page {page} of {data['month']}")
        NEVER.wait(0.25)


def invoice(data: dict[str, str]) -> None:
    """Take a while; few may run at once."""
    NEVER.wait(60)


def manager() -> JobManager:
    """Return the manager of the workers."""
    return JobManager(
        "shop",
        executors={
            "resize": resize,
            "mail": Executor(
                mail, max_attempts=3, backoff=Backoff(base=600), give_up_on=(ValueError, ConnectionRefusedError)
            ),
            "report": report,
            "invoice": Executor(invoice, limit=Limit(running=2)),
        },
    )
