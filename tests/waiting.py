"""Waiting for something that happens on another thread or in another process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Far above what any of it takes: it bounds a failure, not a success.
PATIENCE = 30.0


def until(condition: Callable[[], object], what: str = "the condition", patience: float = PATIENCE) -> None:
    """Return as soon as `condition` holds; fail if it does not within `patience` seconds."""
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {patience} s"
        pause.wait(0.01)
