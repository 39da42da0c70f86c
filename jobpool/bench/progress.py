"""What a long run is doing."""

from __future__ import annotations

import sys
import time


class Progress:
    """Says on stderr which of its steps a benchmark is at, and how long they have taken."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._steps = 0
        self._done = 0

    def expect(self, steps: int) -> None:
        """Say how many more steps there will be."""
        self._steps += steps

    def step(self, text: str) -> None:
        """Begin the next step."""
        self._done += 1
        of = f"{self._done}/{max(self._steps, self._done)}"
        self.say(f"[{of}] {text}")

    def say(self, text: str) -> None:
        """Say something within a step."""
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", file=sys.stderr, flush=True)
