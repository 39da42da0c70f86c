"""Progress of long work on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from .screen import console, say
from .words import count, rate

#: Seconds between two lines where there is no terminal.
LINE_EVERY = 5.0


class Progress:
    """Shows how much is done, how fast, and of how much if that is known. Use as a context manager.

    Args:
        title: What is done, such as ``retrying``.
        total: Of how many; None if nobody knows.
        by_share: Nobody knows the number, but how much of all is done, as `advance` is told.

    Threads: one.
    """

    def __init__(self, title: str, total: int | None = None, *, by_share: bool = False) -> None:
        self.done = 0
        self._title, self._total = title, total
        self._share: float | None = 0.0 if by_share else None
        self._bar: Any = None
        self._task: Any = None
        self._began = self._said = time.monotonic()

    def advance(self, number: int, share: float | None = None) -> None:
        """Hear that so many more are done, and with `by_share` how much of all that is, between 0 and 1."""
        self.done += number
        if self._share is not None and share is not None:
            self._share = share
        if self._bar is not None:
            done = self.done if self._share is None else self._share
            shown = {"count": count(self.done), "rate": rate(self.per_second)}
            self._bar.update(self._task, completed=done, **shown)
        elif time.monotonic() - self._said >= LINE_EVERY:
            self._said = time.monotonic()
            say(self.line())

    @property
    def per_second(self) -> float:
        """How fast it went so far."""
        return self.done / max(time.monotonic() - self._began, 1e-3)

    def line(self) -> str:
        """Return how far it is, in words."""
        of = "" if self._total is None else f" of {count(self._total)}"
        if self._share is not None:
            of = f" ({self._share:.0%} of all)"
        return f"{self._title}: {count(self.done)}{of}, {rate(self.per_second)}"

    def __enter__(self) -> Progress:
        terminal = console(stderr=True)
        if terminal is not None:
            from rich import progress

            columns = (
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn() if self._share is None else progress.TaskProgressColumn(),
                progress.TextColumn("" if self._share is None else "{task.fields[count]}"),
                progress.TextColumn("{task.fields[rate]}"),
                progress.TimeRemainingColumn(),
            )
            self._bar = progress.Progress(*columns, console=terminal, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(
                self._title, total=self._total if self._share is None else 1.0, count="0", rate=""
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
