"""jobpool: a job manager for Python on MongoDB."""

import logging
from typing import TYPE_CHECKING, Any

from . import errors
from .backoff import Backoff
from .config import PoolConfig
from .current import CurrentJob, current_job
from .executors import Executor
from .job import Created, CreatedBatch, Job, JobError, State, Stuck
from .job_logs import JobLogFilter
from .limits import Limit
from .progress import LogLine, Progress
from .signals import Cancel, JobCancelled, Retry, Snooze, TimedOut

if TYPE_CHECKING:
    from .late import AsyncJobManager, Cancelled, JobManager, Middleware, Schedule, StopReport, WorkerPool, job_id

# A library says nothing until its host wants to hear it.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "AsyncJobManager",
    "Backoff",
    "Cancel",
    "Cancelled",
    "Created",
    "CreatedBatch",
    "CurrentJob",
    "Executor",
    "Job",
    "JobCancelled",
    "JobError",
    "JobLogFilter",
    "JobManager",
    "Limit",
    "LogLine",
    "Middleware",
    "PoolConfig",
    "Progress",
    "Retry",
    "Schedule",
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
        """Import what needs the driver: every pytest run loads the plugin, and this package with it."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import late

        value = globals()[name] = getattr(late, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
