"""What executors did, kept so that the death of their process takes nothing of it away."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """An executor was entered.

    Attributes:
        number: Of the job.
        attempt: Which.
        pool: Where.
        at: When, by the monotonic clock, which all processes of a machine share.
    """

    number: int
    attempt: int
    pool: str
    at: float


class Writer:
    """Appends entries. Threads: any.

    A line is one write to a file that is open for appending: it is whole and in the
    kernel's hands when the executor goes on, so a SIGKILL afterwards does not undo it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def enter(self, number: int, attempt: int, pool: str) -> None:
        """Say that an executor has been entered just now."""
        os.write(self._file, f"{number} {attempt} {pool} {time.monotonic():.6f}\n".encode())


class Journal:
    """Reads what the writers said, also while they go on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._read = 0
        path.touch()

    def refresh(self) -> list[Entry]:
        """Read on and return all entries."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            news = file.read()
        whole = news[: news.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode().splitlines():
            number, attempt, pool, at = line.split()
            self.entries.append(Entry(int(number), int(attempt), pool, float(at)))
        return self.entries

    def times(self) -> Counter[int]:
        """Return how often each job was executed."""
        return Counter(entry.number for entry in self.entries)

    def attempts(self) -> dict[int, list[int]]:
        """Return the attempts of each job that were entered."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        for entry in self.entries:
            found[entry.number].append(entry.attempt)
        return found
