"""The engine: a pool and its threads, one file each."""

from .worker_pool import StopReport, WorkerPool

__all__ = ["StopReport", "WorkerPool"]
