"""Data as people hand them in, in JSON: in the option itself, in a file or on stdin, for one job or one a line."""

from __future__ import annotations

import json
import os
import select
import stat
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

#: Bytes that are read at once: of a pipe what is there, at most that.
CHUNK = 1 << 17
#: Bytes of one value: far more than what a job may hold takes as JSON.
LONGEST = 64 << 20

#: The number of a line, and the line.
_Raw = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Line:
    """A value that was read.

    Attributes:
        number: The line that it stands on, from 1; None if it is the only value.
        value: What it means, if it could be read.
        error: Why it could not; None if it could.
        size: Bytes that it had.
    """

    number: int | None
    value: Any = None
    error: str | None = None
    size: int = field(default=0, compare=False)


class Source:
    """Where data are read from, once. Memory is taken for a line at a time.

    Args:
        given: ``-`` for stdin, ``@FILE``, or JSON itself.

    Attributes:
        name: How messages call it.
        size: Its bytes; None if nobody knows.
        read: Bytes that were taken from it so far.

    Raises:
        InvalidConfiguration: The file cannot be read.

    Threads: one.
    """

    def __init__(self, given: str) -> None:
        self.read = 0
        self.size: int | None = None
        self._inline: bytes | None = None
        self._ours = False
        if given == "-":
            self.name, self._file = "stdin", _stdin()
            if sys.stdin.isatty():
                print("reading the data from this terminal; Ctrl-D ends them", file=sys.stderr)
        elif given.startswith("@"):
            self.name, self._file, self._ours = given[1:], _opened(given[1:]), True
        else:
            self.name, self._inline = "--data", given.encode(errors="surrogateescape")
            return
        facts = os.fstat(self._file)
        self.size = facts.st_size if stat.S_ISREG(facts.st_mode) else None

    @property
    def share(self) -> float | None:
        """How much of it is read, between 0 and 1; None if nobody knows."""
        return None if not self.size else min(1.0, self.read / self.size)

    def values(self, *, lines: bool) -> Iterator[Line | None]:
        """Yield what it holds; None where nothing more is there for now, though it may come.

        It is one value, over as many lines as it takes, unless the first line is a whole
        value and another follows, or `lines` says that each line is one.
        """
        with closing(self._lines()) as read:
            first = next((raw for raw in read if raw is not None), None)
            if lines:
                yield from map(_parsed, chain([first] if first else [], read))
            elif first is None:
                yield Line(None, error="it is empty")
            else:
                yield from self._one_or_many(first, read)

    def _one_or_many(self, first: _Raw, read: Iterator[_Raw | None]) -> Iterator[Line | None]:
        number, text = first
        one = _parsed(first)
        if one is not None and one.error is None:
            second = next((raw for raw in read if raw is not None), None)
            if second is None:
                yield Line(None, one.value, size=one.size)
            else:
                yield from map(_parsed, chain([first, second], read))
            return
        whole, second = bytearray(text), None
        for raw in read:
            if raw is not None:
                second = second or raw
                whole += b"\n" * (raw[0] - number) + raw[1]
                number = raw[0]
            if len(whole) > LONGEST:
                break
        value, error = _value(bytes(whole))
        if error is not None and second is not None and isinstance(_value(second[1])[0], dict | list):
            error = f"line {first[0]} is no value, as line {second[0]} is, and both together are none: {error}"
        yield Line(None, value, error, len(whole))

    def _lines(self) -> Generator[_Raw | None, None, None]:
        """Yield the lines that are not blank, with their numbers."""
        number, rest, too_long = 0, bytearray(), False
        for chunk in self._chunks():
            if chunk is None:
                yield None
                continue
            *whole, last = chunk.split(b"\n")
            for part in whole:
                number += 1
                line = bytes(rest + part) if rest else part
                rest.clear()
                if too_long or line.strip():
                    yield number, (b"x" * (LONGEST + 1) if too_long else line)
                too_long = False
            rest += last
            if len(rest) > LONGEST:
                rest.clear()
                too_long = True
        if too_long or rest.strip():
            yield number + 1, b"x" * (LONGEST + 1) if too_long else bytes(rest)

    def _chunks(self) -> Iterator[bytes | None]:
        if self._inline is not None:
            yield self._inline
            return
        try:
            while True:
                if not _ready(self._file):
                    yield None
                chunk = os.read(self._file, CHUNK)
                if not chunk:
                    return
                if not self.read:
                    chunk = chunk.removeprefix(b"\xef\xbb\xbf")  # of editors on Windows
                self.read += len(chunk)
                yield chunk
        finally:
            if self._ours:
                os.close(self._file)


def _stdin() -> int:
    from ...errors import InvalidConfiguration

    if sys.stdin is None:  # of a process that was started with it closed
        raise InvalidConfiguration("there is no stdin to read the data from")
    return sys.stdin.fileno()


def _opened(path: str) -> int:
    from ...errors import InvalidConfiguration

    try:
        file = os.open(path, os.O_RDONLY)
        if stat.S_ISDIR(os.fstat(file).st_mode):
            os.close(file)
            raise IsADirectoryError(21, "it is a directory")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidConfiguration(f"cannot read {path!r}: {why}") from None
    return file


def _ready(file: int) -> bool:
    try:
        return bool(select.select([file], [], [], 0)[0])
    except (OSError, ValueError):  # a file of a kind that cannot be asked
        return True


def _parsed(raw: _Raw | None) -> Line | None:
    if raw is None:
        return None
    value, error = _value(raw[1])
    return Line(raw[0], value, error, len(raw[1]))


def _value(text: bytes) -> tuple[Any, str | None]:
    """Return the value that a text in extended JSON means, or why it means none."""
    from ...data import from_relaxed

    if len(text) > LONGEST:
        return None, f"it has more than {LONGEST >> 20} MiB"
    try:
        line = text.decode()
        # Most have nothing of extended JSON in them, and then this is several times as fast and the same.
        return (from_relaxed(line) if '"$' in line or "\\u0024" in line else json.loads(line)), None
    except UnicodeDecodeError as error:
        return None, f"it is not in UTF-8: {error.reason} at byte {error.start}"
    except RecursionError:
        return None, "it is nested too deeply"
    except ValueError as error:
        cause = error if isinstance(error, json.JSONDecodeError) else error.__cause__
        if not isinstance(cause, json.JSONDecodeError):
            return None, str(error)
        line = f"line {cause.lineno}, " if cause.lineno > 1 else ""
        return None, f"no JSON: {cause.msg} at {line}column {cause.colno}"
