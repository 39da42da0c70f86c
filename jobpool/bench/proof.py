"""What ends a benchmark: what it measures is not right, or does not come."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from ..errors import JobpoolError

PATIENCE = 300.0


class BenchmarkFailed(JobpoolError):
    """A job was lost or ran twice, or nothing happens any more. There are no figures."""


def expect(holds: bool, failure: str) -> None:
    """Raise `BenchmarkFailed` if what is measured is not right."""
    if not holds:
        raise BenchmarkFailed(f"benchmark failed: {failure}")


def expect_once(ran: Iterable[int], count: int) -> None:
    """Raise `BenchmarkFailed` unless each of the jobs 0 to `count` - 1 ran exactly once."""
    times = Counter(ran)
    twice = sum(number > 1 for number in times.values())
    missing = sum(number not in times for number in range(count))
    foreign = sum(not 0 <= number < count for number in times)
    expect(
        not (twice or missing or foreign),
        f"of {count} jobs {twice} ran more than once, {missing} did not run, and {foreign} others did",
    )


def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until `condition` holds; raise `BenchmarkFailed` if it does not in time."""
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while not condition():
        expect(time.monotonic() < deadline, f"{what} did not come within {patience:g} s")
        pause.wait(0.005)
