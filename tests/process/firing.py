"""A process that fires what is due and stops, or dies, at one step of that: ``python -m tests.process.firing``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from jobpool import JobManager

#: By step: the method of the store that it is at, and whether before or behind its call.
STEPS = {
    "read": ("fire", "before"),
    "begun": ("_advance", "before"),
    "advanced": ("_advance", "behind"),
    "created": ("_create", "behind"),
    "committed": ("fire", "behind"),
}


def struck(call: Callable[..., Any], place: str, number: int) -> Callable[..., Any]:
    """Return `call` with a signal to this process before or behind it."""

    def calling(*args: Any, **options: Any) -> Any:
        if place == "before":
            os.kill(os.getpid(), number)
        answer = call(*args, **options)
        if place == "behind":
            os.kill(os.getpid(), number)
        return answer

    return calling


def main(step: str, name: str) -> None:
    manager = JobManager(os.environ["TEST_DATABASE"])
    method, place = STEPS[step]
    due = manager.store.due
    setattr(due, method, struck(getattr(due, method), place, signal.Signals[name]))
    print(manager.schedules.fire_due())
    manager.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
