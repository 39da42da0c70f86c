"""The engine: a pool and its threads, one file each."""

from .stopping import StopReport
from .worker_pool import WorkerPool

__all__ = ["StopReport", "WorkerPool"]
