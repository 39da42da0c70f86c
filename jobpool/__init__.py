"""jobpool: a job manager for Python on MongoDB."""

import importlib
import logging
from typing import TYPE_CHECKING, Any

from . import errors
from .backoff import Backoff
from .config import PoolConfig
from .current import CurrentJob, current_job
from .executors import Executor
from .job import Created, Job, JobError, State, Stuck
from .job_logs import JobLogFilter
from .progress import LogLine, Progress
from .signals import Cancel, JobCancelled, Retry, Snooze, TimedOut

if TYPE_CHECKING:
    from .aio import AsyncJobManager
    from .ids import job_id
    from .manager import JobManager
    from .middleware import Middleware
    from .pool import StopReport, WorkerPool
    from .store.cancelling import Cancelled

#: What needs the driver is imported at its first use: every pytest run loads the plugin, and this package with it.
_LATER = {
    "AsyncJobManager": "aio",
    "Cancelled": "store.cancelling",
    "JobManager": "manager",
    "Middleware": "middleware",
    "StopReport": "pool",
    "WorkerPool": "pool",
    "job_id": "ids",
}

# A library says nothing until its host wants to hear it.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "AsyncJobManager",
    "Backoff",
    "Cancel",
    "Cancelled",
    "Created",
    "CurrentJob",
    "Executor",
    "Job",
    "JobCancelled",
    "JobError",
    "JobLogFilter",
    "JobManager",
    "LogLine",
    "Middleware",
    "PoolConfig",
    "Progress",
    "Retry",
    "Snooze",
    "State",
    "StopReport",
    "Stuck",
    "TimedOut",
    "WorkerPool",
    "current_job",
    "errors",
    "job_id",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
