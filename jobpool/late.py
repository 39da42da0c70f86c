"""What the package exports and imports only at its first use: it needs the driver, or much else."""

from .aio import AsyncJobManager
from .ids import job_id
from .manager import JobManager
from .middleware import Middleware
from .pool import StopReport, WorkerPool
from .schedules import Schedule
from .store.cancelling import Cancelled

__all__ = [
    "AsyncJobManager",
    "Cancelled",
    "JobManager",
    "Middleware",
    "Schedule",
    "StopReport",
    "WorkerPool",
    "job_id",
]
