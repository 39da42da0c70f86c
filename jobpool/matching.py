"""What of a job MongoDB cannot decide and is decided here: a text in its data, and how it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .error_groups import check_sign, pattern_of, sign_of
from .errors import InvalidConfiguration

LONGEST_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Matcher:
    """Says of stored documents whether they are meant. All that is given must hold.

    Args:
        text: In the data, in keys or values of any depth; upper and lower case are the same. It
            is looked for in texts, and in numbers, instants and ids as they are written.
        group: The sign of an error group; see `ErrorGroup`.

    Raises:
        InvalidConfiguration: One of them is none.
    """

    text: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        if self.text is not None:
            object.__setattr__(self, "text", _folded(self.text))
        if self.group is not None:
            object.__setattr__(self, "group", check_sign(self.group))

    @property
    def fields(self) -> tuple[str, ...]:
        """What it reads of a document."""
        data = ("data",) if self.text is not None else ()
        return data + (("type", "error.type", "error.message") if self.group is not None else ())

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Say whether this one is meant."""
        return (self.text is None or holds(document.get("data"), self.text)) and (
            self.group is None or group_of(document) == self.group
        )


def group_of(document: Mapping[str, Any]) -> str | None:
    """Return the sign of the group of a stored job; None if it has not failed, or somebody else wrote it."""
    error = document.get("error")
    if not isinstance(error, Mapping):
        return None
    type, kind, message = document.get("type"), error.get("type"), error.get("message")
    if not (isinstance(type, str) and isinstance(kind, str)):
        return None
    return sign_of(type, kind, pattern_of(message if isinstance(message, str) else ""))


def holds(data: Any, text: str) -> bool:
    """Say whether a text, which is in folded case, is in stored data."""
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            if any(text in key.casefold() for key in value):
                return True
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif text in _written(value):
            return True
    return False


def _written(value: Any) -> str:
    """Return a single value as it is written, in folded case; of bytes, truth values and null nothing is."""
    if isinstance(value, str):
        return value.casefold()
    if value is None or isinstance(value, bool | bytes):
        return ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "z").casefold()
    return str(value).casefold()


def _folded(text: object) -> str:
    if not isinstance(text, str):
        raise InvalidConfiguration(f"text must be a str, not {type(text).__name__}")
    if not 1 <= len(text) <= LONGEST_TEXT:
        raise InvalidConfiguration(f"text must have 1 to {LONGEST_TEXT} characters, not {len(text)}")
    return str.__str__(text).casefold()
