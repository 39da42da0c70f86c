"""Signals: what SIGINT and SIGTERM do to a command that goes on until one comes."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupts:
    """Turns signals into two events: the first asks to end, the second forces. Make it in the main thread."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.forced = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        (self.forced if self.asked.is_set() else self.asked).set()


def end_at_once() -> None:
    """Let SIGTERM end the command as Ctrl-C does, by a `KeyboardInterrupt` wherever it is: what is open is closed.

    For commands that have nothing to bring to its end first. Call it in the main thread.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pause(seconds: float) -> None:
    """Let time pass; a signal ends it at once."""
    threading.Event().wait(seconds)
