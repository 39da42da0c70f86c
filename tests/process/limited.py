"""A worker whose jobs have limits, for the tests that kill and freeze such."""

from __future__ import annotations

import os
from typing import Any

from jobpool import Executor, JobManager, Limit


def nothing(data: Any) -> None:
    """Take no time."""


def manager() -> JobManager:
    return JobManager(
        os.environ["TEST_DATABASE"],
        executors={
            "one": Executor(nothing, limit=Limit(running=1), max_attempts=1000, backoff=0),
            "both": Executor(
                nothing,
                key="tenant",
                limit=Limit(running=3),
                key_limit=Limit(running=1),
                max_attempts=1000,
                backoff=0,
            ),
        },
    )
