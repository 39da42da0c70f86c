"""Ids as they are given: named, or a line each on stdin, plain or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator

STDIN = "-"


def ids_of(arguments: Iterable[str]) -> list[str]:
    """Return the ids that the arguments name, each once; for ``-`` those on stdin.

    Raises:
        InvalidConfiguration: A line on stdin is no id and has none, or nobody writes there.
    """
    found: dict[str, None] = {}
    for argument in arguments:
        found |= dict.fromkeys(_read() if argument == STDIN else [argument])
    return list(found)


def _read() -> Iterator[str]:
    from ...errors import InvalidConfiguration

    if sys.stdin.isatty():
        raise InvalidConfiguration("- reads ids from stdin, and that is this terminal: pipe them in, or name them")
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()  # some shells put a mark first
        except UnicodeDecodeError:
            raise InvalidConfiguration(f"line {number} of stdin is not UTF-8; nothing was changed") from None
        if text:
            yield _id(text, number)


def _id(text: str, number: int) -> str:
    """Return the id in a line: all of it, or the ``id`` of a JSON object."""
    from ...errors import InvalidConfiguration

    if not text.startswith("{"):
        return text
    try:
        id = json.loads(text).get("id")
    except (ValueError, RecursionError) as error:
        raise InvalidConfiguration(f"line {number} of stdin is no JSON: {error}; nothing was changed") from None
    if not isinstance(id, str):
        raise InvalidConfiguration(f'line {number} of stdin has no "id"; nothing was changed')
    return id
