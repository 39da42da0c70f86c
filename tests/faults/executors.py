"""What several tests of executors share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jobpool import Backoff, Executor


def twice(fn: Callable[[Any], Any]) -> Executor:
    """Return an executor that is tried twice, at once."""
    return Executor(fn, max_attempts=2, backoff=Backoff(base=0))


class Own(BaseException):
    """Neither an `Exception` nor one of Python's."""
