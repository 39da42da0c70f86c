"""The buckets of the histograms: those we chose, and those a user prefers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..errors import InvalidConfiguration

Buckets = Mapping[str, Sequence[float]]

#: Seconds. Executors take from milliseconds to an hour.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
#: Seconds. A job may wait for a day and more when nobody runs its type.
WAIT_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 7.5, 10, 15, 20, 30, 60, 120),
    *(300, 900, 1800, 7200, 21600, 86400),
)
#: Seconds. From a fast read on the same machine to the time limit of a call.
STORE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)

DEFAULT_BUCKETS: Buckets = {
    "jobpool_claim_batch_jobs": BATCH_BUCKETS,
    "jobpool_job_duration_seconds": DURATION_BUCKETS,
    "jobpool_job_turnaround_seconds": WAIT_BUCKETS,
    "jobpool_job_wait_seconds": WAIT_BUCKETS,
    "jobpool_queue_wait_seconds": WAIT_BUCKETS,
    "jobpool_store_operation_seconds": STORE_BUCKETS,
}
#: Each bucket is a series per type or pool.
MOST = 100


def buckets_of(given: Mapping[str, Any] | None) -> Buckets:
    """Return the buckets of every histogram, those given in place of ours; raise `InvalidConfiguration`."""
    chosen = dict(DEFAULT_BUCKETS)
    for name, bounds in (given or {}).items():
        if name not in DEFAULT_BUCKETS:
            raise InvalidConfiguration(f"no histogram is named {name!r}; known: {', '.join(DEFAULT_BUCKETS)}")
        if not _usable(bounds):
            raise InvalidConfiguration(f"the buckets of {name} must be 1 to {MOST} rising numbers above 0")
        chosen[name] = tuple(float(bound) for bound in bounds)
    return chosen


def _usable(bounds: Any) -> bool:
    if not isinstance(bounds, list | tuple) or not 1 <= len(bounds) <= MOST:
        return False
    if not all(isinstance(bound, int | float) and 0 < bound < math.inf for bound in bounds):
        return False
    return all(low < high for low, high in pairwise(bounds))
