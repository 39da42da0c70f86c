"""What a running executor says of itself: how far it is, its own log lines, and where to resume."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .names import bounded

#: Bytes of one line and of a note: two hundred lines of a job, the most, leave room for its data.
MAX_LINE = 1000
#: Of a count: what a float of JSON and a 64-bit int of BSON hold alike.
LARGEST = 2**53


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an attempt is.

    Attributes:
        done: In the executor's own unit.
        total: Of how many; None if it does not know.
        note: What it is doing, up to 1,000 bytes.
        at: When it was written (server time).
    """

    done: float
    total: float | None = None
    note: str = ""
    at: datetime | None = None

    @property
    def share(self) -> float | None:
        """Between 0 and 1; None if the total is not known."""
        return None if not self.total else min(1.0, max(0.0, self.done / self.total))


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that an executor wanted kept with its job.

    Attributes:
        level: As `logging` names it.
        text: Up to 1,000 bytes.
        attempt: The number of the attempt, from 1.
        at: When it was said, by the clock of its process.
    """

    level: str
    text: str = field(repr=False)
    attempt: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """What is new of a running job, to be written under its claim.

    Attributes:
        progress: The newest; None if there is no news.
        lines: New ones, oldest first.
        keep: How many lines of the job are kept.
    """

    progress: Progress | None
    lines: tuple[LogLine, ...]
    keep: int


def merged(older: Report | None, newer: Report | None) -> Report | None:
    """Return what both say, to be written at once."""
    if older is None or newer is None:
        return newer or older
    lines = (*older.lines, *newer.lines)[-newer.keep :] if newer.keep else ()
    return Report(newer.progress or older.progress, lines, newer.keep)


class Reporter:
    """Collects what an executor reports until it is written. Of many words about progress only the last counts.

    Threads: any; `_lock` guards `_progress` and `_lines`.
    """

    __slots__ = ("_keep", "_lines", "_lock", "_progress")

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._lines: list[LogLine] = []

    def progress(self, done: float, total: float | None, note: str) -> bool:
        """Note how far it is; return whether there was nothing new before."""
        with self._lock:
            first = self._progress is None and not self._lines
            self._progress = Progress(done, total, bounded(note, MAX_LINE))
        return first

    def line(self, level: str, text: str, attempt: int, at: datetime) -> bool:
        """Note a line, if lines are kept; return whether there was nothing new before and is now."""
        if not self._keep:
            return False
        line = LogLine(level, bounded(text, MAX_LINE), attempt, at)
        with self._lock:
            first = self._progress is None and not self._lines
            self._lines.append(line)
            del self._lines[: -self._keep]
        return first

    def take(self) -> Report | None:
        """Return what is new, which is then news no more; None if nothing is."""
        with self._lock:
            if self._progress is None and not self._lines:
                return None
            report = Report(self._progress, tuple(self._lines), self._keep)
            self._progress, self._lines = None, []
            return report

    def put_back(self, report: Report) -> None:
        """Make a report that could not be written news again; what came since is newer."""
        with self._lock:
            self._progress = self._progress or report.progress
            self._lines = [*report.lines, *self._lines][-self._keep :] if self._keep else []


def check_progress(done: Any, total: Any) -> None:
    """Raise `TypeError` if the two cannot say how far something is."""
    for value, what in ((done, "done"), (total, "total")):
        if value is None and what == "total":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"progress: {what} must be a number, not {type(value).__name__}")
        if not -LARGEST <= value <= LARGEST:  # false for NaN as well
            raise TypeError(f"progress: {what} must be a finite number within 2**53")
