"""The first SIGINT or SIGTERM asks to end, the second forces."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupts:
    """Turns signals into two events. Make it in the main thread."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.forced = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        (self.forced if self.asked.is_set() else self.asked).set()
