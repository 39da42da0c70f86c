"""Keys, each as it is typed, without waiting for the end of a line. The terminal is set back at the end."""

from __future__ import annotations

import os
import select
import sys
from types import TracebackType
from typing import Any


class Keys:
    """Reads keys from stdin, if that is a terminal; else there are none. Use it as a context manager.

    Threads: one.
    """

    def __init__(self) -> None:
        self._file = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._before: list[Any] | None = None

    @property
    def heard(self) -> bool:
        """Whether there are any."""
        return self._file is not None

    def listen(self) -> None:
        """Have keys sent as they are typed, and not shown."""
        if self._file is None:
            return
        import termios
        import tty

        if self._before is None:
            self._before = termios.tcgetattr(self._file)
        tty.setcbreak(self._file)

    def restore(self) -> None:
        """Set the terminal as it was."""
        if self._file is None or self._before is None:
            return
        import termios

        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> str:
        """Return what is typed within so many seconds; nothing if there are no keys, as soon as a signal came."""
        files = [] if self._file is None else [self._file]
        ready, _, _ = select.select(files, [], [], seconds)
        if not ready or self._file is None:
            return ""
        typed = os.read(self._file, 64)
        if not typed:  # nobody types there any more
            self._file = None
        return typed.decode("utf-8", "ignore")

    def __enter__(self) -> Keys:
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()
