"""The history of a run: what every process asked and was told, a JSON line an event.

All processes append to one file, each event in one write, so lines do not mix
and what a killed process wrote is there. Instants are of the monotonic clock,
which all processes of a machine share.

Events of claims name jobs as ``[id, token]``; those of what is asked carry
the name of the operation, those of the answers ``<operation>-ok`` with the jobs it
stands for, ``<operation>-unknown`` or ``<operation>-refused``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One line of a history."""

    at: float
    pid: int
    name: str
    fields: dict[str, Any]


class History:
    """Appends events to a file. Threads and processes: any number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(self, name: str, **fields: Any) -> None:
        """Append one event, in one write."""
        line = json.dumps([time.monotonic(), os.getpid(), name, fields], default=str)
        os.write(self._handle, b"\n" + line.encode() + b"\n")  # the first ends what a killed process tore off

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def events(path: Path) -> Iterator[Event]:
    """Yield the events of a history in their order of time."""
    lines = path.read_text().split("\n") if path.exists() else []
    yield from sorted(_parsed(lines), key=lambda event: event.at)


def _parsed(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of whole lines: the last may still be in the making, another one's writer killed."""
    for line in lines:
        try:
            event = json.loads(line) if line else None
        except json.JSONDecodeError:
            continue
        if event is not None:
            yield Event(*event)


def count(path: Path, name: str, **fields: Any) -> int:
    """Return how many events of that name with those fields there are."""
    return sum(
        event.name == name and all(event.fields.get(key) == value for key, value in fields.items())
        for event in events(path)
    )
