"""A signal at a chosen line of ours: what an interrupted frame holds, the handler meets."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import jobpool

PACKAGE = str(Path(jobpool.__file__).parent)


class Interruptions:
    """Sends this process a signal just before line number `line` of ours that the main thread runs in the block.

    The handler runs on top of that line, as a signal that came by chance
    would have it. Lines of others, the driver's and the metrics library's,
    are not counted: their locks are theirs.
    """

    def __init__(self, line: int, handler: Callable[[], None]) -> None:
        self.struck = False
        self._line = line
        self._seen = 0
        self._handler = handler

    def __enter__(self) -> Interruptions:
        self._before = signal.signal(signal.SIGUSR1, self._handle)
        self._tracing = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.settrace(self._tracing)
        signal.signal(signal.SIGUSR1, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.struck = True
        self._handler()

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self._seen += 1
            if self._seen == self._line + 1:
                signal.raise_signal(signal.SIGUSR1)
        return self._trace
