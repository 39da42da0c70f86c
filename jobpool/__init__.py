"""jobpool: a job manager for Python on MongoDB."""

import logging

from . import errors
from .backoff import Backoff
from .config import PoolConfig
from .current import CurrentJob, current_job
from .executors import Executor
from .ids import job_id
from .job import Created, Job, JobError, State, Stuck
from .job_logs import JobLogFilter
from .manager import JobManager
from .pool import StopReport, WorkerPool

# A library says nothing until its host wants to hear it.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "Backoff",
    "Created",
    "CurrentJob",
    "Executor",
    "Job",
    "JobError",
    "JobLogFilter",
    "JobManager",
    "PoolConfig",
    "State",
    "StopReport",
    "Stuck",
    "WorkerPool",
    "current_job",
    "errors",
    "job_id",
]
